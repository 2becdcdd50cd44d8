"""The recurrence on the CPU, in Numba with vectors of the processor's width.

Numba is imported at the first call.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra import runtime
from recurra.cells import cell_named
from recurra.cells.spec import Activation, State
from recurra.kernels.cpu import layout, scan_layout, shards
from recurra.kernels.cpu.host import host, unavailable_reason
from recurra.kernels.terms import Call, Lookup

__all__ = [
    "can_prepare",
    "can_round",
    "compile_ahead",
    "compile_kernels",
    "has_functions",
    "release_workspaces",
    "run",
    "to_be_compiled",
    "unavailable_reason",
    "unsupported_reason",
]

ACTIVATIONS = layout.ACTIVATIONS | scan_layout.ACTIVATIONS
"""The activations that the kernels compute, by cell."""
AT_FIRST = torch.get_num_threads()
"""Number of threads in compiled graphs, which cannot query it."""


def unsupported_reason(call: Call) -> str | None:
    """Returns what this backend lacks for a call, or None if it supports it."""
    if unavailable_reason() is not None:
        return unavailable_reason()
    if call.cell not in ACTIVATIONS:
        return f"cell {call.cell}"
    if call.activation not in ACTIVATIONS[call.cell]:
        name = call.activation if isinstance(call.activation, str) else "custom activation"
        return f"{name} in {call.cell}"
    if call.cell in scan_layout.CODES and torch.compiler.is_compiling():
        return f"{call.cell} in compiled graphs"
    x = call.x.table if isinstance(call.x, Lookup) else call.x
    if x.device.type != "cpu":
        return f"kernels for {x.device.type}"
    masks = [mask for mask in (call.input_mask, call.recurrent_mask) if mask is not None]
    for part in (x, *call.weights.values(), *(call.state or ()), *masks):
        if part.dtype is not torch.float32:
            return f"{str(part.dtype).removeprefix('torch.')} numbers"
    if call.precision == "bfloat16" and host().bf16 is None:
        return "products of bfloat16 on this machine"
    if any(mask.requires_grad for mask in masks):
        return "gradients of masks"
    return None


def can_round() -> bool:
    """Whether this machine has kernels for products of bfloat16."""
    return unavailable_reason() is None and host().bf16 is not None


def can_prepare(cell: str, activations: Sequence[Activation], weights: Sequence[Any]) -> bool:
    """Whether a stack of layers with these weights can be prepared for one row at a time."""
    return (
        has_functions()
        and cell in layout.CODES
        and all(each in layout.ACTIVATIONS[cell] for each in activations)
        and all(
            type(each) in (Tensor, nn.Parameter)
            and each.dtype is torch.float32
            and each.is_cpu
            and each.is_contiguous()
            for each in weights
        )
    )


def has_functions() -> bool:
    """Whether there are functions for one row, pooling, outputs and n-grams, or they can be compiled."""
    from recurra.kernels.cpu import machine_code

    return machine_code.available() or unavailable_reason() is None


def run(calls: Sequence[Call], *, sequences: bool) -> tuple[Tensor, tuple[State, ...]]:
    """Returns outputs ``(T, B, D*H)``, zero past each length, and the last state of each direction.

    Args:
        calls: one call, or a forward and a backward one over the same input.
        sequences: whether the outputs are needed; if not, they may be empty.

    Raises:
        IndexError: a lookup names a row that its table does not have.
    """
    first = calls[0]
    spec = cell_named(first.cell)
    T, B, E = first.x.shape
    compiling = torch.compiler.is_compiling() and "RECURRA_THREADS" not in os.environ
    workers = AT_FIRST if compiling else runtime.threads()
    operations = 2.0 * T * B * spec.parameter_count(E, first.units)
    count = shards.shards_for(B, len(calls), operations, workers)
    if first.cell in scan_layout.CODES:
        from recurra.kernels.cpu import scan

        outputs, last = scan.run(calls, sequences=sequences, shards=count, threads=workers)
        return outputs, _states(last, len(spec.state))
    from recurra.kernels.cpu import autograd
    from recurra.kernels.cpu.operators import Arguments

    x, index = first.x if isinstance(first.x, Lookup) else (first.x, None)
    outputs, last = autograd.recurrence(
        Arguments(
            x,
            index,
            first.lengths,
            [part for call in calls for part in call.initial()] if any(call.state for call in calls) else [],
            [call.weights[name] for call in calls for name in spec.parameter_names],
            _masks([call.input_mask for call in calls]),
            _masks([call.recurrent_mask for call in calls]),
            first.cell,
            first.activation == "relu",
            first.precision == "bfloat16",
            first.reverse,
            sequences,
            count,
            workers,
        )
    )
    return outputs, _states(last, len(spec.state))


def _states(last: Tensor, count: int) -> tuple[State, ...]:
    """State parts ``(D * parts, B, H)`` as one state of ``count`` parts for each direction."""
    parts = last.unbind(0)
    return tuple(parts[n : n + count] for n in range(0, len(parts), count))


def _masks(masks: list[Tensor | None]) -> list[Tensor]:
    """A mask for each direction, of ones where only the other has one; an empty list where none has."""
    given = next((mask for mask in masks if mask is not None), None)
    return [] if given is None else [torch.ones_like(given) if mask is None else mask for mask in masks]


def compile_ahead(cell: str) -> None:
    """Begins to compile a cell's kernels in other processes, unless they are compiled or there are none."""
    if (entry := _entry(cell)) is None or not to_be_compiled(cell):
        return
    from recurra.kernels.cpu import helpers
    from recurra.kernels.cpu.folder import cache_folder

    if (folder := cache_folder()) is not None:
        helpers.begin(entry, folder, count=2)


def to_be_compiled(cell: str) -> int:
    """The number of functions of a cell's kernels that are neither loaded nor in the cache."""
    if (entry := _entry(cell)) is None or f"{__name__}.{entry}" in sys.modules:
        return 0
    from recurra.kernels.cpu.folder import cache_folder, cached_functions
    from recurra.kernels.cpu.plan import plan_for

    return len(set(plan_for(entry, "addressed").functions) - cached_functions(cache_folder()))


def compile_kernels(cell: str, tick: Callable[[int], object]) -> None:
    """Compiles a cell's kernels, or loads them.

    Args:
        cell: its name.
        tick: called with 1 after each function that was not in the cache.
    """
    if (entry := _entry(cell)) is None:
        return
    from recurra.kernels.cpu import compiled, helpers, machine_code
    from recurra.kernels.cpu.folder import cache_folder, cached_functions

    cached = cached_functions(cache_folder())
    compiled.listeners.append(lambda name: tick(1) if name not in cached else None)
    try:
        importlib.import_module(f"{__name__}.{entry}")
        machine_code.functions()
    finally:
        compiled.listeners.pop()
        helpers.stop()


def _entry(cell: str) -> str | None:
    """The module whose import compiles a cell's kernels, or None if it has none here."""
    if cell not in ACTIVATIONS or unavailable_reason() is not None:
        return None
    return "scan" if cell in scan_layout.CODES else "autograd"


def release_workspaces() -> None:
    """Frees the memory that is kept for later calls."""
    from recurra.kernels.cpu import packing, workspace

    packing.release()
    workspace.release()
