"""Memory that several threads use at once, and arrays at an address, for compiled functions."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.np import arrayobj
from numpy.typing import NDArray

from recurra.kernels.cpu.compiled import generated
from recurra.kernels.cpu.host import host
from recurra.kernels.cpu.simd import call_llvm

__all__ = [
    "Words",
    "exchange",
    "floats_at",
    "integers_at",
    "offer_core",
    "pause",
    "read",
    "words_at",
    "write",
]

Words: TypeAlias = NDArray[np.int32]
"""The bits of floats."""
INDEX = ir.IntType(64)
arrays: Any = arrayobj


def _array_at(number: Any) -> Any:
    """The intrinsic that makes an array of ``size`` numbers at an address; nobody frees it."""
    kind = types.Array(number, 1, "C")

    @generated
    def array_at(typing: Any, address: Any, size: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address, size = arguments
            made = context.make_array(kind)(context, builder)
            length = ir.Constant(INDEX, number.bitwidth // 8)
            arrays.populate_array(
                made,
                data=builder.inttoptr(address, made.data.type),
                shape=[size],
                strides=[length],
                itemsize=length,
                meminfo=None,
            )
            return made._getvalue()

        return kind(types.int64, types.int64), generate

    return array_at


floats_at = _array_at(types.float32)
integers_at = _array_at(types.int64)
words_at = _array_at(types.int32)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@generated
def read(typing: Any, array: Any, index: Any) -> Any:
    """``array[index]`` as another thread wrote it; what that thread wrote before is seen from now on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(array, types.intp), generate


@generated
def write(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index] = value``, after all that this thread wrote before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments[:2])
        builder.store_atomic(arguments[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


@generated
def exchange(typing: Any, array: Any, index: Any, former: Any, value: Any) -> Any:
    """Whether ``array[index]`` was ``former``; then it is ``value`` now."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments[:2])
        found = builder.cmpxchg(place, arguments[2], arguments[3], "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(array, types.intp, types.int64, types.int64), generate


@generated
def pause(typing: Any) -> Any:
    """Waits some ten cycles (on x86)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if host().x86:
            call_llvm(builder, "llvm.x86.sse2.pause", result=ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate


@generated
def offer_core(typing: Any) -> Any:
    """Lets another thread run on this core, if one wants to."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if hasattr(os, "sched_yield"):
            call_llvm(builder, "sched_yield", result=ir.IntType(32))
        return context.get_dummy_value()

    return types.void(), generate
