"""Stacks of recurrent layers of any cell; SimpleRNN, LSTM and GRU.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``L`` layers, ``D`` directions
(1 or 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recurra.cells.spec import Activation, State
from recurra.errors import ConfigError
from recurra.kernels.dispatch import BACKENDS, Call, Lookup, Precision, gate_sums, layer
from recurra.layers.inputs import States, TorchState, pack_as, read_input, read_state, sequence_mask
from recurra.layers.one_row import OneRow
from recurra.layers.stack import InitialWeights, MergeMode

__all__ = ["GRU", "LSTM", "Recurrent", "SimpleRNN", "StateForm"]

StateForm: TypeAlias = Literal["layers", "torch"]
_CHOICES = {
    "backend": BACKENDS,
    "precision": ("float32", "bfloat16"),
    "initial_weights": ("keras", "torch"),
    "state_form": ("layers", "torch"),
    "merge_mode": ("concat", "sum", "mul", "ave"),
}


class Recurrent(OneRow):
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
        merge_mode: How the outputs of both directions are combined in every layer, as in Keras: ``"concat"``,
            ``"sum"``, ``"mul"`` (product) or ``"ave"`` (mean).
        dropout: Share of each layer's input features that is dropped in training, from 0 to below 1; a
            sequence gives each layer its own. One mask is drawn per sequence and used at every step (Gal &
            Ghahramani 2016).
        recurrent_dropout: The same for the state that enters the recurrent product.
        activation: one of the cell's, such as ``"tanh"`` or ``"relu"``, or a function of a tensor; a sequence
            gives each layer its own. If None, that of the cell's paper: tanh for SimpleRNN, LSTM and GRU.
        return_sequences: Whether the output is all states, or the last state only.
        return_state: Whether a call returns ``(outputs, states)``, or the outputs only, as ``nn.Sequential``
            needs them.
        backend: ``"cpu"`` (Numba kernels), ``"torch"`` (torch's own), ``"reference"`` (plain loops), or
            ``"auto"``, the fastest that can compute the call.
        precision: ``"bfloat16"`` rounds the factors of the matrix products to bfloat16, in both passes. With
            backend ``"torch"``, as on a GPU, states are rounded too. Outputs have the parameters' dtype.
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

    def __init__(
        self,
        input_size: int,
        units: int | Sequence[int],
        *,
        cell: str | None = None,
        layers: int = 1,
        bidirectional: bool = False,
        merge_mode: MergeMode = "concat",
        dropout: float | Sequence[float] = 0.0,
        recurrent_dropout: float | Sequence[float] = 0.0,
        activation: Activation | Sequence[Activation] | None = None,
        return_sequences: bool = True,
        return_state: bool = True,
        backend: str = "auto",
        precision: Precision = "float32",
        initial_weights: InitialWeights = "keras",
        state_form: StateForm = "layers",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size, units, cell=cell, layers=layers, bidirectional=bidirectional, activation=activation,
            merge_mode=merge_mode, initial_weights=initial_weights, device=device, dtype=dtype,
        )  # fmt: skip
        self.dropout = _shares("dropout", dropout, self.layers)
        self.recurrent_dropout = _shares("recurrent_dropout", recurrent_dropout, self.layers)
        if _any(self.recurrent_dropout) and not self.spec.recurrent_dropout:
            raise ConfigError(
                f"{self.spec.title} has no recurrent product for recurrent_dropout to act on",
                hint="use dropout, which acts on the input of every layer",
            )
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.backend = backend
        self.precision: Precision = precision
        self.state_form: StateForm = state_form
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"there is no {name} {getattr(self, name)!r}", hint=f"use {', '.join(choices)}"
                )
        if state_form == "torch" and len(set(self.units)) > 1:
            raise ConfigError("state_form 'torch' needs layers of one width", hint="leave out state_form")

    def forward(
        self,
        x: Tensor | Lookup | PackedSequence,
        lengths: Tensor | None = None,
        state: States | TorchState | None = None,
        *,
        mask: Tensor | None = None,
    ) -> Any:
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
            The outputs and the last states; the outputs alone if ``return_state`` is False. Outputs are of
            shape ``(B, T, D*H)`` and zero at padded steps; a ``PackedSequence`` if ``x`` is one; the last
            state ``(B, D*H)`` if ``return_sequences`` is False. ``D`` is 1 unless ``merge_mode`` is
            ``"concat"``.
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
        if mask is None:
            one = self._one_row(x, lengths, state, sequences=self.return_sequences)
            if one is not None:
                return self._returned(*one, None)
        packed = x if isinstance(x, PackedSequence) else None
        weights = [[self.weights(suffix) for suffix in self.suffixes(depth)] for depth in range(self.layers)]
        like = next(iter(weights[0][0].values()))
        padded, lengths = read_input(x, lengths, mask, self.input_size, like)
        steps: Tensor | Lookup = padded.transpose(0, 1)
        states = None
        if state is not None:
            widths = [H for H in self.units for _ in range(self.directions)]
            states = read_state(state, widths, self.spec.state, steps.shape[1], like)
        last: list[State] = []
        for depth in range(self.layers):
            calls = [
                Call(
                    self.cell,
                    steps,
                    lengths,
                    None if states is None else states[len(last) + reverse],
                    weights[depth][reverse],
                    input_mask=self._mask(_of_layer(self.dropout, depth), steps, steps.shape[2]),
                    recurrent_mask=self._mask(
                        _of_layer(self.recurrent_dropout, depth), steps, self.units[depth]
                    ),
                    activation=self.activations[depth],
                    reverse=bool(reverse),
                    precision=self.precision,
                )
                for reverse in range(self.directions)
            ]
            sequences = self.return_sequences or depth + 1 < self.layers
            outputs, final = layer(calls, sequences=sequences, backend=self.backend, lengths_checked=True)
            if sequences:
                outputs = self._merged(outputs)
            steps = outputs
            last += final
        return self._returned(outputs.transpose(0, 1) if self.return_sequences else None, last, packed)

    def _returned(self, outputs: Tensor | None, last: list[State], packed: PackedSequence | None) -> Any:
        """What a call returns, from the outputs ``(B, T, F)``, if they are wanted, and the last states."""
        returned: States | TorchState = tuple(last)
        if self.state_form == "torch":
            parts = tuple(torch.stack(part) for part in zip(*last, strict=True))
            returned = parts if len(parts) > 1 else parts[0]
        if outputs is None:
            value: Any = self.last(tuple(last))
        else:
            value = outputs if packed is None else pack_as(outputs, packed)
        return (value, returned) if self.return_state else value

    def gate_sums(self, x: Tensor, lengths: Tensor | None = None) -> list[dict[str, Tensor]]:
        """Returns the sums ``(B, T, H)`` whose sigmoid is a gate of the first layer, by the gate's name.

        Args:
            x: ``(B, T, E)`` inputs.
            lengths: ``(B,)`` integers, the true steps of each row. If None, every row has ``T`` steps.

        Returns:
            A dictionary for each direction; empty where the cell has no gates.
        """
        weights = [self.weights(suffix) for suffix in self.suffixes(0)]
        like = next(iter(weights[0].values()))
        padded, lengths = read_input(x, lengths, None, self.input_size, like)
        sums_by_direction = []
        for reverse, parameters in enumerate(weights):
            call = Call(
                self.cell, padded.transpose(0, 1), lengths, None, parameters,
                activation=self.activations[0], reverse=bool(reverse),
            )  # fmt: skip
            sums_by_direction.append({name: sums.transpose(0, 1) for name, sums in gate_sums(call).items()})
        return sums_by_direction

    def last(self, states: States) -> Tensor:
        """The last state of the last layer, both directions merged, of shape ``(B, output_size)``."""
        return self._merged(torch.cat([state[0] for state in states[-self.directions :]], dim=1))

    def _merged(self, outputs: Tensor) -> Tensor:
        """Outputs ``(..., D*H)`` of both directions, combined by ``merge_mode``."""
        if not self.bidirectional or self.merge_mode == "concat":
            return outputs
        forward, backward = outputs.chunk(2, dim=-1)
        if self.merge_mode == "mul":
            return forward * backward
        return (forward + backward) / (2 if self.merge_mode == "ave" else 1)

    def _get_name(self) -> str:
        return self.spec.title

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        parts = [f"{self.input_size}, {self.units if self.layers > 1 else self.units[0]}"]
        if self.bidirectional:
            parts.append("bidirectional=True")
            if self.merge_mode != "concat":
                parts.append(f"merge_mode={self.merge_mode!r}")
        parts += [
            f"{name}={value}"
            for name in ("dropout", "recurrent_dropout")
            if _any(value := getattr(self, name))
        ]
        return ", ".join(parts)

    def _mask(self, share: float, steps: Tensor | Lookup, features: int) -> Tensor | None:
        if not self.training or share == 0:
            return None
        like = steps.table if isinstance(steps, Lookup) else steps
        return sequence_mask(steps.shape[1], features, share, like=like)


class SimpleRNN(Recurrent):
    """Elman's network, ``h' = act(W x + b + U h)`` (Elman 1990)."""

    cell = "simple_rnn"


class LSTM(Recurrent):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    ``i, f, o = sigmoid(W x + b + U h)``, ``g = act(W x + b + U h)``, ``c' = f c + i g``, ``h' = o act(c')``.
    """

    cell = "lstm"


class GRU(Recurrent):
    """Gated recurrent unit, reset gate after the recurrent product (Cho et al. 2014; Keras's reset_after).

    ``r, z = sigmoid(W x + b + U h + d)``, ``n = act(W x + b + r (U h + d))``, ``h' = (1 - z) n + z h``.
    """

    cell = "gru"


def _shares(name: str, value: float | Sequence[float], layers: int) -> float | list[float]:
    """A share for all layers, or one for each."""
    each = list(value) if isinstance(value, Sequence) else [value]
    if isinstance(value, Sequence) and len(each) != layers:
        raise ConfigError(f"{name} has {len(each)} entries for {layers} layers", hint="give one per layer")
    for share in each:
        if not 0 <= share < 1:
            raise ConfigError(f"{name} is {share}", hint="give a share from 0 to below 1")
    return each if isinstance(value, Sequence) else value


def _of_layer(value: float | list[float], depth: int) -> float:
    return value[depth] if isinstance(value, list) else value


def _any(value: float | list[float]) -> bool:
    return any(value) if isinstance(value, list) else bool(value)
