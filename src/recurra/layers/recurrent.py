"""Stacks of recurrent layers of any cell; SimpleRNN, LSTM and GRU.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``D`` directions (1 or 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, TypeAlias, cast

import torch
from torch import Tensor, nn

from recurra.cells import cell_named
from recurra.cells.spec import Activation, CellSpec, State, Weights
from recurra.errors import ConfigError
from recurra.kernels.dispatch import BACKENDS, Call, Lookup, Precision, check_lengths, gate_sums, layer
from recurra.layers.dropout import sequence_mask
from recurra.layers.torch_weights import from_torch, to_torch

__all__ = ["GRU", "LSTM", "InitialWeights", "Recurrent", "SimpleRNN", "States"]

InitialWeights: TypeAlias = Literal["keras", "torch"]
States: TypeAlias = tuple[State, ...]
"""The state parts, such as ``(h, c)``, each ``(B, H)``, of every layer and direction: layer 0 forward, layer
0 backward, layer 1 forward, ..."""


class Recurrent(nn.Module):
    """A stack of recurrent layers of one cell; its outputs and states do not depend on padding.

    Args:
        cell: the name of a cell, such as ``"lstm"``; needed unless a subclass gives it.
        input_size: ``E``, features of an input step.
        units: hidden units ``H``; a sequence gives each layer its own width.
        layers: how many layers, where neither ``units`` nor ``activation`` is a sequence.
        bidirectional: a second set of weights reads each row from its true last step; outputs are joined.
        dropout: share of every layer's input that is dropped, one mask a sequence, the same at every step.
        recurrent_dropout: the same on the state that enters the recurrent product (Gal & Ghahramani 2016).
        activation: ``"tanh"``, ``"relu"`` or a function; a sequence gives each layer its own.
        return_sequences: whether the outputs are all states, or the last state alone.
        backend: ``"auto"``, ``"cpu"``, ``"reference"`` or ``"torch"``.
        precision: ``"bfloat16"`` rounds the factors of the products, forwards and backwards, to 8 bits.
        initial_weights: ``"keras"``: Glorot-uniform input weights, orthogonal recurrent weights, zero biases
            but 1 for LSTM's forget gate; ``"torch"``: all uniform within ``1 / sqrt(H)``.

    Parameters are named as in ``torch.nn``: the cell's name for each, the layer and the direction.

    Raises:
        ConfigError: there is no such cell, a setting is out of its range, or sequences differ in length.
    """

    cell: str = ""

    def __init__(
        self,
        input_size: int,
        units: int | Sequence[int],
        *,
        cell: str | None = None,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        activation: Activation | Sequence[Activation] = "tanh",
        return_sequences: bool = True,
        backend: str = "auto",
        precision: Precision = "float32",
        initial_weights: InitialWeights = "keras",
    ) -> None:
        super().__init__()
        if self.cell not in ("", cell or self.cell):
            raise ConfigError(
                f"{type(self).__name__} is of cell {self.cell}, not {cell}", hint="use Recurrent"
            )
        self.cell = cell or self.cell
        spec = self.spec
        self.input_size = input_size
        self.units, self.activations = _per_layer(units, activation, layers, spec)
        self.bidirectional = bidirectional
        self.dropout = _share("dropout", dropout)
        self.recurrent_dropout = _share("recurrent_dropout", recurrent_dropout)
        if recurrent_dropout and not spec.recurrent_dropout:
            raise ConfigError(
                f"{spec.title} has no recurrent product for recurrent_dropout to act on",
                hint="use dropout, which acts on the input of every layer",
            )
        self.return_sequences = return_sequences
        if backend not in BACKENDS:
            raise ConfigError(f"there is no backend {backend!r}", hint=f"there are {', '.join(BACKENDS)}")
        self.backend = backend
        self.precision: Precision = precision
        self.initial_weights: InitialWeights = initial_weights
        if input_size < 1 or min(self.units) < 1:
            raise ConfigError("input_size and units must be 1 or more")
        for depth, H in enumerate(self.units):
            E = input_size if depth == 0 else self.directions * self.units[depth - 1]
            for suffix in self.suffixes(depth):
                for name, shape in spec.shapes(E, H).items():
                    self.register_parameter(f"{name}_{suffix}", nn.Parameter(torch.zeros(shape)))
        self.reset_parameters()

    @property
    def spec(self) -> CellSpec:
        """The cell's equations and facts."""
        return cell_named(self.cell)

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.units)

    @property
    def directions(self) -> int:
        """``D``: 2 where bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """``D*H`` of the last layer."""
        return self.directions * self.units[-1]

    def suffixes(self, layer: int) -> list[str]:
        """The endings of a layer's parameter names, one a direction: ``l0``, ``l0_reverse``."""
        return [f"l{layer}", f"l{layer}_reverse"][: self.directions]

    def weights(self, suffix: str) -> Weights:
        """The parameters of one layer and direction."""
        return Weights({name: getattr(self, f"{name}_{suffix}") for name in self.spec.parameter_names})

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The weights of each layer, both directions, from the first on."""
        named = list(self.named_parameters())
        endings = [tuple(f"_{suffix}" for suffix in self.suffixes(layer)) for layer in range(self.layers)]
        return [[weight for name, weight in named if name.endswith(ending)] for ending in endings]

    def reset_parameters(self) -> None:
        """Draw the initial values anew from torch's generator."""
        for depth, H in enumerate(self.units):
            for suffix in self.suffixes(depth):
                for parameter in self.spec.parameters:
                    fill = parameter.initial if self.initial_weights == "keras" else parameter.initial_torch
                    fill(self.get_parameter(f"{parameter.name}_{suffix}").data, H)

    def forward(
        self, x: Tensor | Lookup, lengths: Tensor | None = None, state: States | None = None
    ) -> tuple[Tensor, States]:
        """Run the stack.

        Args:
            x: ``(B, T, E)`` inputs, padded at the end with anything finite; or ``(B, T)`` tokens through
                ``Embedding.lookup``.
            lengths: ``(B,)`` true steps of each row, 0 to T; None where every row has ``T``.
            state: initial states as returned; None for zeros.

        Returns:
            Outputs ``(B, T, D*H)``, zero past each length (``(B, D*H)``, the last state, without
            ``return_sequences``), and the last state of each layer and direction.

        Raises:
            ValueError: a shape or a length does not fit.
            BackendError: the backend asked for can't compute this.
        """
        lengths = self._checked(x, lengths, state)
        steps: Tensor | Lookup = x.transpose(0, 1)
        last: list[State] = []
        for depth in range(self.layers):
            calls = [
                Call(
                    self.cell,
                    steps,
                    lengths,
                    None if state is None else state[len(last) + reverse],
                    self.weights(suffix),
                    input_mask=self._mask(self.dropout, steps, steps.shape[2]),
                    recurrent_mask=self._mask(self.recurrent_dropout, steps, self.units[depth]),
                    activation=self.activations[depth],
                    reverse=bool(reverse),
                    precision=self.precision,
                )
                for reverse, suffix in enumerate(self.suffixes(depth))
            ]
            wanted = self.return_sequences or depth + 1 < self.layers
            outputs, final = layer(calls, sequences=wanted, backend=self.backend, lengths_checked=True)
            steps = outputs
            last += final
        states = tuple(last)
        return (outputs.transpose(0, 1) if self.return_sequences else self.last(states)), states

    def gate_sums(self, x: Tensor, lengths: Tensor | None = None) -> list[dict[str, Tensor]]:
        """The sums ``(B, T, H)`` whose sigmoid is a gate of the first layer, by the gate's name.

        Args:
            x: ``(B, T, E)`` inputs.
            lengths: ``(B,)`` true steps of each row; None where every row has ``T``.

        Returns:
            A dictionary for each direction; empty where the cell has no gates.
        """
        lengths = self._checked(x, lengths, None)
        found = []
        for reverse, suffix in enumerate(self.suffixes(0)):
            call = Call(
                self.cell, x.transpose(0, 1), lengths, None, self.weights(suffix),
                activation=self.activations[0], reverse=bool(reverse),
            )  # fmt: skip
            found.append({name: sums.transpose(0, 1) for name, sums in gate_sums(call).items()})
        return found

    @classmethod
    def from_torch(cls, module: nn.RNNBase, **settings: Any) -> Self:
        """A layer with a copy of the weights of ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, two biases made one.

        Torch's own dropout means something else and is not taken over; ``settings`` are this class's.

        Raises:
            ConfigError: the module is of another cell or has a projection.
        """
        return from_torch(cls, module, **settings)

    def to_torch(self) -> nn.RNNBase:
        """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` (``batch_first``, no dropout) with a copy of the weights.

        Raises:
            ConfigError: torch has no module of these widths and activations.
        """
        return to_torch(self)

    def last(self, states: States) -> Tensor:
        """``(B, D*H)`` the last state of the last layer, both directions joined."""
        return torch.cat([state[0] for state in states[-self.directions :]], dim=1)

    def _get_name(self) -> str:
        return self.spec.title

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        parts = [f"{self.input_size}, {self.units if self.layers > 1 else self.units[0]}"]
        if self.bidirectional:
            parts.append("bidirectional=True")
        parts += [
            f"{name}={value}" for name in ("dropout", "recurrent_dropout") if (value := getattr(self, name))
        ]
        return ", ".join(parts)

    def _mask(self, share: float, steps: Tensor | Lookup, features: int) -> Tensor | None:
        if not self.training or share == 0:
            return None
        like = steps.table if isinstance(steps, Lookup) else steps
        return sequence_mask(steps.shape[1], features, share, like=like)

    def _checked(self, x: Tensor | Lookup, lengths: Tensor | None, state: States | None) -> Tensor | None:
        """The lengths on the device of ``x``, or None where no row is padded."""
        if len(x.shape) != 3 or x.shape[2] != self.input_size or x.shape[1] == 0:
            raise ValueError(f"x is {tuple(x.shape)}, not (B, T, {self.input_size}) with T of 1 or more")
        B, T, _ = x.shape
        parts = len(self.spec.state)
        expected = [[(B, H)] * parts for H in self.units for _ in range(self.directions)]
        given = [[tuple(part.shape) for part in each] for each in state or ()]
        if state is not None and given != expected:
            raise ValueError(f"state has {given}, not {expected}")
        if lengths is None:
            return None
        shortest, _ = check_lengths(lengths, T, B)
        return None if shortest == T else lengths.to(x.device)


class SimpleRNN(Recurrent):
    """``h' = act(W x + b + U h)`` (Elman 1990)."""

    cell = "simple_rnn"


class LSTM(Recurrent):
    """Long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""

    cell = "lstm"


class GRU(Recurrent):
    """Gated recurrent unit, reset gate after the recurrent product (Cho et al. 2014; Keras's reset_after)."""

    cell = "gru"


def _per_layer(
    units: int | Sequence[int], activation: Activation | Sequence[Activation], layers: int, spec: CellSpec
) -> tuple[list[int], list[Activation]]:
    widths = None if isinstance(units, int) else list(units)
    functions = None if isinstance(activation, str) or callable(activation) else list(activation)
    depths = {len(found) for found in (widths, functions) if found is not None}
    if layers != 1 or not depths:
        depths.add(layers)
    if len(depths) != 1 or min(depths) < 1:
        raise ConfigError("units, activation and layers name different numbers of layers, or none")
    depth = depths.pop()
    each_width = widths if widths is not None else [cast(int, units)] * depth
    each_function = functions if functions is not None else [cast(Activation, activation)] * depth
    for function in each_function:
        if isinstance(function, str) and function not in spec.activations:
            raise ConfigError(
                f"{spec.title} has no activation {function!r}",
                hint=f"use {', '.join(spec.activations)} or a function",
            )
    return each_width, each_function


def _share(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise ConfigError(f"{name} is {value}", hint="give a share from 0 to below 1")
    return value
