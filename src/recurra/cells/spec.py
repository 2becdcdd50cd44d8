"""The definition of a recurrent cell: its parameters, their initial values, and one step in plain PyTorch.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError

__all__ = [
    "Activation",
    "CellSpec",
    "Initial",
    "Inputs",
    "Ops",
    "Parameter",
    "Product",
    "State",
    "Weights",
    "activation_function",
    "glorot",
    "input_product",
    "ones",
    "orthogonal",
    "uniform",
    "zeros",
]

Activation: TypeAlias = str | Callable[[Tensor], Tensor]
State: TypeAlias = tuple[Tensor, ...]
"""The state parts of a cell, each ``(B, H)``; the first one is the cell's output."""
Inputs: TypeAlias = tuple[Tensor, ...]
Initial: TypeAlias = Callable[[Tensor, int], object]
"""Fills a parameter in place, given the parameter and ``H``."""


def linear_sigmoid(x: Tensor) -> Tensor:
    """``x + 0.5`` where ``x >= 0``, else ``sigmoid(x)``: positive, as scans in log space need it.

    (Feng et al. 2024, appendix B, where it is called ``g``.)
    """
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


_NAMED: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "linear_sigmoid": linear_sigmoid,
}
_SIZE = re.compile(r"(\d*)([EH])(?:/(\d+))?")


class Weights(dict[str, Tensor]):
    """The parameters of one layer and direction by name, also as attributes.

    Example:
        >>> Weights(bias_ih=torch.zeros(4)).bias_ih.shape
        torch.Size([4])
    """

    def __getattr__(self, name: str) -> Tensor:
        if name not in self:
            raise AttributeError(f"there is no parameter {name!r}; there are {', '.join(self)}")
        self.__dict__[name] = value = self[name]  # found there from now on, in a tenth of the time
        return value


class Product(Protocol):
    """``x weight' + bias``, of factors rounded to bfloat16 if that is the layer's precision."""

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Returns the product.

        Args:
            x: ``(..., N)``.
            weight: ``(M, N)``.
            bias: ``(M,)`` or ``(..., M)``.

        Returns:
            ``(..., M)``.
        """
        ...


@dataclass
class Ops:
    """The operations of a layer that a step uses.

    Attributes:
        act: the layer's activation.
        product: a matrix product in the layer's precision.
        recurrent_mask: ``(B, H)`` of recurrent dropout, or None.
        seen: receives the sums of each gate by name; None if they are not recorded.
    """

    act: Callable[[Tensor], Tensor]
    product: Product
    recurrent_mask: Tensor | None = None
    seen: dict[str, Tensor] | None = None

    def enter(self, h: Tensor) -> Tensor:
        """Returns the state multiplied by the mask of recurrent dropout, for the recurrent product."""
        return h if self.recurrent_mask is None else h * self.recurrent_mask

    def gate(self, name: str, sums: Tensor) -> Tensor:
        """Returns ``sigmoid(sums)``, which the memory inspection shows as the gate of that name."""
        if self.seen is not None:
            self.seen[name] = sums
        return torch.sigmoid(sums)

    def gates(self, names: tuple[str, ...], sums: Tensor) -> tuple[Tensor, ...]:
        """Returns several gates of ``H`` columns each."""
        if self.seen is not None:
            self.seen.update(zip(names, sums.chunk(len(names), dim=-1), strict=True))
        return torch.sigmoid(sums).chunk(len(names), dim=-1)


def glorot(parameter: Tensor, H: int) -> None:
    """Fills with Glorot-uniform values, Keras's default for input weights."""
    nn.init.xavier_uniform_(parameter)


def orthogonal(parameter: Tensor, H: int) -> None:
    """Fills with an orthogonal matrix, Keras's default for recurrent weights."""
    if parameter.dtype in (torch.float32, torch.float64):
        nn.init.orthogonal_(parameter)
    else:  # torch has no QR factorisation of narrower dtypes
        parameter.copy_(nn.init.orthogonal_(torch.empty_like(parameter, dtype=torch.float32)))


def uniform(parameter: Tensor, H: int) -> None:
    """Fills with uniform values within ``1 / sqrt(H)``, torch.nn's default for all parameters."""
    nn.init.uniform_(parameter, -(H**-0.5), H**-0.5)


def zeros(parameter: Tensor, H: int) -> None:
    """Fills with zeros."""
    nn.init.zeros_(parameter)


def ones(parameter: Tensor, H: int) -> None:
    """Fills with ones, such as the gain of a layer normalisation."""
    nn.init.ones_(parameter)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a layer and direction.

    Attributes:
        name: such as ``weight_ih``, which is ``weight_ih_l0`` in the first layer.
        shape: sizes such as ``E``, ``H``, ``4H`` and ``H/4``, for example ``("4H", "E")``.
        initial: fills it if ``initial_weights`` is ``keras``.
        initial_torch: fills it if ``initial_weights`` is ``torch``.
        exists: whether a layer of ``E`` and ``H`` has it; None if all have.
    """

    name: str
    shape: tuple[str, ...]
    initial: Initial = glorot
    _: KW_ONLY
    initial_torch: Initial = uniform
    exists: Callable[[int, int], bool] | None = None


def input_product(x: Tensor, weights: Weights, ops: Ops) -> tuple[Inputs, Weights]:
    """The product of the input with ``weight_ih`` over all steps at once, plus ``bias_ih``."""
    return (ops.product(x, weights.weight_ih, weights.bias_ih),), weights


@dataclass(frozen=True, kw_only=True, eq=False)
class CellSpec:
    """A recurrent cell: all that layers, kernels, settings and reports read about it.

    ``prepare`` runs once a call and computes what does not depend on the state; ``step`` then runs once for
    each time step. Lengths, reading direction and gradients are handled outside.

    Attributes:
        name: in settings and in Python, such as ``lstm``.
        title: in tables and sentences, such as ``LSTM``.
        parameters: of one layer and direction.
        step: ``step(inputs, state, weights, ops)`` returns the new state; ``inputs`` and ``weights`` are
            as from ``prepare``, the inputs cut to this step.
        prepare: ``prepare(x, weights, ops)`` is given the whole input ``(T, B, E)`` and returns tensors
            ``(T, B, N)`` that are cut into steps, and what the steps use as weights.
        gates: the blocks of ``H`` rows in ``weight_ih`` and ``weight_hh``, in their order.
        state: names of the state parts; the first one is the output.
        keeps: the gate (as named in ``ops.gate``) that multiplies the old state on its way to the next step.
        activations: names that are allowed, the cell's own first; a function is always allowed.
        recurrent_dropout: whether the step has a recurrent product, on whose state recurrent dropout acts.
        keras_gates: ``gates`` in the order of Keras's layer; None if Keras has no such layer.
        torch_module: the torch.nn module of the same equations and parameter names, if any.
    """

    name: str
    title: str
    parameters: tuple[Parameter, ...]
    step: Callable[[Inputs, State, Weights, Ops], State]
    prepare: Callable[[Tensor, Weights, Ops], tuple[Inputs, Weights]] = input_product
    gates: tuple[str, ...] = ()
    state: tuple[str, ...] = ("h",)
    keeps: str | None = None
    activations: tuple[str, ...] = ("tanh", "relu")
    recurrent_dropout: bool = True
    keras_gates: tuple[str, ...] | None = None
    torch_module: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU] | None = None
    parameter_names: tuple[str, ...] = field(init=False)
    _widest: tuple[str, int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = tuple(parameter.name for parameter in self.parameters)
        object.__setattr__(self, "parameter_names", names)
        if not self.name.isidentifier() or self.name == "spec":
            raise ConfigError(f"{self.name!r} can't name a cell", hint="give letters, digits and _")
        if not self.state or not names or len(set(names)) != len(names):
            raise ConfigError(f"cell {self.name!r} needs a state and parameters of different names")
        sizes = [size for parameter in self.parameters for size in parameter.shape]
        for size in sizes:
            if not _SIZE.fullmatch(size):
                raise ConfigError(
                    f"cell {self.name!r} has a parameter of size {size!r}",
                    hint="give sizes such as E, H, 4H or H/4",
                )
        multiples = (
            (parameter.name, dimension, int(size[:-1] or 1))
            for parameter in self.parameters
            for dimension, size in enumerate(parameter.shape)
            if size[-1] == "H" and parameter.exists is None
        )
        widest = next(multiples, None)
        if widest is None:
            raise ConfigError(f"cell {self.name!r} has no parameter whose shape depends on H")
        object.__setattr__(self, "_widest", widest)

    def shapes(self, E: int, H: int) -> Mapping[str, tuple[int, ...]]:
        """Returns the shape of each parameter of a layer by name.

        Raises:
            ConfigError: a size is a part of ``H`` that is no integer.
        """
        return _shapes(self, E, H)

    def parameter_count(self, E: int, H: int) -> int:
        """Returns the number of weights of one layer and direction."""
        return sum(torch.Size(shape).numel() for shape in self.shapes(E, H).values())

    def units(self, weights: Mapping[str, Tensor]) -> int:
        """Returns ``H``, from the shapes of the parameters.

        Raises:
            ValueError: the names are not those of the cell's parameters.
        """
        if tuple(weights) != self.parameter_names and not self._may_have(set(weights)):
            raise ValueError(
                f"{self.name} has the parameters {', '.join(self.parameter_names)}, not {', '.join(weights)}"
            )
        name, dimension, factor = self._widest
        return weights[name].shape[dimension] // factor

    def _may_have(self, names: set[str]) -> bool:
        needed = {parameter.name for parameter in self.parameters if parameter.exists is None}
        return needed <= names <= set(self.parameter_names)

    @property
    def activation(self) -> str:
        """The name of the activation that is used where none is given."""
        return self.activations[0]

    def recurrent_blocks(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the ``(H, H)`` blocks of ``weight_hh`` by gate; empty if the cell has no such matrix."""
        matrix = weights.get("weight_hh")
        if matrix is None or matrix.dim() != 2 or len(matrix) != len(self.gates) * matrix.shape[1]:
            return {}
        return dict(zip(self.gates, matrix.chunk(len(self.gates)), strict=True))


def activation_function(activation: Activation) -> Callable[[Tensor], Tensor]:
    """Returns the function of an activation, which may be a name or a function."""
    return activation if callable(activation) else _NAMED[activation]


@lru_cache(256)
def _shapes(spec: CellSpec, E: int, H: int) -> Mapping[str, tuple[int, ...]]:
    return {
        parameter.name: tuple(_size(spec, size, E, H) for size in parameter.shape)
        for parameter in spec.parameters
        if parameter.exists is None or parameter.exists(E, H)
    }


def _size(spec: CellSpec, size: str, E: int, H: int) -> int:
    ((number, letter, divisor),) = _SIZE.findall(size)
    factor, of, parts = int(number or 1), {"E": E, "H": H}[letter], int(divisor or 1)
    if of % parts:
        raise ConfigError(
            f"{spec.title} has {parts} parts, which {of} units can't be divided into",
            hint=f"give a multiple of {parts}",
        )
    return factor * (of // parts)
