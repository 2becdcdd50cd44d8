"""The register tile, written in LLVM: a small block of a matrix product whose sums never leave registers.

Its operands are

- ``A``, one number at a time, at ``a + i * row + k * step`` for row ``i`` of the tile and term ``k``,
- ``B``, vectors of columns, at ``b + k * stride`` for term ``k``,
- ``C``, the result, at ``c + i * ldc`` for row ``i``.

With ``step = 1`` that is ``C = A B`` (the input and the recurrent product, forwards and backwards); with
``row = 1`` it is ``C = A' B`` (the gradient of the weights, a sum over rows).

A sum adds its terms one after another in a tile of any size: a row gets the same bits in every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

from recurra.kernels.cpu.compiled import generated
from recurra.kernels.cpu.host import host
from recurra.kernels.cpu.simd import LANES, VECTOR, call_llvm, constant, pointer, splat

__all__ = ["column_of_tiles", "row_of_tile", "tile_width"]

INDEX = ir.IntType(64)
FLOAT = ir.FloatType()
BYTE = ir.IntType(8)
UNROLLED = 2
"""Terms in a round of the loop, which takes 3 instructions itself."""


class _Operands(NamedTuple):
    """The operands of a tile: byte pointers, and distances in bytes."""

    C: Any
    ldc: Any
    A: Any
    row: Any
    step: Any
    B: Any
    stride: Any
    terms: Any
    fresh: Any


def tile_width() -> int:
    """Vectors in a row of the widest tile."""
    return 4 if host().registers >= 32 else 3


def tile_rows(width: int) -> int:
    """Rows of the tallest tile of ``width`` vectors.

    A tile holds ``rows * width`` sums, the vectors of one term and a number of ``A``; more would spill.
    """
    if host().registers >= 32:
        return {4: 6, 3: 8, 2: 8, 1: 8}[width]
    return {3: 4, 2: 6, 1: 8}[width]


def column_of_tiles(width: int, *, pairs: bool = False) -> Any:
    """The intrinsic that computes ``width`` vectors of columns of a product, for all its rows.

    Called as ``(C, c, ldc, A, a, row, step, B, b, stride, rows, terms, fresh)``; where not ``fresh``, the
    product is added to ``C``. With ``pairs``, each number of ``A`` and ``B`` holds two of bfloat16, which are
    two terms of the sum.
    """

    @generated
    def product(
        typing: Any, C: Any, c: Any, ldc: Any, A: Any, a: Any, row: Any, step: Any, B: Any, b: Any,
        stride: Any, rows: Any, terms: Any, fresh: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            C, c, ldc, A, a, row, step, B, b, stride, rows, terms, fresh = arguments
            kinds = signature.args

            def place(kind: Any, array: Any, start: Any) -> Any:
                return pointer(context, builder, kind, array, start, to=BYTE)

            ldc, row, step, stride = (builder.mul(n, ir.Constant(INDEX, 4)) for n in (ldc, row, step, stride))
            operands = _Operands(
                place(kinds[0], C, c), ldc, place(kinds[3], A, a), row, step, place(kinds[7], B, b),
                stride, terms, builder.icmp_unsigned("!=", fresh, ir.Constant(fresh.type, 0)),
            )  # fmt: skip
            _all_rows(builder, width, rows, operands, _add_pairs if pairs else _add)
            return context.get_dummy_value()

        n = types.intp
        return types.void(C, n, n, A, n, n, n, B, n, n, n, n, types.boolean), generate

    return product


def row_of_tile(width: int, panels: int = 1) -> Any:
    """The intrinsic that adds the product of one row and ``panels`` times ``width`` vectors of columns.

    Called as ``(C, c, A, a, B, b, terms)``; in a panel of ``B``, the vectors of a term follow those of the
    term before, and the panels follow each other. Each multiplication takes 4 cycles, and 2 may start in a
    cycle: 8 sums keep a processor busy.
    """

    @generated
    def product(typing: Any, C: Any, c: Any, A: Any, a: Any, B: Any, b: Any, terms: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            C, c, A, a, B, b, terms = arguments
            kinds = signature.args
            places = [
                pointer(context, builder, kind, array, start, to=BYTE)
                for kind, array, start in ((kinds[0], C, c), (kinds[2], A, a), (kinds[4], B, b))
            ]
            none, step, stride = (ir.Constant(INDEX, 4 * n) for n in (0, 1, width * LANES))
            fresh = ir.Constant(ir.IntType(1), 0)
            operands = _Operands(places[0], none, places[1], none, step, places[2], stride, terms, fresh)
            _tile(builder, 1, width, operands, _add, panels)
            return context.get_dummy_value()

        n = types.intp
        return types.void(C, n, A, n, B, n, n), generate

    return product


def _all_rows(builder: Any, width: int, rows: Any, operands: _Operands, add: Callable[..., Any]) -> None:
    """Full tiles from the top, then one of as many rows as are left."""
    full = tile_rows(width)

    def body(done: Any, places: list[Any]) -> list[Any]:
        A, C = places
        _tile(builder, full, width, operands._replace(A=A, C=C), add)
        height = ir.Constant(INDEX, full)
        return [
            builder.gep(A, [builder.mul(height, operands.row)]),
            builder.gep(C, [builder.mul(height, operands.ldc)]),
        ]

    zero = ir.Constant(INDEX, 0)
    done, A, C = _loop(builder, rows, full, zero, [operands.A, operands.C], body)
    after = builder.append_basic_block("all_rows")
    choice = builder.switch(builder.sub(rows, done), after)
    for rest in range(1, full):
        block = builder.append_basic_block(f"rest_{rest}")
        choice.add_case(ir.Constant(INDEX, rest), block)
        builder.position_at_end(block)
        _tile(builder, rest, width, operands._replace(A=A, C=C), add)
        builder.branch(after)
    builder.position_at_end(after)


def _tile(
    builder: Any, rows: int, width: int, operands: _Operands, add: Callable[..., Any], panels: int = 1
) -> None:
    """One tile of ``rows`` rows and ``panels`` times ``width`` vectors."""

    def vector_at(place: Any, column: int) -> Any:
        moved = builder.gep(place, [ir.Constant(INDEX, 4 * LANES * column)])
        return builder.bitcast(moved, VECTOR.as_pointer())

    def load(place: Any) -> Any:
        value = builder.load(place)
        value.align = 4
        return value

    def row_of(base: Any, distance: Any) -> list[Any]:
        return [builder.gep(base, [builder.mul(ir.Constant(INDEX, i), distance)]) for i in range(rows)]

    starts, across = row_of(operands.A, operands.row), width * panels
    results = [vector_at(place, v) for place in row_of(operands.C, operands.ldc) for v in range(across)]
    panel = builder.mul(operands.terms, operands.stride)

    def term(offset: Any, places: list[Any], sums: list[Any]) -> list[Any]:
        columns = [load(vector_at(place, v)) for place in places for v in range(width)]
        added = []
        for i, start in enumerate(starts):
            number = load(builder.bitcast(builder.gep(start, [offset]), FLOAT.as_pointer()))
            spread = splat(builder, number)
            added += [add(builder, spread, columns[v], sums[i * across + v]) for v in range(across)]
        return added

    def body(terms: int, done: Any, carried: list[Any]) -> list[Any]:
        offset, places, sums = carried[0], carried[1 : 1 + panels], carried[1 + panels :]
        for _ in range(terms):
            sums = term(offset, places, sums)
            offset = builder.add(offset, operands.step)
            places = [builder.gep(place, [operands.stride]) for place in places]
        return [offset, *places, *sums]

    sums = _either(
        builder,
        operands.fresh,
        lambda: [constant(0.0)] * len(results),
        lambda: [load(place) for place in results],
    )
    zero, places = ir.Constant(INDEX, 0), [operands.B]
    for _ in range(panels - 1):
        places.append(builder.gep(places[-1], [panel]))
    carried = [zero, *places, *sums]
    done = zero
    for terms in (UNROLLED, 1):
        done, *carried = _loop(builder, operands.terms, terms, done, carried, partial(body, terms))
    for value, result in zip(carried[1 + panels :], results, strict=True):
        builder.store(value, result).align = 4


def _add(builder: Any, x: Any, y: Any, total: Any) -> Any:
    return call_llvm(builder, f"llvm.fma.v{LANES}f32", x, y, total)


def _add_pairs(builder: Any, x: Any, y: Any, total: Any) -> Any:
    """``total + x_low y_low + x_high y_high`` (AVX512_BF16)."""
    kind = ir.FunctionType(VECTOR, [VECTOR, VECTOR, VECTOR])
    return builder.call(ir.InlineAsm(kind, "vdpbf16ps $2, $1, $0", "=v,v,v,0"), [x, y, total])


def _either(
    builder: Any, condition: Any, true: Callable[[], list[Any]], false: Callable[[], list[Any]]
) -> list[Any]:
    """The values of one of two branches."""
    with builder.if_else(condition) as (then, otherwise):
        with then:
            ones, one_block = true(), builder.block
        with otherwise:
            others, other_block = false(), builder.block
    merged = []
    for one, other in zip(ones, others, strict=True):
        value = builder.phi(one.type)
        value.add_incoming(one, one_block)
        value.add_incoming(other, other_block)
        merged.append(value)
    return merged


def _loop(
    builder: Any, count: Any, step: int, start: Any, carried: list[Any],
    body: Callable[[Any, list[Any]], list[Any]],
) -> list[Any]:  # fmt: skip
    """``k = start; while k + step <= count: carried, k = body(k, carried), k + step``, all in registers.

    Returns:
        ``k`` and the carried values after the loop.
    """
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(INDEX)
    values = [builder.phi(value.type) for value in carried]
    for phi, value in zip([k, *values], [start, *carried], strict=True):
        phi.add_incoming(value, before)
    following = builder.add(k, ir.Constant(INDEX, step))
    builder.cbranch(builder.icmp_signed("<=", following, count), inside, after)
    builder.position_at_end(inside)
    results = body(k, values)
    for phi, value in zip([k, *values], [following, *results], strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return [k, *values]
