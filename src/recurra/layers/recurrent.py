"""Stacks of recurrent layers: SimpleRNN, LSTM and GRU over one base.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``D`` directions (1 or 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias, cast

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError
from recurra.kernels.dispatch import (
    BACKENDS,
    GATES,
    Activation,
    Call,
    Cell,
    Lookup,
    Precision,
    State,
    Weights,
    layer,
)
from recurra.layers.dropout import sequence_mask
from recurra.layers.torch_weights import from_torch, to_torch

__all__ = ["GRU", "LSTM", "InitialWeights", "Recurrent", "SimpleRNN", "States"]

InitialWeights: TypeAlias = Literal["keras", "torch"]
States: TypeAlias = tuple[State, ...]
"""``(h,)`` or ``(h, c)`` of ``(B, H)`` for each layer and direction: layer 0 forward, layer 0 backward..."""


class Recurrent(nn.Module):
    """What the three cells share: a stack of recurrent layers that never sees padding.

    Args:
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

    Parameters are named and laid out as in ``torch.nn``.

    Raises:
        ConfigError: a setting is out of its range, or sequences differ in length.
    """

    cell: ClassVar[Cell]
    two_biases: ClassVar[bool] = False  # one more inside the reset gate's product

    def __init__(
        self,
        input_size: int,
        units: int | Sequence[int],
        *,
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
        self.input_size = input_size
        self.units, self.activations = _per_layer(units, activation, layers)
        self.bidirectional = bidirectional
        self.dropout = _share("dropout", dropout)
        self.recurrent_dropout = _share("recurrent_dropout", recurrent_dropout)
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
            rows = GATES[self.cell] * H
            for suffix in self.suffixes(depth):
                self.register_parameter(f"weight_ih_{suffix}", nn.Parameter(torch.zeros(rows, E)))
                self.register_parameter(f"weight_hh_{suffix}", nn.Parameter(torch.zeros(rows, H)))
                self.register_parameter(f"bias_ih_{suffix}", nn.Parameter(torch.zeros(rows)))
                if self.two_biases:
                    self.register_parameter(f"bias_hh_{suffix}", nn.Parameter(torch.zeros(rows)))
        self.reset_parameters()

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
        names = ["weight_ih", "weight_hh", "bias_ih"] + ["bias_hh"] * self.two_biases
        return Weights(*(self.get_parameter(f"{name}_{suffix}") for name in names))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The weights of each layer, both directions, from the first on."""
        named = list(self.named_parameters())
        endings = [tuple(f"_{suffix}" for suffix in self.suffixes(layer)) for layer in range(self.layers)]
        return [[weight for name, weight in named if name.endswith(ending)] for ending in endings]

    def reset_parameters(self) -> None:
        """The initial values, drawn anew from torch's generator."""
        for name, parameter in self.named_parameters():
            if self.initial_weights == "torch":
                H = len(parameter) // GATES[self.cell]
                nn.init.uniform_(parameter, -(H**-0.5), H**-0.5)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)
                if self.cell == "lstm":
                    H = len(parameter) // 4
                    nn.init.ones_(parameter.data[H : 2 * H])

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
            outputs, final = layer(calls, sequences=wanted, backend=self.backend)
            steps = outputs
            last += final
        states = tuple(last)
        return (outputs.transpose(0, 1) if self.return_sequences else self.last(states)), states

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
        parts = 2 if self.cell == "lstm" else 1
        expected = [[(B, H)] * parts for H in self.units for _ in range(self.directions)]
        given = [[tuple(part.shape) for part in each] for each in state or ()]
        if state is not None and given != expected:
            raise ValueError(f"state has {given}, not {expected}")
        if lengths is None:
            return None
        if lengths.shape != (B,):
            raise ValueError(f"lengths is {tuple(lengths.shape)}, not ({B},)")
        if B == 0:
            return None
        shortest, longest = (int(value) for value in torch.aminmax(lengths))
        if shortest < 0 or longest > T:
            raise ValueError(f"lengths run from {shortest} to {longest}, the input has {T} steps")
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
    two_biases = True


def _per_layer(
    units: int | Sequence[int], activation: Activation | Sequence[Activation], layers: int
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
        if isinstance(function, str) and function not in ("tanh", "relu"):
            raise ConfigError(f"there is no activation {function!r}", hint="use tanh, relu or a function")
    return each_width, each_function


def _share(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise ConfigError(f"{name} is {value}", hint="give a share from 0 to below 1")
    return value
