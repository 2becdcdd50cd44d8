"""What a peer is given, and what it must give back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kernels.grid import Case

__all__ = ["Arrays", "Prepared", "Task"]

Arrays = dict[str, np.ndarray]


class Task(NamedTuple):
    """A case and its data, the same for every peer."""

    case: Case
    backend: str
    """of ours; peers have none."""
    threads: int
    x: np.ndarray
    """``(B, T, E)``; with tokens, ``table[index]``, which no peer reads."""
    upstream: np.ndarray
    """``(B, T, D*H)`` the gradient of the outputs, zero past each length."""
    lengths: np.ndarray
    """``(B,)``"""
    mask: np.ndarray
    """``(B, H)`` recurrent dropout's."""
    weights: Arrays
    """Named and laid out as our layers' parameters."""
    table: np.ndarray
    """``(V, E)`` vectors of words; empty without tokens."""
    index: np.ndarray
    """``(B, T)`` the word of each step; empty without tokens."""


class Prepared(NamedTuple):
    """A peer that is ready to be timed."""

    call: Callable[[], Any]
    """One whole computation; returns when it is done. This is what is timed."""
    named: Callable[[Any], Arrays]
    """What it returned, by our names: ``outputs (B, T, D*H)``, gradients of `Case.source` and weights."""
