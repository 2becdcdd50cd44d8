"""Text for terminals: control characters of data, which a terminal would obey, are shown escaped."""

from __future__ import annotations

import re

__all__ = ["printable", "shortened"]

# C0 without tab and newline, DEL, C1, separators of lines, and marks that reverse the direction of a text
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Returns ``text`` with its control characters escaped; tabs and newlines are kept.

    Example:
        >>> print(printable("clear \x1b[2J, return \r, bell \a"))
        clear \x1b[2J, return \r, bell \x07
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shortened(text: str, length: int) -> str:
    """Returns ``text`` with at most ``length`` characters; what is left out of the middle is ``...``.

    Example:
        >>> shortened("a" * 10 + "b" * 10, 9)
        'aaa...bbb'
    """
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[: length - 3 - half]}...{text[len(text) - half :]}"
