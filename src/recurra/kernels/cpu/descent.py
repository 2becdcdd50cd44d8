"""Logistic regressions of all classes at once, by dual coordinate descent over one sparse matrix.

The matrix is read once for all classes, and the numbers of an n-gram for all classes lie side by side: a pass
waits for the memory once where a regression after the other would wait for it once a class.

Source: Yu, Huang and Lin, "Dual Coordinate Descent Methods for Logistic Regression and Maximum Entropy
Models", Machine Learning 85 (2011), algorithm 5, which liblinear uses too.
"""

from __future__ import annotations

from math import log
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.kernels.cpu.compiled import compiled
from recurra.kernels.cpu.layout import Floats, Integers

__all__ = ["count", "descend"]

Columns: TypeAlias = NDArray[np.int32]
Doubles: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.uint8]

NEWTON = 30
"""Steps of a one-dimensional Newton method at most; two or three are usual."""


@compiled
def count(
    begin: int, end: int, starts: Integers, columns: Columns, positive: Flags, classes: int, found: Floats
) -> None:
    """Adds to ``found (F, K)`` the rows from ``begin`` to ``end`` of each class that have a feature."""
    for row in range(begin, end):
        for entry in range(starts[row], starts[row + 1]):
            place = columns[entry] * np.int64(classes)
            for k in range(classes):
                found[place + k] += np.float32(positive[row * classes + k])


@compiled
def descend(
    order: Integers, begin: int, end: int, starts: Integers, columns: Columns, values: Floats,
    positive: Flags, classes: int, table: Floats, biases: Doubles, alphas: Doubles, limits: Doubles,
    scores: Floats, squares: Floats, report: Doubles,
) -> None:  # fmt: skip
    """Visits the rows ``order[begin:end]`` and improves the dual variables of all classes for each.

    Args:
        order: the rows in the order of this pass.
        begin: the first place in it.
        end: the place after the last one.
        starts: of the rows among the entries, (N + 1,).
        columns: of the entries.
        values: of the entries.
        positive: (N, K), 1 where a row is of a class, 0 elsewhere.
        classes: ``K``.
        table: (F, 2, K), the weights of the features, and the squares of their factors.
        biases: (K,).
        alphas: (N, K), the dual variables, between 0 and C.
        limits: ``C``, and the gradient below which a variable is left as it is.
        scores: (K,), for the sums of a row.
        squares: (K,), for the sums of squares of a row.
        report: the sum of the sizes of gradients so far, and the number of Newton steps; updated.
    """
    C, enough = limits[0], limits[1]
    for place in range(begin, end):
        row = order[place]
        first, last = starts[row], starts[row + 1]
        for k in range(classes):
            scores[k] = np.float32(biases[k])
            squares[k] = np.float32(1.0)
        for entry in range(first, last):
            x = values[entry]
            at = columns[entry] * np.int64(2 * classes)
            for k in range(classes):
                scores[k] += x * table[at + k]
                squares[k] += x * x * table[at + classes + k]
        changed = False
        for k in range(classes):
            y = 1.0 if positive[row * classes + k] else -1.0
            alpha, a, b = alphas[row * classes + k], np.float64(squares[k]), y * np.float64(scores[k])
            # The smaller of alpha and C - alpha is the variable: its logarithm is exact near 0.
            sign = 1.0
            if 0.5 * a * (C - 2.0 * alpha) + b < 0.0:
                sign = -1.0
            old = alpha if sign > 0.0 else C - alpha
            z = 0.1 * old if C - old < 0.5 * C else old
            gradient = a * (z - old) + sign * b + log(z / (C - z))
            report[0] += abs(gradient)
            steps = 0
            while abs(gradient) >= enough and steps <= NEWTON:
                step = z - gradient / (a + C / ((C - z) * z))
                z = 0.1 * z if step <= 0.0 else step
                gradient = a * (z - old) + sign * b + log(z / (C - z))
                steps += 1
            scores[k] = np.float32(0.0)
            if steps:
                report[1] += steps
                alphas[row * classes + k] = z if sign > 0.0 else C - z
                change = sign * (z - old) * y
                biases[k] += change
                scores[k] = np.float32(change)
                changed = True
        if changed:
            for entry in range(first, last):
                x = values[entry]
                at = columns[entry] * np.int64(2 * classes)
                for k in range(classes):
                    table[at + k] += x * scores[k] * table[at + classes + k]
