"""Raw text made plain before it is cut into tokens: no tags, no entities, no control characters."""

from __future__ import annotations

import html
import re

__all__ = ["clean"]

# A tag starts with a letter, "/" or "!", so that "a < b > c" and "<3" stay.
_TAG = re.compile(r"<[A-Za-z/!][^<>]{0,300}>")
# AG News and other scraped sets lost the "&" of numeric entities: "#39;" is an apostrophe there.
_BARE_ENTITY = re.compile(r"(?<!&)#(\d{2,5});")
# C0 and C1 control characters, the byte-order mark and zero-width characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u2028\u2029\u2060]+")


def clean(text: str, strip_html: bool = True) -> str:
    """``text`` without tags, entities (if ``strip_html``) and control characters.

    Each tag and each run of control characters becomes one space, so words on both sides stay apart.

    Example:
        >>> clean("It&#39;s<br />GREAT\\x96 isn#39;t it")
        "It's GREAT  isn't it"
    """
    if strip_html:
        if "&" in text or "#" in text:
            text = html.unescape(_BARE_ENTITY.sub(r"&#\1;", text))
        if "<" in text:
            text = _TAG.sub(" ", text)
    return _CONTROL.sub(" ", text)
