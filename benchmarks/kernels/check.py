"""Whether a peer's outputs and gradients are the true ones; who fails is not timed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["TOLERANCE", "Checked", "checked"]

TOLERANCE = 1e-4
"""Greatest difference from the truth, as a share of the greatest true number of the same array."""


class Checked(NamedTuple):
    """The array furthest from its truth, and how far."""

    error: float
    name: str

    @property
    def passed(self) -> bool:
        return self.error <= TOLERANCE  # false for NaN too


def checked(results: Path, truth: Path, lengths: np.ndarray) -> Checked:
    """Compare the arrays of two ``.npz``; outputs only at true steps, where all agree on what they are."""
    found, true = np.load(results), np.load(truth)
    worst = Checked(0.0, "")
    for name in true.files:
        if name not in found.files or found[name].shape != true[name].shape:
            return Checked(float("inf"), f"{name} missing or of another shape")
        expected, difference = true[name], found[name] - true[name]
        if name == "outputs":
            difference = difference[np.arange(expected.shape[1]) < lengths[:, None]]
        error = float(np.max(np.abs(difference)) / np.max(np.abs(expected)))
        if not error <= worst.error:
            worst = Checked(error, name)
    return worst
