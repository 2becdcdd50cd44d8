"""The CPU kernels on tensors, and as operators that ``torch.compile`` and torch's checks know.

``recurra::recurrence`` runs one layer in one or two directions; ``recurra::recurrence_backward`` is its
gradient (``autograd.py`` joins them). Neither copies its inputs, unless the last dimension of one is not
contiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.cells import cell_named
from recurra.kernels.cpu import engine, layout
from recurra.kernels.cpu.layout import Floats, Outputs, nothing
from recurra.kernels.cpu.workspace import borrow

__all__ = ["BACKWARD", "FORWARD", "backward", "compute", "compute_backward", "forward"]

FORWARD, BACKWARD = "recurra::recurrence", "recurra::recurrence_backward"


def compute(
    x: Tensor, index: Tensor | None, lengths: Tensor | None, state: Sequence[Tensor],
    weights: Sequence[Tensor], input_masks: Sequence[Tensor], recurrent_masks: Sequence[Tensor], cell: str,
    use_relu: bool, bf16: bool, reverse: bool, sequences: bool, save: bool, shards: int, threads: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """One layer forwards.

    Args:
        x: ``(T, B, E)`` float32; with an index the table ``(U, E)``.
        index: ``(T, B)`` int64 rows of the table, or None.
        lengths: ``(B,)`` int64 steps of each row; None where all have ``T``.
        state: initial ``h`` (LSTM: ``h, c``) ``(B, H)`` of each direction; empty for zeros.
        weights: ``weight_ih, weight_hh, bias_ih`` (GRU: and ``bias_hh``) of each direction.
        input_masks: ``(B, E)`` of each direction; empty where there are none.
        recurrent_masks: ``(B, H)`` likewise.
        cell: its name.
        use_relu: relu in tanh's place.
        bf16: whether products are of bfloat16.
        reverse: whether the first direction reads from the end; a second one always does.
        sequences: whether all states are wanted.
        save: whether a gradient will be asked for.
        shards: parts that the batch is dealt to.
        threads: threads to run them.

    Returns:
        All states ``(T, B, D*H)`` (empty unless ``sequences`` or ``save``), the last states (h, c of each
        direction) ``(D, B, H)`` or ``(2 D, B, H)``, and the tape.
    """
    job = _job(
        x,
        index,
        lengths,
        weights,
        input_masks,
        recurrent_masks,
        cell,
        use_relu,
        bf16,
        reverse,
        shards,
        threads,
    )
    D = len(job.directions)
    parts = len(cell_named(cell).state)
    outputs = borrow(job.B * job.T * D * job.H if sequences or save else 0)
    last = torch.empty(D * parts, job.B, job.H)
    tape = borrow(engine.tape_size(job.cell, job.B * job.T, job.H, D)) if save else nothing()
    initial = [flat(part) for part in state] or [nothing()] * (D * parts)
    final = [flat(part) for part in last]
    cells = [nothing()] * D
    engine.run_forward(
        job, initial[::parts], initial[1::2] if parts == 2 else cells, outputs, final[::parts],
        final[1::2] if parts == 2 else cells, tape, save,
    )  # fmt: skip
    shape = (job.B, job.T, D * job.H) if sequences or save else (0, 0, D * job.H)
    return torch.from_numpy(outputs).view(shape).transpose(0, 1), last, torch.from_numpy(tape)


def compute_backward(
    x: Tensor, index: Tensor | None, lengths: Tensor | None, state: Sequence[Tensor],
    weights: Sequence[Tensor], input_masks: Sequence[Tensor], recurrent_masks: Sequence[Tensor],
    outputs: Tensor, tape: Tensor, gradient: Tensor | None, last_gradient: Tensor | None, cell: str,
    use_relu: bool, bf16: bool, reverse: bool, shards: int, threads: int, input_wanted: bool,
) -> list[Tensor]:  # fmt: skip
    """The gradients of one layer.

    Args:
        x: as in ``compute``, like all that is not named here.
        index: of the table.
        lengths: of the rows.
        state: initial.
        weights: of each direction.
        input_masks: of each direction.
        recurrent_masks: of each direction.
        outputs: all states, as ``compute`` returned them.
        tape: likewise.
        gradient: of all states ``(T, B, D*H)``, or None.
        last_gradient: of the last states, or None.
        cell: the cell.
        use_relu: relu in tanh's place.
        bf16: whether products are of bfloat16.
        reverse: of the first direction.
        shards: parts that the batch was dealt to.
        threads: threads to run them.
        input_wanted: whether the gradient of ``x`` is wanted.

    Returns:
        Gradients of ``x`` (empty if not wanted), of the initial states in one tensor, and of each weight.
    """
    job = _job(
        x,
        index,
        lengths,
        weights,
        input_masks,
        recurrent_masks,
        cell,
        use_relu,
        bf16,
        reverse,
        shards,
        threads,
    )
    B, T, E, H, D = job.B, job.T, job.E, job.H, len(job.directions)
    parts = len(cell_named(cell).state)
    absent = [nothing()] * (D * parts)
    dlast = absent if last_gradient is None else [flat(part.contiguous()) for part in last_gradient]
    given = [Outputs(nothing(), 0, 0, 0, T)] * D
    if gradient is not None:
        gradient = gradient if gradient.stride(2) == 1 else gradient.contiguous()
        given = [Outputs(span(gradient), gradient.stride(0), gradient.stride(1), d * H, T) for d in range(D)]
    dx = None
    if input_wanted:
        dx = borrow(x.numel() if index is not None else B * T * E)
    dstate = torch.empty(D * parts, B, H)
    to = [flat(part) for part in dstate]
    cells = [nothing()] * D
    initial = [flat(part) for part in state] or absent
    shown = [Outputs(span(outputs), outputs.stride(0), outputs.stride(1), d * H, T) for d in range(D)]
    found = engine.run_backward(
        job, initial[::parts], shown, span(tape), given, dlast[::parts],
        dlast[1::2] if parts == 2 else cells, dx, to[::parts], to[1::2] if parts == 2 else cells,
    )  # fmt: skip
    gradients = [
        torch.empty(0) if dx is None else _input_shaped(torch.from_numpy(dx), index is not None, B, T, E)
    ]
    gradients.append(dstate)
    columns = layout.GATES[job.cell] * H
    for ih, hh, bias_ih, bias_hh in found:
        gradients += [torch.from_numpy(ih).view(columns, E), torch.from_numpy(hh).view(columns, H)]
        gradients += [torch.from_numpy(part) for part in (bias_ih, bias_hh) if part.size]
    return gradients


def _input_shaped(dx: Tensor, table: bool, B: int, T: int, E: int) -> Tensor:
    return dx.view(-1, E) if table else dx.view(B, T, E).transpose(0, 1)


def _job(
    x: Tensor, index: Tensor | None, lengths: Tensor | None, weights: Sequence[Tensor],
    input_masks: Sequence[Tensor], recurrent_masks: Sequence[Tensor], cell: str, use_relu: bool,
    bf16: bool, reverse: bool, shards: int, threads: int,
) -> engine.Job:  # fmt: skip
    each = len(cell_named(cell).parameter_names)
    directions = []
    for d in range(len(weights) // each):
        own = [flat(weight) for weight in weights[d * each : (d + 1) * each]]
        masks = [flat(kind[d]) if kind else nothing() for kind in (input_masks, recurrent_masks)]
        directions.append(engine.Direction(*own, *[nothing()] * (4 - each), *masks))
    T, B = x.shape[:2] if index is None else index.shape
    x = x.detach()
    if index is None:
        x = x if x.stride(2) == 1 or x.shape[2] == 1 else x.contiguous()
        dt, db, places = x.stride(0), x.stride(1), nothing(np.int64)
    else:
        lowest, highest = (int(value) for value in torch.aminmax(index)) if index.numel() else (0, 0)
        if lowest < 0 or highest >= len(x):
            raise IndexError(
                f"the index names row {lowest if lowest < 0 else highest}, the table has {len(x)}"
            )
        dt, db, places = index.stride(0), index.stride(1), span(index)
    return engine.Job(
        layout.CODES[cell], use_relu, bf16, reverse, T, B, x.shape[-1], weights[1].shape[1],
        span(x) if index is None else flat(x), places, dt, db,
        None if lengths is None else lengths.long().contiguous().numpy(), directions, shards, threads,
    )  # fmt: skip


def flat(tensor: Tensor) -> Floats:
    """The numbers of a tensor in order; a view of it where it is contiguous."""
    array: Floats = tensor.detach().contiguous().view(-1).numpy()
    return array


def span(tensor: Tensor) -> Any:
    """All numbers from a tensor's first to its last place in memory, whatever its strides."""
    tensor = tensor.detach()
    if tensor.numel() == 0:
        return tensor.reshape(-1).numpy()
    length = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((length,), (1,)).numpy()


def _defined(name: str, function: Callable[..., Any]) -> Any:
    """The operator of a function, on the CPU.

    (``torch.library.custom_op`` would do this in one call, but imports torch's compiler when first used,
    which takes 0.8 s.)
    """
    schema = torch.library.infer_schema(function, mutates_args=())
    torch.library.define(name, schema)
    torch.library.impl(name, "CPU", function)
    return getattr(torch.ops.recurra, name.split("::")[1]).default


forward = _defined(FORWARD, compute)
backward = _defined(BACKWARD, compute_backward)


def _shapes(
    x: Tensor, index: Tensor | None, lengths: Tensor | None, state: Sequence[Tensor],
    weights: Sequence[Tensor], input_masks: Sequence[Tensor], recurrent_masks: Sequence[Tensor], cell: str,
    use_relu: bool, bf16: bool, reverse: bool, sequences: bool, save: bool, shards: int, threads: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    T, B = (x if index is None else index).shape[:2]
    H, D = weights[1].shape[1], len(weights) // len(cell_named(cell).parameter_names)
    shape = (B, T, D * H) if sequences or save else (0, 0, D * H)
    kept = engine.tape_size(layout.CODES[cell], B * T, H, D) if save else 0
    return (
        x.new_empty(shape).transpose(0, 1),
        x.new_empty(D * len(cell_named(cell).state), B, H),
        x.new_empty(kept),
    )


torch.library.register_fake(FORWARD, _shapes)


def _backward_shapes(
    x: Tensor, index: Tensor | None, lengths: Tensor | None, state: Sequence[Tensor],
    weights: Sequence[Tensor], input_masks: Sequence[Tensor], recurrent_masks: Sequence[Tensor],
    outputs: Tensor, tape: Tensor, gradient: Tensor | None, last_gradient: Tensor | None, cell: str,
    use_relu: bool, bf16: bool, reverse: bool, shards: int, threads: int, input_wanted: bool,
) -> list[Tensor]:  # fmt: skip
    T, B = (x if index is None else index).shape[:2]
    H, D = weights[1].shape[1], len(weights) // len(cell_named(cell).parameter_names)
    dx = x.new_empty(0)
    if input_wanted:
        dx = x.new_empty(x.shape) if index is not None else x.new_empty(B, T, x.shape[2]).transpose(0, 1)
    dstate = x.new_empty(D * len(cell_named(cell).state), B, H)
    return [
        dx,
        dstate,
        *(torch.empty_like(weight, memory_format=torch.contiguous_format) for weight in weights),
    ]


torch.library.register_fake(BACKWARD, _backward_shapes)
