"""Our weights in the layout of Keras and JAX, and back; and in that of ONNX."""

from __future__ import annotations

import numpy as np

from benchmarks.kernels.grid import Case

__all__ = ["from_columns", "reordered", "to_columns"]

Arrays = dict[str, np.ndarray]


def reordered(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The rows ``(G*H, ...)`` with gate ``order[k]`` in place ``k``."""
    gates = np.split(array, len(order))
    return np.ascontiguousarray(np.concatenate([gates[place] for place in order]))


def to_columns(case: Case, weights: Arrays, order: tuple[int, ...]) -> list[np.ndarray]:
    """``kernel (E, G*H)``, ``recurrent (H, G*H)``, ``bias (G*H,)`` (GRU ``(2, 3H)``), layer after layer.

    Args:
        case: whose weights they are.
        weights: named as ours.
        order: of the gates; one that is its own inverse, so that `from_columns` can take the same.
    """
    columns = []
    for suffix in case.suffixes:
        bias = reordered(weights[f"bias_ih_{suffix}"], order)
        if case.cell == "gru":
            bias = np.stack([bias, reordered(weights[f"bias_hh_{suffix}"], order)])
        both = (reordered(weights[f"weight_{part}_{suffix}"], order).T for part in ("ih", "hh"))
        columns += [*(np.ascontiguousarray(part) for part in both), bias]
    return columns


def from_columns(case: Case, columns: list[np.ndarray], order: tuple[int, ...]) -> Arrays:
    """What `to_columns` made, by our names; gradients likewise."""
    weights = {}
    for number, suffix in enumerate(case.suffixes):
        kernel, recurrent, bias = columns[3 * number : 3 * number + 3]
        weights[f"weight_ih_{suffix}"] = reordered(kernel.T, order)
        weights[f"weight_hh_{suffix}"] = reordered(recurrent.T, order)
        if case.cell == "gru":
            weights[f"bias_ih_{suffix}"] = reordered(bias[0], order)
            weights[f"bias_hh_{suffix}"] = reordered(bias[1], order)
        else:
            weights[f"bias_ih_{suffix}"] = reordered(bias, order)
    return weights
