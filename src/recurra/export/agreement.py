"""The comparison of an exported model with the answers of recurra."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import OutputError
from recurra.export.plan import Probe, Run

__all__ = ["TOLERANCE", "Agreement", "compared"]

TOLERANCE = 1e-4
"""The largest difference from an answer of recurra: of a probability, or relative to an answer beyond 1."""


@dataclass(frozen=True)
class Agreement:
    """How near the answers of an exported model are to those of recurra.

    Attributes:
        difference: the largest difference, absolute for answers up to 1 and relative beyond.
        shapes: the shape of the first input of each comparison.
    """

    difference: float
    shapes: list[tuple[int, ...]]

    def words(self) -> str:
        """Describes it in a sentence.

        Example:
            >>> Agreement(2.4e-08, [(1, 7), (3, 20)]).words()
            'checked in 2 batches (1 x 7, 3 x 20): largest difference from recurra 2.4e-08'
        """
        shapes = ", ".join(" x ".join(map(str, shape[:2])) for shape in self.shapes)
        return (
            f"checked in {len(self.shapes)} batches ({shapes}): "
            f"largest difference from recurra {self.difference:.1e}"
        )


def compared(run: Run, probes: Iterable[Probe], *, choices: bool = True) -> Agreement:
    """Returns the largest difference of the outputs from the answers of recurra; infinite for NaN.

    With ``choices``, what is chosen by the answers is compared, too, where the model has it as an output.

    Raises:
        OutputError: an output has another shape, or the model can't be run.
    """
    largest, shapes = 0.0, []
    for probe in probes:
        try:
            found = run(probe.inputs)
        except Exception as error:  # ONNX Runtime raises nothing narrower
            raise OutputError(f"the exported model can't be run ({error})") from error
        shapes.append(next(iter(probe.inputs.values())).shape)
        chosen = {name: value for name, value in probe.choices.items() if choices and name in found}
        for name, answer in {**probe.answers, **chosen}.items():
            if found[name].shape != answer.shape:
                what = f"output {name} has the shape {found[name].shape} instead of {answer.shape}"
                raise OutputError(f"the exported model gives other answers: {what}")
            largest = max(largest, _difference(found[name], answer))
    return Agreement(largest, shapes)


def _difference(found: Any, answer: Any) -> float:
    given = ~np.isnan(answer)
    wide, right = np.asarray(found, np.float64)[given], np.asarray(answer, np.float64)[given]
    if not len(right):
        return 0.0
    with np.errstate(invalid="ignore"):
        apart = np.where(wide == right, 0.0, np.abs(wide - right) / np.maximum(1.0, np.abs(right)))
    return float(np.where(np.isnan(apart), np.inf, apart).max())
