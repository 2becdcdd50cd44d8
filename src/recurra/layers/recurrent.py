"""Stacks of recurrent layers of any cell; SimpleRNN, LSTM and GRU.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``L`` layers, ``D`` directions
(1 or 2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, Self, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from recurra.cells import cell_named
from recurra.cells.spec import Activation, CellSpec, State, Weights
from recurra.errors import ConfigError
from recurra.kernels.dispatch import BACKENDS, Call, Lookup, Precision, gate_sums, layer
from recurra.layers.inputs import States, TorchState, pack_as, read_input, read_state, sequence_mask, stacked
from recurra.layers.torch_weights import add_biases, make_module, module_settings, with_two_biases

__all__ = ["GRU", "LSTM", "InitialWeights", "Recurrent", "SimpleRNN", "StateForm"]

InitialWeights: TypeAlias = Literal["keras", "torch"]
StateForm: TypeAlias = Literal["layers", "torch"]


_LAYER = re.compile(r"_l(\d+)(?!\d)")


class Recurrent(nn.Module):
    """A stack of recurrent layers of one cell; its outputs and states do not depend on padding.

    Parameters are named as in ``torch.nn``: the cell's name for each, the layer and the direction. With the
    ``G`` gates of SimpleRNN, LSTM and GRU they are ``weight_ih_l0`` of shape ``(G*H, E)``, ``weight_hh_l0``
    ``(G*H, H)`` and ``bias_ih_l0`` ``(G*H,)``, then ``..._l0_reverse``, ``..._l1``; only GRU has
    ``bias_hh_l0`` too. ``load_state_dict`` also accepts the dictionary of ``nn.RNN``, ``nn.LSTM`` or
    ``nn.GRU`` and adds up its two biases where the cell has one.

    Args:
        input_size: ``E``, the features of an input step.
        units: ``H``, the hidden units; a sequence gives each layer its own width.
        cell: Name of a cell, such as ``"lstm"``; needed unless the subclass has one.
        layers: number of layers, if neither ``units`` nor ``activation`` is a sequence.
        bidirectional: Whether a second set of weights reads each row from its true last step to its first.
            The outputs of both directions are concatenated.
        dropout: Share of each layer's input features that is dropped in training, from 0 to below 1. One mask
            is drawn per sequence and used at every step (Gal & Ghahramani 2016).
        recurrent_dropout: The same for the state that enters the recurrent product.
        activation: ``"tanh"``, ``"relu"`` or a function of a tensor; a sequence gives each layer its own.
        return_sequences: Whether the output is all states, or the last state only.
        backend: ``"cpu"`` (Numba kernels), ``"torch"`` (torch's own), ``"reference"`` (plain loops), or
            ``"auto"``, the fastest that can compute the call.
        precision: ``"bfloat16"`` rounds the factors of the matrix products to bfloat16, in both passes.
        initial_weights: ``"keras"``: Glorot-uniform input weights, orthogonal recurrent weights, zero biases,
            but 1 for LSTM's forget gate. ``"torch"``: all uniform within ``1 / sqrt(H)``.
        state_form: Form of the returned state. ``"layers"``: a tuple ``(h,)`` or ``(h, c)`` of shape
            ``(B, H)`` for each layer and direction. ``"torch"``: ``h`` or ``(h, c)`` of ``(L*D, B, H)``.
        device: of the parameters; torch's default if None.
        dtype: of the parameters, a floating type; torch's default if None.

    Raises:
        ConfigError: There is no such cell, a setting is out of its range, or sequences differ in length.

    Example:
        >>> layer = LSTM(8, 16, bidirectional=True)
        >>> outputs, states = layer(torch.randn(2, 5, 8), torch.tensor([5, 3]))
        >>> outputs.shape, outputs[1, 3:].any().item(), len(states)
        (torch.Size([2, 5, 32]), False, 2)
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
        state_form: StateForm = "layers",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if self.cell and cell and cell != self.cell:
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
        self.state_form: StateForm = state_form
        if state_form == "torch" and len(set(self.units)) > 1:
            raise ConfigError(
                "state_form 'torch' needs layers of one width",
                hint="leave out state_form, or give one width",
            )
        if input_size < 1 or min(self.units) < 1:
            raise ConfigError("input_size and units must be 1 or more")
        for depth, H in enumerate(self.units):
            E = input_size if depth == 0 else self.directions * self.units[depth - 1]
            for suffix in self.suffixes(depth):
                for name, shape in spec.shapes(E, H).items():
                    parameter = nn.Parameter(torch.zeros(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{name}_{suffix}", parameter)
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
        """The weights of one layer and direction: parameters, or what a parametrization makes of them."""
        return Weights({name: getattr(self, f"{name}_{suffix}") for name in self.spec.parameter_names})

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, both directions, from the first layer on."""
        groups: list[list[nn.Parameter]] = [[] for _ in range(self.layers)]
        for name, parameter in self.named_parameters():
            groups[int(_LAYER.findall(name)[-1])].append(parameter)
        return groups

    def reset_parameters(self) -> None:
        """Draws new initial values from torch's generator."""
        for depth, H in enumerate(self.units):
            for suffix in self.suffixes(depth):
                for parameter in self.spec.parameters:
                    fill = parameter.initial if self.initial_weights == "keras" else parameter.initial_torch
                    fill(self.get_parameter(f"{parameter.name}_{suffix}").data, H)

    def forward(
        self,
        x: Tensor | Lookup | PackedSequence,
        lengths: Tensor | None = None,
        state: States | TorchState | None = None,
        *,
        mask: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, States | TorchState]:
        """Runs the stack.

        Args:
            x: ``(B, T, E)`` inputs of the parameters' dtype and device, batch first, padded at the end with
                any finite values; ``(B, T)`` tokens as ``Embedding.lookup`` returns them; or a
                ``PackedSequence``.
            lengths: ``(B,)`` integers, the true steps of each row, from 0 to ``T``. If None, every row has
                ``T`` steps.
            state: The initial states, in the form that the layer returns (see ``state_form``) or in torch's:
                ``h_0``, or ``(h_0, c_0)`` for LSTM, of shape ``(L*D, B, H)``. If None, zeros.
            mask: ``(B, T)`` bool in place of ``lengths``, True for the real steps of each row, which must
                come before its padding.

        Returns:
            The outputs and the last states. Outputs are of shape ``(B, T, D*H)`` and zero at padded steps; a
            ``PackedSequence`` if ``x`` is one; the last state ``(B, D*H)`` if ``return_sequences`` is False.
            The last states are those after each row's true last step; a row of length 0 keeps its initial
            state.

        Raises:
            ValueError: A shape, dtype or length does not fit, or the padding is not at the end.
            BackendError: The backend that was chosen by name cannot compute this call.

        Example:
            >>> layer = GRU(3, 4)
            >>> x, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
            >>> outputs, states = layer(x, mask=mask)
            >>> bool((outputs == layer(x, torch.tensor([5, 2]))[0]).all())
            True
        """
        packed = x if isinstance(x, PackedSequence) else None
        padded, lengths = read_input(x, lengths, mask, self.input_size, self._any_parameter())
        steps: Tensor | Lookup = padded.transpose(0, 1)
        states = None
        if state is not None:
            widths = [H for H in self.units for _ in range(self.directions)]
            states = read_state(state, widths, self.spec.state, steps.shape[1])
        last: list[State] = []
        for depth in range(self.layers):
            calls = [
                Call(
                    self.cell,
                    steps,
                    lengths,
                    None if states is None else states[len(last) + reverse],
                    self.weights(suffix),
                    input_mask=self._mask(self.dropout, steps, steps.shape[2]),
                    recurrent_mask=self._mask(self.recurrent_dropout, steps, self.units[depth]),
                    activation=self.activations[depth],
                    reverse=bool(reverse),
                    precision=self.precision,
                )
                for reverse, suffix in enumerate(self.suffixes(depth))
            ]
            sequences = self.return_sequences or depth + 1 < self.layers
            outputs, final = layer(calls, sequences=sequences, backend=self.backend, lengths_checked=True)
            steps = outputs
            last += final
        returned = tuple(last) if self.state_form == "layers" else stacked(tuple(last))
        if not self.return_sequences:
            return self.last(tuple(last)), returned
        outputs = outputs.transpose(0, 1)
        return (outputs if packed is None else pack_as(outputs, packed)), returned

    def gate_sums(self, x: Tensor, lengths: Tensor | None = None) -> list[dict[str, Tensor]]:
        """Returns the sums ``(B, T, H)`` whose sigmoid is a gate of the first layer, by the gate's name.

        Args:
            x: ``(B, T, E)`` inputs.
            lengths: ``(B,)`` integers, the true steps of each row. If None, every row has ``T`` steps.

        Returns:
            A dictionary for each direction; empty where the cell has no gates.
        """
        padded, lengths = read_input(x, lengths, None, self.input_size, self._any_parameter())
        sums_by_direction = []
        for reverse, suffix in enumerate(self.suffixes(0)):
            call = Call(
                self.cell, padded.transpose(0, 1), lengths, None, self.weights(suffix),
                activation=self.activations[0], reverse=bool(reverse),
            )  # fmt: skip
            sums_by_direction.append({name: sums.transpose(0, 1) for name, sums in gate_sums(call).items()})
        return sums_by_direction

    def torch_state_dict(self) -> dict[str, Tensor]:
        """The weights under the names of ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, for its ``load_state_dict``.

        Where the cell has one bias, the module's second is zero. The tensors share memory with the layer's,
        except for weights that a parametrization computes.

        Raises:
            ConfigError: torch has no such module.

        Example:
            >>> layer, module = LSTM(3, 4, layers=2), nn.LSTM(3, 4, num_layers=2, batch_first=True)
            >>> module.load_state_dict(layer.torch_state_dict())
            <All keys matched successfully>
            >>> x = torch.randn(2, 5, 3)
            >>> torch.allclose(layer(x)[0], module(x)[0], atol=1e-6)
            True
        """
        if self.spec.torch_module is None:
            raise ConfigError(f"torch.nn has no {self.spec.title}")
        weights: dict[str, Tensor] = {}
        for depth in range(self.layers):
            for suffix in self.suffixes(depth):
                values = self.weights(suffix)
                weights |= {f"{name}_{suffix}": value.detach() for name, value in values.items()}
        return with_two_biases(weights)

    @classmethod
    def from_torch(cls, module: nn.RNNBase, **settings: Any) -> Self:
        """Makes a layer with a copy of the weights of ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``.

        The module's dropout is not taken over, since it means something else: it is drawn anew at every step
        and left out at the first layer's input.

        Args:
            module: of the class's cell, on any device and of any floating dtype, which the layer gets too.
            settings: further arguments of the class, such as ``dropout`` or ``return_sequences``.

        Raises:
            ConfigError: The module is of another cell or has a projection.

        Example:
            >>> module = nn.GRU(3, 4, num_layers=2, bidirectional=True, batch_first=True)
            >>> layer, x = GRU.from_torch(module, dropout=0.2).eval(), torch.randn(2, 5, 3)
            >>> torch.allclose(layer(x)[0], module(x)[0], atol=1e-6)
            True
        """
        spec = cell_named(settings.get("cell", cls.cell))
        made = cls(**module_settings(spec, module) | settings)
        weights = module.state_dict()
        add_biases(weights, made.state_dict())
        # a module made with bias=False has none
        zeros = {name: torch.zeros_like(value) for name, value in made.state_dict().items() if "bias" in name}
        made.load_state_dict(zeros | weights)
        return made

    def to_torch(self) -> nn.RNNBase:
        """Makes a module of ``torch.nn`` (``batch_first``, no dropout) with a copy of the weights.

        Raises:
            ConfigError: torch has no such module: layers of different widths or activations, or another
                activation than tanh in LSTM or GRU.

        Example:
            >>> LSTM(3, 4, bidirectional=True).to_torch()
            LSTM(3, 4, batch_first=True, bidirectional=True)
        """
        module = make_module(self.spec, self.input_size, self.units, self.activations, self.bidirectional)
        weights = self.torch_state_dict()
        module.to(weights["weight_ih_l0"]).load_state_dict(weights)
        return module

    def last(self, states: States) -> Tensor:
        """The last state of the last layer, both directions concatenated, of shape ``(B, D*H)``."""
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

    def _any_parameter(self) -> Tensor:
        # not next(self.parameters()), which takes 4 us: a short text takes 200
        own = next(iter(self._parameters.values()), None)
        return next(self.parameters()) if own is None else own

    def _mask(self, share: float, steps: Tensor | Lookup, features: int) -> Tensor | None:
        if not self.training or share == 0:
            return None
        like = steps.table if isinstance(steps, Lookup) else steps
        return sequence_mask(steps.shape[1], features, share, like=like)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if self.spec.torch_module is not None:
            add_biases(state_dict, self._parameters.keys(), prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


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
    depths = {len(values) for values in (widths, functions) if values is not None}
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
