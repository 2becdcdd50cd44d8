"""A vector of float32 of the processor's width as a Numba type, and the operations that kernels use on it.

Inside compiled functions ``Vec`` values live in registers: ``load(array, i)`` reads ``LANES`` numbers,
``+ - * /`` and ``fma`` work on all of them, ``store(array, i, v)`` writes them. Arrays are flat float32.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, overload, register_model

from recurra.kernels.cpu.compiled import generated, inlined
from recurra.kernels.cpu.folder import CHECKED
from recurra.kernels.cpu.host import host

__all__ = [
    "LANES",
    "broadcast",
    "flush_denormals",
    "fma",
    "keep_first",
    "load",
    "load_first",
    "maximum",
    "pair",
    "prefetch",
    "restore_denormals",
    "select_positive",
    "store",
    "store_aligned",
    "store_bf16",
    "store_first",
    "sum_of",
    "vec",
]

LANES = host().lanes
utilities: Any = cgutils
VECTOR = ir.VectorType(ir.FloatType(), LANES)
INTEGERS = ir.VectorType(ir.IntType(32), LANES)


class VecType(types.Type):
    """The Numba type of a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"f32x{LANES}")


vec = VecType()


@register_model(VecType)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call]


def constant(value: float) -> ir.Constant:
    """The vector constant that holds ``value`` in every lane."""
    return ir.Constant(VECTOR, [value] * LANES)


def splat(builder: Any, scalar: Any) -> Any:
    """The vector that holds ``scalar`` in every lane."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(INTEGERS, [0] * LANES))


def call_llvm(builder: Any, name: str, *arguments: Any, result: Any = VECTOR) -> Any:
    """The value of an LLVM intrinsic function."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    function = utilities.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, arguments)


def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, to: Any = VECTOR) -> Any:
    """The address of element ``index`` of a flat array, as a pointer to type ``to``."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


@generated
def _load(typing: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(pointer(context, builder, signature.args[0], *arguments))
        value.align = 4
        return value

    return vec(array, types.intp), generate


@generated
def _store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], place).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, vec), generate


@generated
def _stream(typing: Any, array: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = pointer(context, builder, signature.args[0], *arguments[:2])
        written = builder.store(arguments[2], place)
        written.align = 4 * LANES
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(array, types.intp, vec), generate


@generated
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Fetches the cache line of ``array[index]``, which may lie outside the array, in the background."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index = arguments
        place = pointer(context, builder, signature.args[0], array, index, to=ir.IntType(8))
        number = ir.IntType(32)
        read, soon, data = (ir.Constant(number, value) for value in (0, 2, 1))
        call_llvm(builder, "llvm.prefetch.p0", place, read, soon, data, result=ir.VoidType())
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@generated
def _store_first(typing: Any, array: Any, index: Any, value: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = pointer(context, builder, signature.args[0], *arguments[:2])
        call_llvm(
            builder,
            f"llvm.masked.store.v{LANES}f32.p0",
            arguments[2],
            place,
            ir.Constant(ir.IntType(32), 4),
            _first_lanes(builder, arguments[3]),
            result=ir.VoidType(),
        )
        return context.get_dummy_value()

    return types.void(array, types.intp, vec, types.intp), generate


@generated
def _load_first(typing: Any, array: Any, index: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = pointer(context, builder, signature.args[0], *arguments[:2])
        return call_llvm(
            builder,
            f"llvm.masked.load.v{LANES}f32.p0",
            place,
            ir.Constant(ir.IntType(32), 4),
            _first_lanes(builder, arguments[2]),
            constant(0.0),
        )

    return vec(array, types.intp, types.intp), generate


def _first_lanes(builder: Any, count: Any) -> Any:
    """True in the first ``count`` lanes."""
    lanes = ir.Constant(INTEGERS, list(range(LANES)))
    limit = builder.bitcast(splat_integer(builder, builder.trunc(count, ir.IntType(32))), INTEGERS)
    return builder.icmp_signed("<", lanes, limit)


def splat_integer(builder: Any, scalar: Any) -> Any:
    """The vector of 32-bit integers that holds ``scalar`` in every lane."""
    undefined = ir.Constant(INTEGERS, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(INTEGERS, [0] * LANES))


@inlined
def load(array: Any, index: int) -> Any:
    """``array[index : index + LANES]``"""
    if CHECKED and (index < 0 or index + LANES > array.size):
        raise IndexError("a vector is loaded from outside its array")
    return _load(array, index)


@inlined
def load_first(array: Any, index: int, count: int) -> Any:
    """``array[index : index + n]`` and zeros, for ``n = min(count, LANES)``."""
    if count >= LANES:
        return load(array, index)
    if CHECKED and (index < 0 or index + count > array.size):
        raise IndexError("a part of a vector is loaded from outside its array")
    return _load_first(array, index, count)


@inlined
def store(array: Any, index: int, value: Any) -> None:
    """``array[index : index + LANES] = value``"""
    if CHECKED and (index < 0 or index + LANES > array.size):
        raise IndexError("a vector is stored outside its array")
    _store(array, index, value)


@inlined
def store_aligned(array: Any, index: int, value: Any, past_cache: bool) -> None:
    """``array[index : index + LANES] = value``, at a place that is a multiple of a vector's size.

    With ``past_cache`` the line is written directly to memory, without reading it first and without evicting
    other data from the cache.
    """
    if CHECKED and (index < 0 or index + LANES > array.size or index % LANES):
        raise IndexError("a vector is stored outside its array, or across lines")
    if past_cache:
        _stream(array, index, value)
    else:
        _store(array, index, value)


@inlined
def store_first(array: Any, index: int, value: Any, count: int) -> None:
    """``array[index : index + n] = value[:n]`` for ``n = min(count, LANES)``."""
    if count >= LANES:
        store(array, index, value)
    else:
        if CHECKED and (index < 0 or index + count > array.size):
            raise IndexError("a part of a vector is stored outside its array")
        _store_first(array, index, value, count)


@generated
def _broadcast(typing: Any, scalar: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return splat(builder, arguments[0])

    return vec(types.float32), generate


@inlined
def broadcast(scalar: Any) -> Any:
    """The vector that holds ``scalar`` in every lane."""
    return _broadcast(np.float32(scalar))


@generated
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """``x * y + z``, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_llvm(builder, f"llvm.fma.v{LANES}f32", *arguments)

    return vec(vec, vec, vec), generate


@generated
def maximum(typing: Any, x: Any, y: Any) -> Any:
    """The larger of two numbers in each lane; NaN if one of them is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_llvm(builder, f"llvm.maximum.v{LANES}f32", *arguments)

    return vec(vec, vec), generate


@generated
def sum_of(typing: Any, x: Any) -> Any:
    """The sum of a vector's numbers, added up in pairs."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.FloatType()
        kind = ir.FunctionType(number, [number, VECTOR])
        function = utilities.get_or_insert_function(
            builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32"
        )
        return builder.call(function, [ir.Constant(number, 0.0), *arguments], fastmath=("reassoc",))

    return types.float32(vec), generate


@generated
def select_positive(typing: Any, x: Any, y: Any) -> Any:
    """``y`` where ``x`` is above zero or NaN, else 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y = arguments
        return builder.select(builder.fcmp_unordered(">", x, constant(0.0)), y, constant(0.0))

    return vec(vec, vec), generate


@generated
def keep_first(typing: Any, x: Any, count: Any) -> Any:
    """``x`` with zeros after the first ``count`` lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = ir.Constant(INTEGERS, list(range(LANES)))
        limit = splat_integer(builder, builder.trunc(arguments[1], ir.IntType(32)))
        return builder.select(builder.icmp_signed("<", lanes, limit), arguments[0], constant(0.0))

    return vec(vec, types.intp), generate


def _rounded(builder: Any, x: Any) -> Any:
    """The bits of ``x``, of which the upper half is ``x`` rounded to bfloat16; NaN stays NaN."""

    def number(value: int) -> Any:
        return ir.Constant(INTEGERS, [value] * LANES)

    bits = builder.bitcast(x, INTEGERS)
    odd = builder.and_(builder.lshr(bits, number(16)), number(1))
    rounded = builder.add(bits, builder.add(odd, number(0x7FFF)))  # to the nearest, to even in the middle
    return builder.select(builder.fcmp_unordered("uno", x, x), number(0x7FC00000), rounded)


@generated
def store_bf16(typing: Any, array: Any, index: Any, x: Any) -> Any:
    """Stores ``x`` rounded to bfloat16, in the space of half as many numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, x = arguments
        bf16 = ir.VectorType(ir.IntType(16), LANES)
        place = pointer(context, builder, signature.args[0], array, index, to=bf16)
        upper = builder.lshr(_rounded(builder, x), ir.Constant(INTEGERS, [16] * LANES))
        builder.store(builder.trunc(upper, bf16), place).align = 2
        return context.get_dummy_value()

    return types.void(array, types.intp, vec), generate


@generated
def pair(typing: Any, low: Any, high: Any) -> Any:
    """In each lane, two numbers rounded to bfloat16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, high = (_rounded(builder, x) for x in arguments)
        upper = builder.and_(high, ir.Constant(INTEGERS, [0xFFFF0000] * LANES))
        lower = builder.lshr(low, ir.Constant(INTEGERS, [16] * LANES))
        return builder.bitcast(builder.or_(upper, lower), VECTOR)

    return vec(vec, vec), generate


def _operation(symbol: Callable[..., Any], method: str) -> None:
    @generated
    def apply(typing: Any, x: Any, y: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, method)(*arguments)

        return vec(vec, vec), generate

    @overload(symbol)
    def vectors(x: Any, y: Any) -> Any:
        def implementation(x: Any, y: Any) -> Any:  # Numba requires the same names and annotations
            return apply(x, y)

        return implementation if isinstance(x, VecType) and isinstance(y, VecType) else None


_operation(operator.add, "fadd")
_operation(operator.sub, "fsub")
_operation(operator.mul, "fmul")
_operation(operator.truediv, "fdiv")


@generated
def flush_denormals(typing: Any) -> Any:
    """Treats numbers below 1e-38 as zero from now on (on x86); returns the old mode.

    A gradient that vanishes over hundreds of steps has such numbers, at 100 times the cost of others.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not host().x86:
            return ir.Constant(ir.IntType(32), 0)
        former = _control(builder)
        _set_control(builder, builder.or_(former, ir.Constant(ir.IntType(32), 0x8040)))
        return former

    return types.int32(), generate


@generated
def restore_denormals(typing: Any, former: Any) -> Any:
    """Restores the mode that ``flush_denormals`` returned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if host().x86:
            _set_control(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int32), generate


def _control(builder: Any) -> Any:
    """The control word of the vector unit."""
    place = utilities.alloca_once(builder, ir.IntType(32))
    call_llvm(builder, "llvm.x86.sse.stmxcsr", _byte_pointer(builder, place), result=ir.VoidType())
    return builder.load(place)


def _set_control(builder: Any, value: Any) -> None:
    place = utilities.alloca_once(builder, ir.IntType(32))
    builder.store(value, place)
    call_llvm(builder, "llvm.x86.sse.ldmxcsr", _byte_pointer(builder, place), result=ir.VoidType())


def _byte_pointer(builder: Any, place: Any) -> Any:
    return builder.bitcast(place, ir.IntType(8).as_pointer())
