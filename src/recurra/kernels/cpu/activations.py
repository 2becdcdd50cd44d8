"""Sigmoid and tanh of a vector, to about 1e-7, from one exponential, and of four vectors at once.

Each of the 16 operations of one waits 4 cycles for the one before. A processor finds few others to do in the
meantime, since it looks only some hundred instructions ahead; those of four vectors are therefore given in
turn. (On AVX2, the activations of an LSTM step took 9.8 us one by one and 6.8 us in this way.)
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from recurra.kernels.cpu.compiled import generated, inlined
from recurra.kernels.cpu.host import host
from recurra.kernels.cpu.simd import (
    INTEGERS,
    LANES,
    VECTOR,
    broadcast,
    call_llvm,
    constant,
    fma,
    select_positive,
    vec,
)

__all__ = [
    "LOG2_E",
    "logistic",
    "logistic_of_four",
    "relu",
    "sigmoid",
    "sigmoid_of_four",
    "tanh",
    "tanh_of_four",
]

LOG2_E = 1.4426950408889634
# 1.5 * 2**23 makes the float's last bit a one, 127 is the exponent of 2**0
SHIFT = 12582912.0 + 127.0
COEFFICIENTS = (
    0.0013276472632, 0.00967554134312, 0.0555071327186, 0.240221197237, 0.693146967065, 1.00000007165,
)  # fmt: skip
"""The minimax polynomial of degree 5 for ``2**f`` on -0.5...0.5 (relative error 7.5e-8)."""


def _logistic(builder: Any, vectors: list[Any]) -> list[Any]:
    """``1 / (1 + 2**y)`` of each vector, with ``y`` cut to -126...126; NaN stays NaN.

    ``2**y = 2**n 2**f`` with ``n`` the nearest integer. The reciprocal is exact to the last bit or two. If
    the processor has an estimate ``d`` of ``1 / x`` with error ``e = 1 - x d``, then ``1 / x = d (1 + e +
    e**2 + ...)``; of 14 bits (AVX-512) the first two terms are enough, of 12 bits three are needed. That is 4
    or 5 operations instead of the 16 cycles of a division.
    """

    def fma_each(xs: list[Any], ys: list[Any], zs: list[Any]) -> list[Any]:
        name = f"llvm.fma.v{LANES}f32"
        return [call_llvm(builder, name, *each) for each in zip(xs, ys, zs, strict=True)]

    def every(value: float) -> list[Any]:
        return [constant(value)] * len(vectors)

    low, high, shift = constant(-126.0), constant(126.0), constant(SHIFT)
    ys = [builder.select(builder.fcmp_ordered(">", low, y), low, y) for y in vectors]
    ys = [builder.select(builder.fcmp_ordered("<", high, y), high, y) for y in ys]
    shifted = [builder.fadd(y, shift) for y in ys]
    nearest = [builder.fsub(each, shift) for each in shifted]
    fractions = [builder.fsub(y, n) for y, n in zip(ys, nearest, strict=True)]
    sums = every(COEFFICIENTS[0])
    for coefficient in COEFFICIENTS[1:]:
        sums = fma_each(sums, fractions, every(coefficient))
    # the low bits of the shifted float are the exponent
    bits = [builder.bitcast(each, INTEGERS) for each in shifted]
    powers = [builder.shl(each, ir.Constant(INTEGERS, [23] * LANES)) for each in bits]
    denominators = fma_each(sums, [builder.bitcast(each, VECTOR) for each in powers], every(1.0))
    name = host().estimate
    if name is None:
        return [builder.fdiv(constant(1.0), x) for x in denominators]
    precise = "avx512" in name
    extra = [constant(0.0), ir.Constant(ir.IntType(16), 0xFFFF)] if precise else []
    guesses = [call_llvm(builder, name, x, *extra) for x in denominators]
    errors = fma_each([builder.fneg(x) for x in denominators], guesses, every(1.0))
    errors = errors if precise else fma_each(errors, errors, errors)
    return fma_each(guesses, errors, guesses)


@generated
def logistic(typing: Any, y: Any) -> Any:
    """``1 / (1 + 2**y)``"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _logistic(builder, list(arguments))[0]

    return vec(vec), generate


@generated
def logistic_of_four(typing: Any, y0: Any, y1: Any, y2: Any, y3: Any) -> Any:
    """``1 / (1 + 2**y)`` of four vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, _logistic(builder, list(arguments)))

    four: Any = types.UniTuple(vec, 4)  # type: ignore[no-untyped-call]
    return four(vec, vec, vec, vec), generate


@inlined
def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``"""
    return logistic(x * broadcast(-LOG2_E))


@inlined
def tanh(x: Any) -> Any:
    """``2 / (1 + exp(-2 x)) - 1``"""
    return fma(broadcast(2.0), logistic(x * broadcast(-2.0 * LOG2_E)), broadcast(-1.0))


@inlined
def tanh_of_four(x0: Any, x1: Any, x2: Any, x3: Any) -> Any:
    """``tanh`` of four vectors."""
    scale, two, minus_one = broadcast(-2.0 * LOG2_E), broadcast(2.0), broadcast(-1.0)
    r0, r1, r2, r3 = logistic_of_four(x0 * scale, x1 * scale, x2 * scale, x3 * scale)
    return fma(two, r0, minus_one), fma(two, r1, minus_one), fma(two, r2, minus_one), fma(two, r3, minus_one)


@inlined
def sigmoid_of_four(x0: Any, x1: Any, x2: Any, x3: Any) -> Any:
    """``sigmoid`` of four vectors."""
    scale = broadcast(-LOG2_E)
    return logistic_of_four(x0 * scale, x1 * scale, x2 * scale, x3 * scale)


@inlined
def relu(x: Any) -> Any:
    """``x`` where it is above zero or NaN, else 0."""
    return select_positive(x, x)
