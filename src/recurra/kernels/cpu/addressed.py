"""The compiled functions that Python calls by their address, with integers: see `machine_code`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recurra.kernels.cpu.lookup import find, gather
from recurra.kernels.cpu.pair import attend, run_order
from recurra.kernels.cpu.rowwise import linear, pool
from recurra.kernels.cpu.single import pack_groups

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "attend": attend,
    "find": find,
    "gather": gather,
    "linear": linear,
    "pack_groups": pack_groups,
    "pool": pool,
    "run_order": run_order,
}
