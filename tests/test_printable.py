"""Control characters are escaped, everything else is left alone."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import DataError
from recurra.printable import printable, shortened

CONTROLS = st.text(st.characters(categories=["Cc", "Zl", "Zp"]) | st.sampled_from("\u202e\u2066a[中"))


@given(CONTROLS | st.text())
def test_no_control_character_is_left_and_the_rest_is_kept(text: str) -> None:
    shown = printable(text)
    left = [c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp") and c not in "\n\t"]
    assert not left
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert printable(shown) == shown
    plain = "".join(c for c in text if printable(c) == c)
    assert printable(plain) == plain


@given(st.text(), st.integers(5, 40))
def test_a_text_is_shortened_in_the_middle(text: str, length: int) -> None:
    short = shortened(text, length)
    assert len(short) <= length
    assert short == text or (text.startswith(short[: (length - 3) // 2]) and "..." in short)


def test_an_error_shows_control_characters_escaped_and_is_bounded() -> None:
    assert str(DataError("no\x1b[2Jrow", where="a\rb")) == r"a b: no\x1b[2Jrow"
    assert len(str(DataError("x" * 1_000_000))) < 3_000
