"""A stack of layers that is prepared for one row at a time: only the input differs from call to call.

The general way into the kernels takes 130 us of Python, more than the recurrence of a text of 100 steps and
100 units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra import runtime
from recurra.cells.spec import Activation, State
from recurra.kernels.cpu import layout, order
from recurra.kernels.cpu.host import host
from recurra.kernels.cpu.layout import LINE, Floats, nothing, padded, row_length
from recurra.kernels.cpu.machine_code import address, functions
from recurra.kernels.cpu.mail import MOST_UNITS
from recurra.kernels.cpu.threads import partner_mail
from recurra.kernels.terms import Lookup

__all__ = ["Prepared"]

FEW_STEPS = 2
"""Steps up to which weights are read as they are: to compare them takes as long as to multiply them twice.

Only from an initial state, as where a sequence comes step by step: such sums are in another order than those
of a batch, and a text of one word must get the same bits alone.
"""
DIVIDED = 16_000
"""Numbers of recurrent weights from which one direction is divided between two threads."""
LEAST_TOGETHER = 200_000
"""Multiplications from which a second thread takes part: 10 us of one."""

_partner = Lock()
"""Held by the call in which the second thread takes part."""
empty_like = torch.empty_like
_NO_STATE = (0, 0, 0, 0)


class Prepared:
    """A stack of layers for one row, as long as the tensors of the weights are the same ones.

    Their numbers may change in any way: each call compares them with those that were packed, or reads them as
    they are.

    Args:
        cell: name of a cell that has a kernel.
        activations: of each layer.
        names: of the parameters, in the order of the cell's, of each direction of each layer.
        parameters: contiguous float32 on the CPU, by name.
    """

    def __init__(
        self,
        cell: str,
        activations: Sequence[Activation],
        names: Sequence[Sequence[Sequence[str]]],
        parameters: Mapping[str, Any],
    ) -> None:
        self._activations = list(activations)
        self._layers = [
            _Layer(cell, activation == "relu", [[parameters[name] for name in one] for one in each])
            for activation, each in zip(activations, names, strict=True)
        ]
        every = [(name, parameters[name]) for each in names for one in each for name in one]
        self._weights = [(name, tensor, tensor.detach()) for name, tensor in every]
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copy of a layer prepares itself

    def is_of(self, parameters: Mapping[str, Tensor | None], activations: Sequence[Activation]) -> bool:
        """Whether the parameters are still the same tensors, in the same place."""
        try:
            for name, tensor, view in self._weights:
                given = parameters.get(name)
                if given is None or given is not tensor or not given.is_set_to(view):
                    return False
        except RuntimeError:  # one of them is on another device now
            return False
        return self._activations == activations

    def requires_grad(self) -> bool:
        """Whether a gradient of a weight may be wanted."""
        return any(tensor.requires_grad for _, tensor, _ in self._weights)

    def run(
        self, x: Tensor | Lookup, states: Sequence[State] | None, *, sequences: bool
    ) -> tuple[Tensor | None, list[State]] | None:
        """Runs the stack.

        Args:
            x: ``(1, T, E)`` float32 on the CPU, the features of a step side by side.
            states: initial states of each layer and direction, ``(1, H)`` each; None for zeros.
            sequences: whether the outputs are wanted.

        Returns:
            Outputs ``(1, T, D*H)``, the last states of each layer and direction; or None where the general
            way has to be taken: another thread is in a call, or a token is not in the table.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._run(x, states, sequences)
        finally:
            self._lock.release()

    def _run(
        self, x: Tensor | Lookup, states: Sequence[State] | None, sequences: bool
    ) -> tuple[Tensor | None, list[State]] | None:
        table_rows = places = following = depth = 0
        if isinstance(x, Lookup):
            values, index = x
            T = index.shape[1]
            (table_rows, step), places, following = values.shape, index.data_ptr(), index.stride(1)
        else:
            values = x
            T, step = x.shape[1], x.stride(1)
        if T >= MOST_UNITS:
            return None
        at = values.data_ptr()
        last: list[State] = []
        final: list[State]
        outputs: Tensor | None = None
        for layer in self._layers:
            depth += layer.D
            below = outputs  # noqa: F841 - its memory is the input
            out = 0
            if sequences or layer is not self._layers[-1]:
                outputs = empty_like(layer.output) if T == 1 else values.new_empty((1, T, layer.width))
                out = outputs.data_ptr()
            initial = _NO_STATE if states is None else layer.addresses(states[depth - layer.D : depth])
            if layer.is_lstm:
                final = [(empty_like(row), empty_like(row)) for row in layer.rows]
            else:
                final = [(empty_like(row),) for row in layer.rows]
            work = layer.work(T, zeros=states is None)
            if not layer.run(
                work, T, at, step, table_rows, places, following, out, *initial, *layer.addresses(final)
            ):
                return None
            last += final
            at, step, table_rows, places, following = out, layer.width, 0, 0, 0
        return outputs if sequences else None, last


class _Layer:
    """One layer: its order, and the arrays whose addresses are in it."""

    def __init__(self, cell: str, use_relu: bool, weights: Sequence[Sequence[Tensor]]) -> None:
        self._code = layout.CODES[cell]
        self.E, self.H = (matrix.shape[1] for matrix in weights[0][:2])
        self.D = len(weights)
        self.width = self.D * self.H
        self.is_lstm = self._code == layout.LSTM
        # `empty_like` takes two thirds of the time of `new_empty`
        options: Any = {"dtype": torch.float32, "device": "cpu"}
        self.output = torch.empty(1, 1, self.width, **options)
        self.rows = [torch.empty(1, self.H, **options)] * self.D
        self._gates = layout.GATES[self._code]
        self._input_work = self._gates * self.H * self.E * self.D
        self._work = self._input_work + self._gates * self.H * self.H * self.D
        self._sources = [[tensor.detach().numpy().ravel() for tensor in each] for each in weights]
        self._coupled = self.D == 1 and self._gates * self.H * self.H >= DIVIDED
        self._parts = self._divide()
        self._two = len(self._parts) == 2
        self._order = np.zeros(order.SIZE, np.int64)
        self._address = address(self._order)
        self._found = self._order[order.CHANGED : order.OUTSIDE + 1]
        self._run_order = functions().run_order
        self._memory: list[Floats] = []
        self._fill(use_relu)
        self._packed: list[Floats] = []
        self._pack()

    def addresses(self, states: Sequence[State]) -> tuple[int, ...]:
        """``h, c`` of the first direction, then of the second; 0 where there is none."""
        if not self.is_lstm:
            return states[0][0].data_ptr(), 0, states[1][0].data_ptr() if self.D == 2 else 0, 0
        h, c = states[0]
        if self.D == 1:
            return h.data_ptr(), c.data_ptr(), 0, 0
        return h.data_ptr(), c.data_ptr(), states[1][0].data_ptr(), states[1][1].data_ptr()

    def work(self, T: int, *, zeros: bool) -> int:
        """The multiplications of ``T`` steps; the first has none with a state of zeros."""
        return self._input_work if T == 1 and zeros else T * self._work

    def run(self, work: int, *call: int) -> bool:
        """Runs the layer as ``run_order`` does; returns whether each token is in the table."""
        if self._two and work >= LEAST_TOGETHER and _partner.acquire(blocking=False):
            try:
                self._run_order(self._address, partner_mail(runtime.threads(), work), *call)
            finally:
                _partner.release()
        else:
            self._run_order(self._address, 0, *call)
        changed, outside = self._found.tolist()
        if changed:
            self._pack()
            return self.run(work, *call)
        return not outside

    def _divide(self) -> list[tuple[int, int, int]]:
        """The direction, the first vector of units and the number of vectors of each part."""
        vectors = padded(self.H) // host().lanes
        if not self._coupled:
            return [(d, 0, vectors) for d in range(self.D)]
        # no two threads write to one cache line
        unit = order.GROUP if self._code == layout.SIMPLE_RNN else LINE // host().lanes
        half = -(-vectors // (2 * unit)) * unit
        if half >= vectors:
            self._coupled = False
            return [(0, 0, vectors)]
        return [(0, 0, half), (0, half, vectors - half)]

    def _fill(self, use_relu: bool) -> None:
        """Sets the numbers that remain, and allocates the work memory."""
        facts = {
            order.CELL: self._code,
            order.RELU: int(use_relu),
            order.E: self.E,
            order.H: self.H,
            order.LDH: padded(self.H),
            order.PARTS: len(self._parts),
            order.COUPLED: int(self._coupled),
            order.FEW: FEW_STEPS,
            order.ITSELF: self._address,
            order.WIDTH: self.width,
        }
        for field, value in facts.items():
            self._order[field] = value
        states: dict[int, tuple[int, int]] = {}
        for p, (d, first, vectors) in enumerate(self._parts):
            if d not in states:
                states[d] = self._allocate(2 * padded(self.H)), self._allocate(padded(self.H))
            columns = vectors * self._gates * host().lanes
            facts = {
                order.REVERSE: d,
                order.FIRST: first,
                order.VECTORS: vectors,
                order.LD: row_length(columns),
                order.SUMS: self._allocate(order.CHUNK * row_length(columns) + order.SCRATCH * host().lanes),
                order.INPUTS: self._allocate(order.CHUNK * (self.E + 1)),
                order.STATES: states[d][0],
                order.CELLS: states[d][1],
                order.AT: d * self.H,
                order.SHARE: p if self._coupled else 0,
                order.SHARES: 2 if self._coupled else 1,
            }
            fields = (order.WEIGHT_IH, order.WEIGHT_HH, order.BIAS_IH, order.BIAS_HH)
            facts |= dict(zip(fields, map(address, self._sources[d]), strict=False))
            self._set(p, facts)

    def _pack(self) -> None:
        """Packs copies of the weights, since another thread may change them."""
        self._packed = []
        for p, (d, first, vectors) in enumerate(self._parts):
            copy = np.concatenate(self._sources[d])
            weight_ih, weight_hh, bias, *rest = np.split(
                copy, np.cumsum([len(s) for s in self._sources[d]])[:-1]
            )
            last = nothing()
            if rest:
                bias = bias.copy()
                bias[: 2 * self.H] += rest[0][: 2 * self.H]
                last = np.zeros(vectors * host().lanes, np.float32)
                own = rest[0][2 * self.H + first * host().lanes :][: len(last)]
                last[: len(own)] = own
            columns = vectors * self._gates * host().lanes
            W, U = (_aligned(columns * terms) for terms in (self.E + 1, self.H))
            pack = functions().pack_groups
            pack(address(W), address(weight_ih), self._code, self.H, self.E, address(bias), first, vectors)
            pack(address(U), address(weight_hh), self._code, self.H, self.H, 0, first, vectors)
            self._packed += [copy, W, U, last]
            fields = (order.COPY, order.W, order.U, order.LAST)
            self._set(p, dict(zip(fields, map(address, (copy, W, U, last)), strict=True)))

    def _set(self, part: int, facts: dict[int, int]) -> None:
        for field, value in facts.items():
            self._order[order.SHARED + part * order.PART + field] = value

    def _allocate(self, count: int) -> int:
        """The address of new memory."""
        self._memory.append(_aligned(count))
        return address(self._memory[-1])


def _aligned(count: int) -> Floats:
    """Zeros that begin at a cache line."""
    room = np.zeros(count + LINE, np.float32)
    ahead = -address(room) % (4 * LINE) // 4
    return room[ahead : ahead + count]
