"""What is exported of a model: a graph, what is written beside it, and inputs with the answers of recurra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recurra.export.graph import Graph
from recurra.tasks.reporter import Tick

__all__ = ["Arrays", "Measure", "Plan", "Probe", "Run", "described"]

Arrays = dict[str, NDArray[Any]]
"""Inputs or outputs by name."""
Run = Callable[[Arrays], Arrays]
"""Computes the outputs of an exported model from its inputs."""


@dataclass(frozen=True)
class Probe:
    """Inputs and the answers of recurra.

    Attributes:
        inputs: the inputs by name.
        answers: outputs that must agree, by name; NaN where a value is not defined, as at padding.
        choices: what is chosen by them, such as labels, likewise; NaN where a rounding error could decide.
    """

    inputs: Arrays
    answers: Arrays
    choices: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """The quality of answers on the rows of a file.

    Attributes:
        name: what is measured, such as ``accuracy``.
        value: its mean over the rows, weighted by ``sizes``.
        rows: how many there are.
        values: that of each row, for comparisons, of shape (rows,).
        unit: what a row is.
        sizes: the units of each row, such as tokens, (rows,); None if all rows count the same.
    """

    name: str
    value: float
    rows: int
    values: NDArray[np.float64] = field(repr=False)
    unit: str = "rows"
    sizes: NDArray[np.float64] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Plan:
    """A model that can be exported.

    Attributes:
        graph: builds the ONNX graph.
        program: builds a module of plain PyTorch with the inputs and outputs of the graph, in its order.
        signature: a description of inputs, outputs and settings as JSON values.
        files: text files to write beside, by name.
        probes: yields inputs of several sizes and lengths with the answers of recurra.
        measure: computes the quality of the outputs for the rows of a file; calls back with finished rows.
        notes: sentences on what is not as in recurra.
    """

    graph: Callable[[], Graph]
    program: Callable[[], nn.Module]
    signature: Mapping[str, Any]
    files: Mapping[str, str]
    probes: Callable[[np.random.Generator], Iterator[Probe]]
    measure: Callable[[Any, Run, Tick], Measure]
    notes: tuple[str, ...] = ()


def described(name: str, dtype: str, shape: Sequence[str | int], meaning: str) -> dict[str, Any]:
    """Returns the description of an input or an output for the signature; a dimension with a name is free."""
    return {"name": name, "type": dtype, "shape": list(shape), "meaning": meaning}
