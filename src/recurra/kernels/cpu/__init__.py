"""The recurrence on the CPU, in Python: Numba with vectors of the machine's own width.

Nothing of Numba is imported before the first call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from recurra import runtime
from recurra.cells import cell_named
from recurra.cells.spec import State
from recurra.kernels.cpu.host import host, unavailable_reason
from recurra.kernels.terms import Call, Lookup

__all__ = ["release_workspaces", "run", "to_be_compiled", "unavailable_reason", "unsupported_reason"]

ACTIVATIONS = {"simple_rnn": ("tanh", "relu"), "lstm": ("tanh",), "gru": ("tanh", "relu")}
"""The cells that have a kernel here, and the activations that it computes."""
AT_FIRST = torch.get_num_threads()
"""Threads for compiled graphs, in which torch can't be asked for the number."""


def unsupported_reason(call: Call) -> str | None:
    """What this backend lacks for a call, or None where it can serve it."""
    if unavailable_reason() is not None:
        return unavailable_reason()
    if call.cell not in ACTIVATIONS:
        return f"cell {call.cell}"
    if call.activation not in ACTIVATIONS[call.cell]:
        name = call.activation if isinstance(call.activation, str) else "custom activation"
        return f"{name} in {call.cell}"
    x = call.x.table if isinstance(call.x, Lookup) else call.x
    if x.device.type != "cpu":
        return f"kernels for {x.device.type}"
    others = [*call.weights.values(), *(call.state or ())]
    masks = [mask for mask in (call.input_mask, call.recurrent_mask) if mask is not None]
    different = [part.dtype for part in (x, *others, *masks) if part.dtype != torch.float32]
    if different:
        return f"{str(different[0]).removeprefix('torch.')} numbers"
    if call.precision == "bfloat16" and host().bf16 is None:
        return "products of bfloat16 on this machine"
    if any(mask.requires_grad for mask in masks):
        return "gradients of masks"
    return None


def run(calls: Sequence[Call], *, sequences: bool) -> tuple[Tensor, tuple[State, ...]]:
    """Outputs ``(T, B, D*H)``, zero past each length, and the last state of each direction.

    Args:
        calls: one, or a forward and a backward one over the same input.
        sequences: whether the outputs are wanted; without, they may be empty.

    Raises:
        IndexError: a lookup names a row that its table has not.
    """
    from recurra.kernels.cpu import autograd, engine

    first = calls[0]
    T, B, E = first.x.shape
    spec = cell_named(first.cell)
    rows, H = first.weights.weight_hh.shape
    x, index = first.x if isinstance(first.x, Lookup) else (first.x, None)
    initial = [part for call in calls for part in call.initial()] if any(c.state for c in calls) else []
    weights = [call.weights[name] for call in calls for name in spec.parameter_names]
    input_masks = _masks([call.input_mask for call in calls])
    recurrent_masks = _masks([call.recurrent_mask for call in calls])
    compiling = torch.compiler.is_compiling() and "RECURRA_THREADS" not in os.environ
    threads = AT_FIRST if compiling else runtime.threads()
    work = 2.0 * T * B * rows * (E + H)
    outputs, last = autograd.recurrence(
        x, index, first.lengths, (initial, weights, input_masks, recurrent_masks), first.cell,
        first.activation == "relu", first.precision == "bfloat16", first.reverse, sequences,
        engine.shards_for(B, len(calls), work, threads), threads,
    )  # fmt: skip
    parts = last.unbind(0)
    step = len(spec.state)
    return outputs, tuple(parts[n : n + step] for n in range(0, len(parts), step))


def _masks(each: list[Tensor | None]) -> list[Tensor]:
    """A mask for each direction, of ones where only the other has one; none where none has."""
    some = next((mask for mask in each if mask is not None), None)
    return [] if some is None else [torch.ones_like(some) if mask is None else mask for mask in each]


def to_be_compiled() -> bool:
    """Whether the first call in this process will take some seconds to compile the kernels."""
    if unavailable_reason() is not None:
        return False
    from recurra.kernels.cpu.compiled import cache_folder

    folder = cache_folder()
    return folder is None or not any(folder.glob("**/*.nbi"))


def release_workspaces() -> None:
    """Give the memory that is kept for the next call back to the system."""
    from recurra.kernels.cpu import workspace

    workspace.release()
