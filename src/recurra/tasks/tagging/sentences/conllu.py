"""The word lines of CoNLL-U, strictly: ten columns, words counted from 1, a tag in the column asked for.

Our own reader, since the errors of the ``conllu`` package (6.0) name neither file nor line, and since it
takes lines of too few columns, or parted by two spaces, without a word.
"""

from __future__ import annotations

import re

from recurra.errors import DataError
from recurra.tasks.tagging.sentences.source import MISSING

__all__ = ["COLUMNS", "looks_like_conllu", "parse_word"]

COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

_NO_WORD = re.compile(r"\d+(?:-|\.)\d+")  # 1-2 covers the words 1 and 2, 1.1 is an empty node


def parse_word(line: str, words: int, column: str, labelled: bool) -> tuple[str, str | None] | None:
    """The word of a line and its tag; None where the line is a comment, a range of words or an empty node.

    Args:
        line: without its end.
        words: how many words of the sentence came before.
        column: ``upos``, ``xpos`` or ``feats``.
        labelled: whether the tag must be there. Features may be ``_``: a word may have none.

    Raises:
        DataError: the line is not a word line of CoNLL-U, without place.

    Example:
        >>> line = "1\\tDogs\\tdog\\tNOUN\\tNNS\\tNumber=Plur\\t2\\tnsubj\\t_\\t_"
        >>> parse_word(line, 0, "upos", True), parse_word("1-2\\tdu" + "\\t_" * 8, 0, "upos", True)
        (('Dogs', 'NOUN'), None)
    """
    if line.startswith("#"):
        return None
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        raise DataError(
            f"the line has {len(cells)} columns, CoNLL-U has {len(COLUMNS)} parted by tabs",
            hint="a blank line must part sentences" if len(cells) == 1 else None,
        )
    if _NO_WORD.fullmatch(cells[0]):
        return None
    if cells[0] != str(words + 1):
        raise DataError(
            f"the word's number is {cells[0][:20]!r}, not {words + 1}",
            hint="a blank line must part sentences" if cells[0] == "1" else None,
        )
    word, tag = cells[1], cells[COLUMNS.index(column)]
    if not word.strip():
        raise DataError("the word is empty")
    if not tag.strip() or (tag == MISSING and column != "feats"):
        if labelled:
            raise DataError(f"the word {word[:40]!r} has no {column.upper()} tag", hint=_mend(cells, column))
        return word, None
    return word, tag


def looks_like_conllu(lines: list[str]) -> bool:
    """Whether the first word line has CoNLL-U's columns and numbers."""
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    cells = first.split("\t")
    return len(cells) == len(COLUMNS) and bool(re.fullmatch(r"\d+([-.]\d+)?", cells[0]))


def _mend(cells: list[str], column: str) -> str | None:
    """Another column that has a tag where the one asked for has none."""
    filled = [
        other for other in ("upos", "xpos") if other != column and cells[COLUMNS.index(other)] != MISSING
    ]
    return f"its {filled[0].upper()} is there: pass --set tagging.column={filled[0]}" if filled else None
