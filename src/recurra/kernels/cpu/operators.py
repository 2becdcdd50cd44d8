"""The CPU kernels on tensors, and as operators that ``torch.compile`` can trace.

``recurra::recurrence`` runs one layer in one or two directions; ``recurra::recurrence_backward`` is its
gradient (``autograd.py`` joins them). Inputs are not copied, unless the last dimension of one is not
contiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.cells import cell_named
from recurra.kernels.cpu import engine, layout
from recurra.kernels.cpu.layout import Outputs, nothing
from recurra.kernels.cpu.views import check_index, flat, span
from recurra.kernels.cpu.workspace import borrow

__all__ = [
    "BACKWARD",
    "FORWARD",
    "Arguments",
    "backward",
    "compute",
    "compute_backward",
    "forward",
]

FORWARD, BACKWARD = "recurra::recurrence", "recurra::recurrence_backward"


class Arguments(NamedTuple):
    """One layer over one batch, in one direction or two: the arguments of both operators."""

    x: Tensor
    """``(T, B, E)`` float32; with an index the table ``(U, E)``."""
    index: Tensor | None  # type: ignore[assignment]  # tuple's method of that name is not needed
    """``(T, B)`` int64 rows of the table."""
    lengths: Tensor | None
    """``(B,)`` int64 steps of each row; None where all have ``T``."""
    state: list[Tensor]
    """Initial state parts ``(B, H)`` of each direction; empty for zeros."""
    weights: list[Tensor]
    """The parameters of each direction, in the order of the cell's."""
    input_masks: list[Tensor]
    """``(B, E)`` of each direction; empty where there are none."""
    recurrent_masks: list[Tensor]
    """``(B, H)`` of each direction; empty where there are none."""
    cell: str
    use_relu: bool
    """Whether the activation is relu, else tanh."""
    bf16: bool
    """Whether products are of bfloat16."""
    reverse: bool
    """Whether the first direction reads from the end; a second one always does."""
    sequences: bool
    """Whether all states are wanted."""
    shards: int
    """Parts that the batch is divided into."""
    threads: int
    """Threads that run them."""


_SCHEMA = (
    "Tensor x, Tensor? index, Tensor? lengths, Tensor[] state, Tensor[] weights, Tensor[] input_masks, "
    "Tensor[] recurrent_masks, str cell, bool use_relu, bool bf16, bool reverse, bool sequences, "
    "SymInt shards, SymInt threads"
)


def compute(call: Arguments, *, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Runs one layer forwards.

    Args:
        call: the layer and the batch.
        save: whether a gradient may be computed.

    Returns:
        All states ``(T, B, D*H)`` (empty unless ``sequences`` or ``save``), the last state parts of each
        direction ``(D * parts, B, H)``, and the tape.
    """
    job = _job(call)
    B, T, H, D = job.B, job.T, job.H, len(job.directions)
    parts = len(cell_named(call.cell).state)
    wanted = call.sequences or save
    outputs = borrow(B * T * D * H if wanted else 0)
    tape = borrow(engine.tape_size(job.cell, B * T, H, D)) if save else nothing()
    last = torch.empty(D * parts, B, H, dtype=torch.float32, device="cpu")
    final = list(last.numpy().reshape(D * parts, -1))
    initial = [flat(part) for part in call.state] or [nothing()] * (D * parts)
    cells = [nothing()] * D
    engine.run_forward(
        job, initial[::parts], initial[1::2] if parts == 2 else cells, outputs, final[::parts],
        final[1::2] if parts == 2 else cells, tape, save,
    )  # fmt: skip
    shape = (B, T, D * H) if wanted else (0, 0, D * H)
    return torch.from_numpy(outputs).view(shape).transpose(0, 1), last, torch.from_numpy(tape)


def compute_backward(
    call: Arguments, outputs: Tensor, tape: Tensor, gradient: Tensor | None, last_gradient: Tensor | None, *,
    input_wanted: bool,
) -> list[Tensor]:  # fmt: skip
    """Computes the gradients of one layer.

    Args:
        call: the layer and the batch.
        outputs: all states, as ``compute`` returned them.
        tape: likewise.
        gradient: of all states ``(T, B, D*H)``, or None.
        last_gradient: of the last states, or None.
        input_wanted: whether the gradient of ``x`` is wanted.

    Returns:
        Gradients of ``x`` (empty if not wanted), of the initial states in one tensor, and of each weight.
    """
    job = _job(call)
    B, T, E, H, D = job.B, job.T, job.E, job.H, len(job.directions)
    parts = len(cell_named(call.cell).state)
    absent = [nothing()] * (D * parts)
    dlast = absent if last_gradient is None else [flat(part) for part in last_gradient]
    upstream = [Outputs(nothing(), 0, 0, 0, T)] * D
    if gradient is not None:
        gradient = gradient if gradient.stride(2) == 1 else gradient.contiguous()
        upstream = [
            Outputs(span(gradient), gradient.stride(0), gradient.stride(1), d * H, T) for d in range(D)
        ]
    dx = None
    if input_wanted:
        dx = borrow(call.x.numel() if call.index is not None else B * T * E)
    dstate = torch.empty(D * parts, B, H, dtype=torch.float32, device="cpu")
    to = list(dstate.numpy().reshape(D * parts, -1))
    cells = [nothing()] * D
    initial = [flat(part) for part in call.state] or absent
    states = [Outputs(span(outputs), outputs.stride(0), outputs.stride(1), d * H, T) for d in range(D)]
    weight_gradients = engine.run_backward(
        job, initial[::parts], states, span(tape), upstream, dlast[::parts],
        dlast[1::2] if parts == 2 else cells, dx, to[::parts], to[1::2] if parts == 2 else cells,
    )  # fmt: skip
    gradients = [torch.empty(0, dtype=torch.float32, device="cpu"), dstate]
    if dx is not None:
        flat_dx = torch.from_numpy(dx)
        gradients[0] = (
            flat_dx.view(-1, E) if call.index is not None else flat_dx.view(B, T, E).transpose(0, 1)
        )
    columns = layout.GATES[job.cell] * H
    for ih, hh, bias_ih, bias_hh in weight_gradients:
        gradients += [torch.from_numpy(ih).view(columns, E), torch.from_numpy(hh).view(columns, H)]
        gradients += [torch.from_numpy(part) for part in (bias_ih, bias_hh) if part.size]
    return gradients


def _job(call: Arguments) -> engine.Job:
    """Converts the arguments to arrays."""
    x, index, weights = call.x.detach(), call.index, call.weights
    each = len(cell_named(call.cell).parameter_names)
    directions = []
    for d in range(len(weights) // each):
        own = [flat(weight) for weight in weights[d * each : (d + 1) * each]]
        masks = [flat(kind[d]) if kind else nothing() for kind in (call.input_masks, call.recurrent_masks)]
        directions.append(engine.Direction(*own, *[nothing()] * (4 - each), *masks))
    T, B = x.shape[:2] if index is None else index.shape
    if index is None:
        x = x if x.stride(2) == 1 or x.shape[2] == 1 else x.contiguous()
        data, places, dt, db = span(x), nothing(np.int64), x.stride(0), x.stride(1)
    else:
        check_index(index, len(x))
        data, places, dt, db = flat(x), span(index), index.stride(0), index.stride(1)
    return engine.Job(
        layout.CODES[call.cell], call.use_relu, call.bf16, call.reverse, T, B, x.shape[-1],
        weights[1].shape[1], data, places, dt, db,
        None if call.lengths is None else call.lengths.long().contiguous().numpy(), directions, call.shards,
        call.threads,
    )  # fmt: skip


def _operator(name: str, schema: str, function: Callable[..., Any]) -> Any:
    """Defines an operator on the CPU.

    (``torch.library.custom_op`` would do this in one call, but imports torch's compiler when first used,
    which takes 0.8 s.)
    """
    torch.library.define(name, schema)
    torch.library.impl(name, "CPU", function)
    return getattr(torch.ops.recurra, name.split("::")[1]).default


def _forward(*given: Any) -> tuple[Tensor, Tensor, Tensor]:
    *arguments, save = given
    return compute(Arguments(*arguments), save=save)


def _backward(*given: Any) -> list[Tensor]:
    *arguments, outputs, tape, gradient, last_gradient, input_wanted = given
    call = Arguments(*arguments)
    return compute_backward(call, outputs, tape, gradient, last_gradient, input_wanted=input_wanted)


forward = _operator(FORWARD, f"({_SCHEMA}, bool save) -> (Tensor, Tensor, Tensor)", _forward)
backward = _operator(
    BACKWARD,
    f"({_SCHEMA}, Tensor outputs, Tensor tape, Tensor? gradient, Tensor? last_gradient, bool input_wanted) "
    "-> Tensor[]",
    _backward,
)


def _sizes(call: Arguments) -> tuple[int, int, int, int, int]:
    """``T``, ``B``, ``H``, ``D`` and the number of state parts."""
    spec = cell_named(call.cell)
    T, B = (call.x if call.index is None else call.index).shape[:2]
    return T, B, call.weights[1].shape[1], len(call.weights) // len(spec.parameters), len(spec.state)


def _forward_shapes(*given: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Tensors of the shapes that the operator returns, without values."""
    *arguments, save = given
    call = Arguments(*arguments)
    T, B, H, D, parts = _sizes(call)
    shape = (B, T, D * H) if call.sequences or save else (0, 0, D * H)
    tape = engine.tape_size(layout.CODES[call.cell], B * T, H, D) if save else 0
    new = call.x.new_empty
    return new(shape).transpose(0, 1), new(D * parts, B, H), new(tape)


def _backward_shapes(*given: Any) -> list[Tensor]:
    *arguments, _, _, _, _, input_wanted = given
    call = Arguments(*arguments)
    T, B, H, D, parts = _sizes(call)
    x = call.x
    dx = x.new_empty(0)
    if input_wanted:
        table = call.index is not None
        dx = x.new_empty(x.shape) if table else x.new_empty(B, T, x.shape[2]).transpose(0, 1)
    weights = [torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in call.weights]
    return [dx, x.new_empty(D * parts, B, H), *weights]


torch.library.register_fake(FORWARD, _forward_shapes)
torch.library.register_fake(BACKWARD, _backward_shapes)
