"""The worst mistakes: rows predicted wrong with the greatest confidence, with an excerpt of their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

__all__ = ["Mistake", "excerpt", "worst_mistakes", "worst_rows"]


class Mistake(BaseModel):
    """One row predicted wrong.

    ``row`` is its number in the data file; ``true`` and ``predicted`` are class names (multi-label: joined
    by commas, "none" for the empty set); ``probability`` is how sure the model was of what is wrong;
    ``true_probability`` what it gave the true class (None for multi-label).
    """

    row: int
    true: str
    predicted: str
    probability: float
    true_probability: float | None
    text: str


def worst_rows(
    labels: NDArray[Any], probabilities: NDArray[np.floating], task: str, count: int = 12
) -> NDArray[np.int64]:
    """Indices ``(at most count,)`` of the most confident wrong rows, the worst first, ties by index.

    Args:
        labels: ``(N,)`` class indices, or ``(N, C)`` of 0 and 1 for multi-label.
        probabilities: ``(N, C)``.
        task: ``binary``, ``multiclass`` or ``multilabel``.
        count: how many at most.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.3, 0.7], [0.05, 0.95]])
        >>> worst_rows(np.array([1, 1, 0]), p, "binary").tolist()
        [2, 0]
    """
    wrongness = _wrongness(np.asarray(labels), np.asarray(probabilities, np.float64), task)
    order = np.argsort(-wrongness, kind="stable")[:count]
    return order[wrongness[order] > 0].astype(np.int64)


def worst_mistakes(
    labels: NDArray[Any],
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    task: str,
    texts_of: Callable[[NDArray[np.int64]], Sequence[str]],
    *,
    numbers: NDArray[np.int64] | None = None,
    count: int = 12,
    characters: int = 320,
) -> list[Mistake]:
    """The worst mistakes, ready to print.

    Args:
        labels: ``(N,)`` class indices, or ``(N, C)`` of 0 and 1 for multi-label.
        probabilities: ``(N, C)``.
        names: the ``C`` classes.
        task: ``binary``, ``multiclass`` or ``multilabel``.
        texts_of: gives the texts of rows by index; asked once, for the few rows that are shown, in
            ascending order, so that one pass over a large file is enough.
        numbers: ``(N,)`` row numbers in the data file; counted from 1 if not given.
        count: how many at most.
        characters: a longer text is shown with its middle left out.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    rows = worst_rows(y, p, task, count)
    wrongness = _wrongness(y, p, task)
    asked = np.sort(rows)
    given = texts_of(asked) if len(rows) else []
    if len(given) != len(rows):
        raise ValueError(f"{len(given)} texts were given for {len(rows)} rows")
    texts = dict(zip(asked.tolist(), given, strict=True))
    found = []
    for row in rows.tolist():
        if task == "multilabel":
            true, predicted = _set_of(y[row] > 0, names), _set_of(p[row] >= 0.5, names)
            true_probability = None
        else:
            true, predicted = str(names[int(y[row])]), str(names[int(p[row].argmax())])
            true_probability = float(p[row, int(y[row])])
        found.append(
            Mistake(
                row=row + 1 if numbers is None else int(numbers[row]),
                true=true,
                predicted=predicted,
                probability=float(wrongness[row]),
                true_probability=true_probability,
                text=excerpt(texts[row], characters),
            )
        )
    return found


def excerpt(text: str, characters: int = 320) -> str:
    """``text`` on one line, its middle left out where it is longer than ``characters``.

    Example:
        >>> excerpt("one two  three four five six", 21)
        'one two … five six'
    """
    # The ends of a huge text are enough to cut from, white space included.
    if len(text) > 8 * characters:
        text = text[: 4 * characters] + " " + text[-4 * characters :]
    # A lone surrogate (half a character, as broken JSON may hold) is no text that could be saved.
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if len(line) <= characters:
        return line
    half = (characters - 3) // 2
    head, tail = line[:half], line[-half:]
    # A cut inside a word moves to the word's edge, unless there is none nearby (Chinese, long strings).
    if " " in head[-20:] and line[half] != " ":
        head = head.rsplit(" ", 1)[0]
    if " " in tail[:20] and line[-half - 1] != " ":
        tail = tail.split(" ", 1)[1]
    return f"{head.rstrip()} … {tail.lstrip()}"


def _wrongness(y: NDArray[Any], p: NDArray[np.float64], task: str) -> NDArray[np.float64]:
    """``(N,)`` the probability given to what is wrong, 0 for rows that are right."""
    if task == "multilabel":
        chosen = p >= 0.5
        sure = np.where(chosen, p, 1 - p)
        return np.asarray(np.where(chosen != (y > 0), sure, 0.0).max(axis=1))
    best = p.argmax(axis=1)
    return np.asarray(np.where(best != y, p[np.arange(len(p)), best], 0.0))


def _set_of(mask: NDArray[np.bool_], names: Sequence[str]) -> str:
    return ", ".join(str(names[c]) for c in np.flatnonzero(mask).tolist()) or "none"
