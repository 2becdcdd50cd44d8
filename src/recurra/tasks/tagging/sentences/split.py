"""A plain text cut into words and marks, for a tagger that was trained on such."""

from __future__ import annotations

import re

__all__ = ["split_words"]

_CHUNK = re.compile(
    r"""
      (?:https?://|www\.)\S+          # an address
    | [\w.+-]+@\w[\w-]*(?:\.[\w-]+)+  # a mail address
    | \d+(?:[.,:/]\d+)*               # a number, a time, a date
    | \w(?:\.\w)+\.?                  # U.S.
    | \w+(?:['’]\w+)*                 # a word
    | (\S)\1*                         # a mark, or one repeated
    """,
    re.VERBOSE,
)
# English: "don't" is "do" and "n't", "we're" is "we" and "'re", as in the treebanks.
_CLITIC = re.compile(r"(?i)^(.+?)(n['’]t|['’](?:s|m|d|re|ve|ll))$")


def split_words(text: str) -> list[str]:
    """Words and marks of a text; English clitics stand by themselves, as they do in treebanks.

    A text of a language without spaces must be split before.

    Example:
        >>> split_words("I don't know (it's 3.5 U.S. dollars)...")
        ['I', 'do', "n't", 'know', '(', 'it', "'s", '3.5', 'U.S.', 'dollars', ')', '...']
    """
    found: list[str] = []
    for match in _CHUNK.finditer(text):
        chunk = match.group()
        parts = _CLITIC.match(chunk)
        found += parts.groups() if parts else [chunk]
    return found
