"""Products of bfloat16 in the processor's matrix tiles (Intel AMX): 16 x 16 sums from 32 terms at once.

The instructions are given as assembly, since LLVM's intrinsics do not give control of the registers. A tile
holds 16 lines of 64 bytes: 16 rows of ``A`` with 32 terms each, or 16 pairs of terms of ``B`` for 16 columns,
or 16 x 16 sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from recurra.kernels.cpu.compiled import generated
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.simd import pointer

__all__ = ["LINES", "SHAPES", "configure", "finish", "release", "start", "start_fresh", "sum_up"]

LINES = 16
BYTE = ir.IntType(8)
INDEX = ir.IntType(64)
# tiles 0 and 1: sums of full blocks of rows; 2 and 3: of the last block; 4 and 5: their rows of A; 6 and 7: B
FULL, LAST = (0, 1, 4), (2, 3, 5)


def _assembly(builder: Any, text: str, *places: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [place.type for place in places])
    registers = ",".join(["r"] * len(places) + ["~{memory}", "~{dirflag}", "~{fpsr}", "~{flags}"])
    builder.call(ir.InlineAsm(kind, text, registers, side_effect=True), places)


@generated
def configure(typing: Any, shapes: Any, first: Any) -> Any:
    """Set the tiles' shapes to the 16 numbers from ``first``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        shapes, first = arguments
        place = pointer(context, builder, signature.args[0], shapes, first, to=BYTE)
        _assembly(builder, "ldtilecfg ($0)", place)
        return context.get_dummy_value()

    return types.void(shapes, types.intp), generate


@generated
def release(typing: Any) -> Any:
    """Releases the tiles, which makes switching between threads cheap again."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _assembly(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), generate


def _step(name: str, template: Any, arrays: int) -> Any:
    """An operation on places ``(array, start, line length)`` of ``arrays`` arrays, for full or last rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = []
        for n in range(arrays):
            array, start, length = arguments[3 * n : 3 * n + 3]
            places.append(pointer(context, builder, signature.args[3 * n], array, start, to=BYTE))
            places.append(builder.mul(length, ir.Constant(INDEX, 4)))
        last, two = arguments[3 * arrays :]
        done = builder.append_basic_block(f"{name}_done")
        choice = builder.switch(builder.or_(builder.shl(last, ir.Constant(INDEX, 1)), two), done)
        for case in range(4):
            block = builder.append_basic_block(f"{name}_{case}")
            choice.add_case(ir.Constant(INDEX, case), block)
            builder.position_at_end(block)
            tiles = LAST if case >= 2 else FULL
            _assembly(builder, template(*tiles, bool(case % 2)), *places)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return generate


def _starting(first: int, second: int, rows: int, two: bool) -> str:
    return f"tilezero %tmm{first}" + (f"\ntilezero %tmm{second}" if two else "")


def _fetching(first: int, second: int, rows: int, two: bool) -> str:
    return f"tileloadd ($0,$1), %tmm{first}" + (f"\ntileloadd 64($0,$1), %tmm{second}" if two else "")


def _finishing(first: int, second: int, rows: int, two: bool) -> str:
    return f"tilestored %tmm{first}, ($0,$1)" + (f"\ntilestored %tmm{second}, 64($0,$1)" if two else "")


def _summing(first: int, second: int, rows: int, two: bool) -> str:
    one = f"tileloadd ($0,$1), %tmm{rows}\ntileloadd ($2,$3), %tmm6\ntdpbf16ps %tmm6, %tmm{rows}, %tmm{first}"
    other = f"\ntileloadd 64($2,$3), %tmm7\ntdpbf16ps %tmm7, %tmm{rows}, %tmm{second}"
    return one + (other if two else "")


@generated
def start(typing: Any, C: Any, c: Any, ldc: Any, last: Any, two: Any) -> Any:
    """The sums are what ``C`` holds."""
    n = types.intp
    return types.void(C, n, n, n, n), _step("fetch", _fetching, 1)


@generated
def start_fresh(typing: Any, last: Any, two: Any) -> Any:
    """The sums are zero."""
    return types.void(types.intp, types.intp), _step("zero", _starting, 0)


@generated
def sum_up(typing: Any, A: Any, a: Any, lda: Any, B: Any, b: Any, ldb: Any, last: Any, two: Any) -> Any:
    """Add 32 terms to the sums."""
    n = types.intp
    return types.void(A, n, n, B, n, n, n, n), _step("sum", _summing, 2)


@generated
def finish(typing: Any, C: Any, c: Any, ldc: Any, last: Any, two: Any) -> Any:
    """``C`` is the sums."""
    n = types.intp
    return types.void(C, n, n, n, n), _step("store", _finishing, 1)


def _shapes() -> Floats:
    bytes_ = np.zeros((LINES, 64), np.uint8)
    bytes_[:, 0] = 1  # palette
    bytes_[:, 16:32] = np.array([64, 0] * 8, np.uint8)  # bytes in a line of each tile
    bytes_[:, 48:56] = LINES
    for last in range(1, LINES):
        for tile in LAST:
            bytes_[last, 48 + tile] = last
    return bytes_.view(np.float32).reshape(-1)


SHAPES = _shapes()
"""The tiles' shapes where the last block has 0 (none), 1, ... 15 rows: 16 numbers each."""
