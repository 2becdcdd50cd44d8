"""The scan on tensors, and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.errors import BackendError
from recurra.kernels.cpu.layout import Floats, Integers, Outputs, nothing, padded
from recurra.kernels.cpu.scan_kernel import backward_of, forward_of
from recurra.kernels.cpu.scan_layout import CODES, GATED, NAMES, Carried, Scan, Steps, Sums
from recurra.kernels.cpu.threads import run_all
from recurra.kernels.cpu.views import flat, span
from recurra.kernels.cpu.workspace import borrow

__all__ = ["ScanArguments", "scan"]


class ScanArguments(NamedTuple):
    """One layer over one batch, in one direction or two."""

    inputs: list[Tensor]
    """What the cell's ``prepare`` returns for each direction, float32 ``(n, N)``: one tensor or two."""
    vectors: list[Tensor]
    """SRU's weights of the state ``(2H,)`` of each direction; else empty."""
    state: list[Tensor]
    """Initial state parts ``(B, H)`` of each direction; empty for zeros."""
    places: Integers
    """``(B, T)`` flat: the row of the inputs of each step that is not padding."""
    lengths: Integers
    """``(B,)`` steps of each row."""
    cell: str
    activation: str
    reverse: bool
    """Whether the first direction reads from the end; a second one always does."""
    sequences: bool
    """Whether all outputs are wanted."""
    shared: bool
    """Whether steps may have the same row of inputs."""
    directions: int
    parts: int
    """State parts of a direction."""
    T: int
    H: int
    shards: int
    threads: int

    @property
    def tensors(self) -> list[Tensor]:
        """Those that may have a gradient."""
        return [*self.inputs, *self.vectors, *self.state]

    def with_tensors(self, tensors: list[Tensor], counts: tuple[int, int]) -> ScanArguments:
        """The same with other inputs, vectors and states; ``counts`` says how many the first two are."""
        inputs, vectors = counts
        first, second, state = tensors[:inputs], tensors[inputs:][:vectors], tensors[inputs + vectors :]
        return self._replace(inputs=first, vectors=second, state=state)


def scan(call: ScanArguments) -> tuple[Tensor, Tensor]:
    """Returns outputs ``(T, B, D*H)`` and the last state parts ``(D * parts, B, H)``.

    Without ``sequences`` the outputs may be empty.
    """
    if torch.is_grad_enabled() and any(part.requires_grad for part in call.tensors):
        outputs, last = _Scan.apply(call, *call.tensors)  # type: ignore[no-untyped-call]
        return outputs, last
    outputs, last, _ = _compute(call, save=False)
    return outputs, last


class _Scan(torch.autograd.Function):
    """The scan as a function of its record, followed by those of its tensors that may have a gradient."""

    @staticmethod
    def forward(ctx: Any, call: ScanArguments, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        outputs, last, states = _compute(call, save=True)
        ctx.save_for_backward(*tensors, outputs, states)
        ctx.counts = len(call.inputs), len(call.vectors)
        ctx.call = call.with_tensors([], (0, 0))  # saved above: torch frees them and detects changes
        ctx.set_materialize_grads(False)
        return outputs, last

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, last: Tensor | None) -> tuple[Any, ...]:
        *tensors, outputs, states = ctx.saved_tensors
        if gradient is None and last is None:
            return (None,) * (1 + len(tensors))
        call = ctx.call.with_tensors(tensors, ctx.counts)
        states = states if states.numel() else outputs
        gradients = _differentiate(call, states, gradient if call.sequences else None, last)
        if torch.is_grad_enabled():
            given = [part for part in (gradient, last) if part is not None]
            final: Any = _Final.apply
            gradients = list(final(len(gradients), *gradients, *tensors, *given))
        return (None, *gradients)


class _Final(torch.autograd.Function):
    """Gradients that have none themselves."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.view_as(tensor) for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise BackendError(
            "backend 'cpu' has no gradients of gradients", hint="use backend 'reference', or 'torch'"
        )


def _compute(call: ScanArguments, *, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs and last states; and all states of the scan, if the gradient needs others than the outputs."""
    B, T, H, D = len(call.lengths), call.T, call.H, call.directions
    gated = CODES[call.cell] >= GATED
    outputs = _borrowed(call, call.sequences or (save and not gated))
    states = _borrowed(call, save and gated)
    last = torch.empty(D * call.parts, B, H, dtype=torch.float32, device="cpu")
    forward, shards = forward_of(CODES[call.cell]), _shards(call)
    tasks: list[Callable[[], None]] = []
    for d in range(D):
        for steps in shards:
            tasks.append(
                partial(
                    forward, _facts(call, d), steps, _sums(call, d), _initial(call, d),
                    _view(outputs, d * H, T), _view(states, d * H, T), _carried(call, last, d),
                    borrow(padded(H)), borrow(padded(H)),
                )
            )  # fmt: skip
    run_all(tasks, call.threads)
    return outputs, last, states


def _differentiate(
    call: ScanArguments, states: Tensor, gradient: Tensor | None, last: Tensor | None
) -> list[Tensor]:
    """The gradients of inputs, vectors and initial states."""
    T, H, D = call.T, call.H, call.directions
    dfirst = torch.empty(D * call.parts, len(call.lengths), H, dtype=torch.float32, device="cpu")
    if gradient is None:
        upstream = [_NO_OUTPUTS] * D
    else:
        gradient = gradient if gradient.stride(2) == 1 else gradient.contiguous()
        upstream = [_view(gradient, d * H, T) for d in range(D)]
    found: list[list[Sums]] = []
    backward, shards = backward_of(CODES[call.cell]), _shards(call)
    tasks: list[Callable[[], None]] = []
    for d in range(D):
        sums = _sums(call, d)
        every: list[Sums] = []
        for steps in shards:
            # of places that steps share, each shard adds up its own gradients
            own = _gradient_of(sums) if call.shared or not every else every[0]
            every.append(own._replace(vector=borrow(2 * padded(H) if sums.vector.size else 0)))
            tasks.append(
                partial(
                    _backward, backward, _facts(call, d), steps, sums, _initial(call, d),
                    _view(states, d * H, T), upstream[d],
                    _NO_STATE if last is None else _carried(call, last, d), every[-1],
                    _carried(call, dfirst, d), borrow(padded(H)),
                )
            )  # fmt: skip
        found.append(every)
    run_all(tasks, call.threads)
    return _in_torch(call, found) + (list(dfirst.unbind(0)) if call.state else [])


def _backward(backward: Callable[..., None], facts: Scan, *arguments: Any) -> None:
    dsums: Sums = arguments[6]
    dsums.vector[:] = 0.0
    if facts.shared:
        dsums.own[:], dsums.other[:] = 0.0, 0.0
    backward(facts, *arguments)


def _in_torch(call: ScanArguments, found: list[list[Sums]]) -> list[Tensor]:
    """The gradients of inputs and vectors, summed over shards in order, so that the bits are the same."""
    each = len(call.inputs) // call.directions
    inputs: list[Floats] = []
    for every in found:
        inputs += [_total([s.own for s in every]), _total([s.other for s in every])][:each]
    gradients = [
        torch.from_numpy(part).view(like.shape) for part, like in zip(inputs, call.inputs, strict=True)
    ]
    for every in found[: len(call.vectors)]:
        rows = _total([sums.vector for sums in every]).reshape(2, -1)
        gradients.append(torch.from_numpy(rows[:, : call.H].reshape(-1)))
    return gradients


def _total(parts: Sequence[Floats]) -> Floats:
    """The sum of the different arrays, in the first one."""
    for other in parts[1:]:
        if other is not parts[0]:
            parts[0] += other
    return parts[0]


def _facts(call: ScanArguments, d: int) -> Scan:
    reverse = call.reverse if d == 0 else True
    return Scan(NAMES.index(call.activation), reverse, call.H, call.shared)


def _sums(call: ScanArguments, d: int) -> Sums:
    each = len(call.inputs) // call.directions
    own, *others = call.inputs[d * each : (d + 1) * each]
    other, ld = (flat(others[0]), others[0].shape[1]) if others else (nothing(), 0)
    return Sums(flat(own), own.shape[1], other, ld, flat(call.vectors[d]) if call.vectors else nothing())


def _gradient_of(sums: Sums) -> Sums:
    """Memory for the gradient of sums."""
    return Sums(borrow(sums.own.size), sums.own_ld, borrow(sums.other.size), sums.other_ld, nothing())


def _initial(call: ScanArguments, d: int) -> Carried:
    if not call.state:
        return _NO_STATE
    h, *others = call.state[d * call.parts : (d + 1) * call.parts]
    if not others:
        return Carried(nothing(), flat(h), nothing())
    c, *last = others
    return Carried(flat(h), flat(c), flat(torch.stack(last)) if last else nothing())


def _carried(call: ScanArguments, parts: Tensor, d: int) -> Carried:
    """State parts ``(D * parts, B, H)`` of one direction."""
    own = parts[d * call.parts : (d + 1) * call.parts].contiguous()
    if call.parts == 1:
        return Carried(nothing(), flat(own), nothing())
    return Carried(flat(own[0]), flat(own[1]), flat(own[2:]))


_NO_STATE = Carried(nothing(), nothing(), nothing())
_NO_OUTPUTS = Outputs(nothing(), 0, 0, 0, 0)


def _borrowed(call: ScanArguments, wanted: bool) -> Tensor:
    """Memory for ``(T, B, D*H)`` numbers, or none if they are not wanted."""
    shape = (len(call.lengths), call.T, call.directions * call.H) if wanted else (0, 0, 0)
    size = shape[0] * shape[1] * shape[2]
    return torch.from_numpy(borrow(size)).view(shape).transpose(0, 1)


def _view(outputs: Tensor, first: int, T: int) -> Outputs:
    """One direction of numbers ``(T, B, D*H)``, from column ``first`` on."""
    return Outputs(span(outputs), outputs.stride(0), outputs.stride(1), first, T)


def _shards(call: ScanArguments) -> list[Steps]:
    """The rows sorted by length and assigned in turn, so that all shards have about the same work."""
    order = np.argsort(-call.lengths, kind="stable")
    return [
        Steps(np.ascontiguousarray(order[n :: call.shards]), call.lengths, call.places, call.T)
        for n in range(call.shards)
    ]
