"""A table whose last column is text without quotes: separators in it are part of the text."""

from __future__ import annotations

from collections.abc import Sequence

from recurra.io.formats.columns import study

__all__ = ["joined", "takes_rest"]

_WIDE = "\u2e7f"  # scripts without spaces are above it
_PROSE_DELIMITERS = ",;"  # those that are punctuation too


def joined(fields: list[str], width: int, delimiter: str) -> list[str]:
    """Returns ``width`` fields, of which the last one has the rest of the row.

    Example:
        >>> joined(["pos", "good", " but long"], 2, ","), joined(["pos", "good"], 2, ",")
        (['pos', 'good, but long'], ['pos', 'good'])
    """
    if len(fields) <= width:
        return fields
    return [*fields[: width - 1], delimiter.join(fields[width - 1 :])]


def takes_rest(rows: Sequence[list[str]], width: int, delimiter: str, known: bool = False) -> bool:
    """Whether the last of ``width`` columns takes the rest of each row.

    That is so if rows have more fields and none has fewer, the last column is prose, separators in it are
    followed by a space as in prose, and another column has the same few values in these rows as in the others
    (unless it is ``known`` of the training file). A separator in an earlier column would fail one of these.

    Example:
        >>> rows = [[f"{i}", "pos", f"one more text {i}"] for i in range(8)]
        >>> takes_rest([*rows, ["8", "pos", "one", " and more of it"]], 3, ",")
        True
        >>> takes_rest([*rows, ["8", "neg", "one", " and more of it"]], 3, ",")
        False
    """
    longer = [row for row in rows if len(row) > width]
    regular = [row for row in rows if len(row) == width]
    if width < 2 or delimiter not in _PROSE_DELIMITERS or not longer:
        return False
    if len(longer) + len(regular) < len(rows) or not regular:
        return False
    names = [str(number) for number in range(width)]
    *_, text = study(names, (joined(row, width, delimiter) for row in rows))
    if not text.is_prose or 10 * sum(map(_continues, (row[width - 1 :] for row in longer))) < 9 * len(longer):
        return False
    if known:
        return True
    labels = [column for column in study(names, regular)[:-1] if column.can_be_label]
    return any(
        all(row[int(column.name)] in column.values for row in longer)
        for column in labels
        if len(column.values) < len(regular)
    )


def _continues(pieces: Sequence[str]) -> bool:
    """Whether pieces are a text that was cut at its punctuation."""
    return not pieces[0].startswith(" ") and all(
        not piece or piece[0] == " " or piece[0] > _WIDE for piece in pieces[1:]
    )
