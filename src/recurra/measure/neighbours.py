"""The words nearest to a word, by the angle between their vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest"]


def nearest(
    table: NDArray[np.float32], row: int, candidates: NDArray[np.int64], count: int
) -> list[tuple[int, float]]:
    """The rows among ``candidates`` whose vectors have the largest cosine with ``row``'s, and the cosines.

    Args:
        table: ``(V, E)`` vectors.
        row: the one to compare with; it is no neighbour of itself.
        candidates: rows that may be answers; of equal cosines the first comes first, zeros have none.
        count: how many at most.
    """
    lengths = np.linalg.norm(table, axis=1)
    others = candidates[(candidates != row) & (lengths[candidates] > 0)]
    if lengths[row] == 0:
        return []
    cosines = (table[others] @ table[row]) / (lengths[others] * lengths[row])
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(others[place]), float(cosines[place])) for place in order]
