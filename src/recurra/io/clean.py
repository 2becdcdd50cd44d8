"""Raw text made plain before it is cut into tokens: no tags, no entities, no control characters."""

from __future__ import annotations

import html
import re

__all__ = ["clean"]

# A tag starts with a letter, "/" or "!", so that "a < b > c" and "<3" stay.
_TAG = re.compile(r"<[A-Za-z/!][^<>]{0,300}>")
# AG News and other scraped sets lost the "&" of numeric entities: "#39;" is an apostrophe there.
_BARE_ENTITY = re.compile(r"(?<!&)#([0-9]{2,5});")
# Python's int() refuses more than 4,300 digits, and html.unescape passes all of them on; Unicode ends at 7.
_ENDLESS_ENTITY = re.compile(r"&#(?:[0-9]{32,}|[xX][0-9A-Fa-f]{32,});?")
# C0 and C1 control characters, the byte-order mark, zero-width characters, and halves of surrogate pairs
# (which no encoding accepts).
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u2028\u2029\u2060\ud800-\udfff]+")


def clean(text: str, strip_html: bool = True) -> str:
    """``text`` without tags, entities (if ``strip_html``) and control characters.

    Each tag and each run of control characters becomes one space, so words on both sides stay apart.
    Never fails, whatever the text, and what it returns can always be encoded as UTF-8.

    Example:
        >>> clean("It&#39;s<br />GREAT\\x96 isn#39;t it")
        "It's GREAT  isn't it"
    """
    if strip_html:
        if "&" in text or "#" in text:
            text = _BARE_ENTITY.sub(r"&#\1;", text)
            text = html.unescape(_ENDLESS_ENTITY.sub(" ", text))
        if "<" in text:
            text = _TAG.sub(" ", text)
    return _CONTROL.sub(" ", text)
