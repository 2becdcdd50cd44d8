"""Lines of a word and its tag, such as CoNLL-2003 has them: the word first, the tag last."""

from __future__ import annotations

from collections import Counter

from recurra.errors import DataError
from recurra.tasks.tagging.sentences.source import MISSING

__all__ = ["cells_of", "find_columns", "parse_cells"]

_DOCUMENT = "-DOCSTART-"


def find_columns(lines: list[str]) -> tuple[int, bool]:
    """How many columns most lines have, and whether tabs part them.

    Example:
        >>> find_columns(["Dogs NNS B-NP O", "bark VBP B-VP O", "", "New York NNP O"])
        (4, False)
        >>> find_columns(["New York\\tPROPN"])
        (2, True)
    """
    filled = [line for line in lines if line.strip() and not line.startswith(_DOCUMENT)]
    tabs = sum("\t" in line for line in filled) > len(filled) / 2
    counts = Counter(len(cells_of(line, tabs)) for line in filled)
    return (counts.most_common(1)[0][0] if counts else 0), tabs


def cells_of(line: str, tabs: bool) -> list[str]:
    """The columns of a line: parted by tabs, or by any white space."""
    return [cell.strip() for cell in line.split("\t")] if tabs else line.split()


def parse_cells(
    line: str, words: int, columns: int, tabs: bool, labelled: bool
) -> tuple[str, str | None] | None:
    """The word of a line and its tag; None where the line is a document's mark or a comment.

    Args:
        line: without its end.
        words: how many words of the sentence came before.
        columns: how many the line must have.
        tabs: whether tabs alone part them.
        labelled: whether the tag must be there.

    Raises:
        DataError: the line has other columns, no word or no tag; without place.

    Example:
        >>> parse_cells("U.N. NNP I-NP I-ORG", 0, 4, False, True)
        ('U.N.', 'I-ORG')
    """
    cells = cells_of(line, tabs)
    if cells[0] == _DOCUMENT:
        return None
    if len(cells) != columns:
        if words == 0 and line.startswith("# "):  # a comment; a word '#' has as many columns as others
            return None
        if len(cells) == 1:
            raise DataError(f"the word {cells[0][:40]!r} has no tag")
        count = f"the line has {len(cells)} columns, the others {columns}"
        raise DataError(count, hint="each needs the word first and the tag last")
    word, tag = cells[0], cells[-1]
    if not word:
        raise DataError("the word is empty")
    if tag in ("", MISSING):
        if labelled:
            raise DataError(f"the word {word[:40]!r} has no tag")
        return word, None
    return word, tag
