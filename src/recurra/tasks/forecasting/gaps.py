"""What is missing in the windows of a series: the share of each that is filled, and warnings about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.tasks.forecasting.prepare import Part
from recurra.tasks.forecasting.series.layout import Layout
from recurra.tasks.forecasting.series.reach import Reach

__all__ = ["Gaps", "gaps_in_words", "gaps_of"]

_MUCH = 0.5


@dataclass(frozen=True)
class Gaps:
    """What is missing in windows, from their oldest row to the current one.

    Attributes:
        rows: the number of rows of a window.
        share: the share of missing cells, which are filled with the last value before them, of shape (N,).
        missing: the number of missing cells in each column of numbers or words, of shape (N, C).
        inserted: the number of rows that the file lacks, of shape (N,).
        blind: whether no value of the target is known, of shape (N,).
    """

    rows: int
    share: NDArray[np.float64]
    missing: NDArray[np.int64]
    inserted: NDArray[np.int64]
    blind: NDArray[np.bool_]


def gaps_of(part: Part, reach: Reach) -> Gaps:
    """Returns what is missing in each window of a part."""
    matrix, rows = part.matrix, reach.back + 1
    missing = _within(matrix.missing, part.rows, rows)
    share = missing.mean(axis=1) / rows if missing.shape[1] else np.zeros(len(missing))
    inserted = _within((matrix.numbers == 0)[:, None], part.rows, rows)[:, 0]
    known = _within(np.isfinite(matrix.target)[:, None], part.rows, rows)[:, 0]
    return Gaps(rows, share, missing, inserted, known == 0)


def gaps_in_words(part: Part, gaps: Gaps, layout: Layout) -> list[str]:
    """Returns a warning for each kind of gap: columns, rows, unknown words."""
    numbers = part.matrix.numbers[part.rows]
    warnings = []
    for column, name in enumerate(_columns(layout)):
        whole = gaps.missing[:, column] == gaps.rows
        if whole.any() and not (name == layout.target.name and (gaps.blind == whole).all()):
            warnings.append(f"{name!r} is missing in {_windows(whole, numbers, 'the whole window')}")
    much = (gaps.inserted >= _MUCH * gaps.rows) | ((gaps.share >= _MUCH) & ~_whole(gaps))
    if much.any():
        first = int(np.flatnonzero(much)[0])
        lacking = f"{gaps.inserted[first]:,} of {gaps.rows:,} rows are not in the file"
        share = f"{100 * gaps.share[first]:.0f}% of the values are filled with earlier ones"
        warnings.append(
            f"{_windows(much, numbers, 'the window')}: {lacking if gaps.inserted[first] else share}"
        )
    read = _rows_read(part, gaps.rows)
    for name, words in part.matrix.unknown.items():
        cells = [word for word in words[read].tolist() if word is not None]
        if cells:
            new = sorted(set(cells))
            shown = ", ".join(map(repr, new[:5])) + (", ..." if len(new) > 5 else "")
            rows = "1 row" if len(cells) == 1 else f"{len(cells):,} rows"
            warnings.append(f"column {name!r}: {shown} in {rows} is unknown from training, and ignored")
    return warnings


def _columns(layout: Layout) -> list[str]:
    return [number.name for number in layout.numbers] + [words.name for words in layout.categories]


def _whole(gaps: Gaps) -> NDArray[np.bool_]:
    """Whether a column is missing in the whole window, which has its own warning, of shape (N,)."""
    return np.asarray((gaps.missing == gaps.rows).any(axis=1))


def _windows(which: NDArray[np.bool_], numbers: NDArray[np.int64], what: str) -> str:
    row = numbers[np.flatnonzero(which)[0]]
    if which.sum() == 1:
        return f"{what} of row {row:,}"
    return f"{what} of {int(which.sum()):,} rows, the first is row {row:,}"


def _rows_read(part: Part, rows: int) -> NDArray[np.bool_]:
    """Whether a row of the series is in a window, of shape (M,)."""
    edges = np.zeros(len(part.matrix) + 1, np.int64)
    np.add.at(edges, part.rows - rows + 1, 1)
    np.add.at(edges, part.rows + 1, -1)
    return np.asarray(np.cumsum(edges[:-1]) > 0)


def _within(marks: NDArray[np.bool_], current: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """The number of marks in each window, of shape (N, C)."""
    sums = np.concatenate([np.zeros((1, marks.shape[1]), np.int64), np.cumsum(marks, axis=0, dtype=np.int64)])
    return np.asarray(sums[current + 1] - sums[current + 1 - rows])
