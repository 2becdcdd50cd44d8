"""Cleaning keeps the words of a text and accepts every text; the language of a text is guessed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recurra.io.text import clean, guess_language

anything = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("<>&#;/!x0123456789\x00\x96\ufeff\ud800"))
)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("bad.<br /><br />Good", ["bad.", "Good"]),
        ('<a href="http://x.org">link</a>', ["link"]),
        ("<!-- a comment -->seen", ["seen"]),
        ("&lt;br&gt;done", ["done"]),
        ("Tom &amp; Jerry&#39;s &eacute;clair &#x27;90", ["Tom", "&", "Jerry's", "éclair", "'90"]),
        ("Oil #36;40 isn#39;t", ["Oil", "$40", "isn't"]),
        ("3 < 4 > 2, <3 and a<b", ["3", "<", "4", ">", "2,", "<3", "and", "a<b"]),
        ("no. #1; C# and &unknown;", ["no.", "#1;", "C#", "and", "&unknown;"]),
        ("nul\x00tab\tline\r\nnext\x96end", ["nul", "tab", "line", "next", "end"]),
        ("\ufeff位置\u200b好", ["位置", "好"]),
        ("half \ud83d pair", ["half", "pair"]),
        ("whole 😀 pair", ["whole", "😀", "pair"]),
    ],
)
def test_words_stay(raw: str, words: list[str]) -> None:
    assert clean(raw).split() == words


def test_tags_and_entities_stay_when_html_is_text() -> None:
    assert clean("<b>a &amp; b</b>\x00", strip_html=False) == "<b>a &amp; b</b> "


@given(anything, st.booleans())
@example("&#" + "9" * 5_000 + ";", True)  # int() refuses so many digits
@example("&#x" + "f" * 5_000 + "!", True)
@example("#" + "1" * 5_000 + ";", True)
@settings(max_examples=200, deadline=None)
def test_no_text_keeps_control_characters(text: str, strip_html: bool) -> None:
    plain = clean(text, strip_html)
    plain.encode("utf-8")
    assert not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in plain)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="<&#")))
@settings(max_examples=100, deadline=None)
def test_text_without_markup_is_unchanged(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("unit", ["<a", "&", "&#", "#", "<", "&#1", "<a>", "\x00", "\ud800", "<!"])
def test_megabytes_of_incomplete_markup_are_cleaned_in_time(unit: str) -> None:
    result = clean(unit * 1_000_000)  # a pattern that backtracks would take hours here
    assert len(result) <= len(unit) * 1_000_000
    assert not {"\x00", "\ud800"} & set(result)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "a stirring , funny and finally transporting re imagining of beauty and the beast"),
        ("de", "Der Film ist nicht schlecht, aber auch nicht besonders gut."),
        ("fr", "Ce film n'est pas mauvais, mais il ne dure que trop pour les enfants."),
        ("es", "La película no es mala, pero tampoco es muy buena para los niños."),
        ("it", "Il film non è brutto, ma anche per i bambini non è molto bello."),
        ("pt", "O filme não é ruim, mas também não é muito bom para uma criança."),
        ("nl", "De film is niet slecht, maar het is ook geen goede film voor een kind."),
        ("ru", "Фильм неплохой, но слишком длинный."),
        ("ar", "الفيلم ليس سيئا"),
        ("zh", "这个iPhone手机很好用，下次还买"),
        ("ja", "この映画はとても面白かったです"),
        ("ko", "이 영화는 정말 재미있어요"),
        ("other", "12345 !!"),
    ],
)
def test_languages(language: str, text: str) -> None:
    assert guess_language(text) == language
