"""Nearest neighbours of a word by the cosine of vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest"]


def nearest(
    table: NDArray[np.float32], row: int, candidates: NDArray[np.int64], count: int
) -> list[tuple[int, float]]:
    """Returns the rows among ``candidates`` with the largest cosine to ``row``, and the cosines.

    Args:
        table: Vectors of shape ``(V, E)``.
        row: Row to compare with; it is excluded from the result.
        candidates: Rows to choose from; ties keep their order, zero vectors are excluded.
        count: Maximum number of neighbours.
    """
    lengths = np.linalg.norm(table, axis=1)
    others = candidates[(candidates != row) & (lengths[candidates] > 0)]
    if lengths[row] == 0:
        return []
    cosines = (table[others] @ table[row]) / (lengths[others] * lengths[row])
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(others[index]), float(cosines[index])) for index in order]
