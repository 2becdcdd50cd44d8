"""The scan on tensors, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.errors import BackendError
from recurra.kernels.cpu.layout import Floats, Integers, Outputs, nothing
from recurra.kernels.cpu.products import padded
from recurra.kernels.cpu.scan_kernel import backward, forward
from recurra.kernels.cpu.scan_layout import CODES, NAMES, Carried, Scan, Steps, Sums
from recurra.kernels.cpu.threads import run_all
from recurra.kernels.cpu.views import flat, span
from recurra.kernels.cpu.workspace import borrow

__all__ = ["ScanArguments", "scan"]


class ScanArguments(NamedTuple):
    """One layer over one batch, in one direction or two."""

    sums: list[Tensor]
    """``(n, N)`` float32 of each direction, as the cell's ``prepare`` returns them."""
    state: list[Tensor]
    """Initial state parts ``(B, H)`` of each direction; empty for zeros."""
    places: Integers
    """``(B, T)`` flat: the row of the sums of each step; -1 at padding."""
    lengths: Integers
    """``(B,)`` steps of each row."""
    cell: str
    activation: str
    reverse: bool
    """Whether the first direction reads from the end; a second one always does."""
    sequences: bool
    """Whether all outputs are wanted."""
    shared: bool
    """Whether steps may have the same row of sums."""
    T: int
    H: int
    shards: int
    threads: int

    @property
    def directions(self) -> int:
        """``D``"""
        return len(self.sums)


def scan(call: ScanArguments) -> tuple[Tensor, Tensor]:
    """Returns outputs ``(T, B, D*H)`` and the last state parts ``(D * parts, B, H)``.

    Without ``sequences`` the outputs may be empty.
    """
    tensors = (*call.sums, *call.state)
    if torch.is_grad_enabled() and any(part.requires_grad for part in tensors):
        outputs, last = _Scan.apply(call, *tensors)  # type: ignore[no-untyped-call]
        return outputs, last
    return _compute(call, save=False)


class _Scan(torch.autograd.Function):
    """The scan as a function of its record, followed by those of its tensors that may have a gradient."""

    @staticmethod
    def forward(ctx: Any, call: ScanArguments, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        outputs, last = _compute(call, save=True)
        ctx.save_for_backward(*tensors, outputs)
        ctx.call = call._replace(sums=[], state=[])  # saved above: torch frees them and detects changes
        ctx.counts = len(call.sums), len(call.state)
        ctx.set_materialize_grads(False)
        return outputs, last

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, last: Tensor | None) -> tuple[Any, ...]:
        sums: int
        states: int
        sums, states = ctx.counts
        if gradient is None and last is None:
            return (None,) * (1 + sums + states)
        *tensors, outputs = ctx.saved_tensors
        call = ctx.call._replace(sums=tensors[:sums], state=tensors[sums:])
        gradients = _differentiate(call, outputs, gradient if call.sequences else None, last)
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


def _compute(call: ScanArguments, *, save: bool) -> tuple[Tensor, Tensor]:
    B, T, H, D = len(call.lengths), call.T, call.H, call.directions
    wanted = call.sequences or save
    outputs = borrow(B * T * D * H if wanted else 0)
    last = torch.empty(D, B, H, dtype=torch.float32, device="cpu")
    initial = _carried(call)
    tasks: list[Callable[[], None]] = []
    for d, sums in enumerate(_sums(call)):
        for steps in _shards(call):
            tasks.append(
                partial(
                    forward, _facts(call, d), steps, sums, initial[d],
                    Outputs(outputs, D * H, T * D * H, d * H, T), Carried(flat(last[d])), borrow(padded(H)),
                )
            )  # fmt: skip
    run_all(tasks, call.threads)
    shape = (B, T, D * H) if wanted else (0, 0, D * H)
    return torch.from_numpy(outputs).view(shape).transpose(0, 1), last


def _differentiate(
    call: ScanArguments, outputs: Tensor, gradient: Tensor | None, last: Tensor | None
) -> list[Tensor]:
    """The gradients of the sums of each direction, then of the initial states of each direction."""
    B, T, H, D = len(call.lengths), call.T, call.H, call.directions
    dfirst = torch.empty(D, B, H, dtype=torch.float32, device="cpu")
    upstream = [Outputs(nothing(), 0, 0, 0, T)] * D
    if gradient is not None:
        gradient = gradient if gradient.stride(2) == 1 else gradient.contiguous()
        upstream = [
            Outputs(span(gradient), gradient.stride(0), gradient.stride(1), d * H, T) for d in range(D)
        ]
    initial, found = _carried(call), []
    tasks: list[Callable[[], None]] = []
    for d, sums in enumerate(_sums(call)):
        parts: list[Floats] = []
        for n, steps in enumerate(_shards(call)):
            if call.shared or n == 0:
                parts.append(borrow(sums.own.size))
            states = Outputs(span(outputs), outputs.stride(0), outputs.stride(1), d * H, T)
            dlast = nothing() if last is None else flat(last[d])
            tasks.append(
                partial(
                    _backward, _facts(call, d), steps, sums, initial[d], states, upstream[d], Carried(dlast),
                    Sums(parts[-1], sums.ld), Carried(flat(dfirst[d])), borrow(padded(H)),
                )
            )  # fmt: skip
        found.append(parts)
    run_all(tasks, call.threads)
    for parts in found:
        for other in parts[1:]:  # in order: the same number of shards gives the same bits
            parts[0] += other
    gradients = [
        torch.from_numpy(parts[0]).view(like.shape) for parts, like in zip(found, call.sums, strict=True)
    ]
    return gradients + (list(dfirst.unbind(0)) if call.state else [])


def _backward(scan: Scan, *arguments: Any) -> None:
    if scan.shared:
        arguments[6].own[:] = 0.0
    backward(scan, *arguments)


def _facts(call: ScanArguments, d: int) -> Scan:
    reverse = call.reverse if d == 0 else True
    return Scan(CODES[call.cell], NAMES.index(call.activation), reverse, call.H, call.shared)


def _sums(call: ScanArguments) -> list[Sums]:
    return [Sums(flat(own), own.shape[1]) for own in call.sums]


def _carried(call: ScanArguments) -> list[Carried]:
    if not call.state:
        return [Carried(nothing())] * call.directions
    return [Carried(flat(part)) for part in call.state]


def _shards(call: ScanArguments) -> list[Steps]:
    """The rows sorted by length and assigned in turn, so that all shards have about the same work."""
    order = np.argsort(-call.lengths, kind="stable")
    return [
        Steps(np.ascontiguousarray(order[n :: call.shards]), call.lengths, call.places, call.T)
        for n in range(call.shards)
    ]
