"""Matrix products of bfloat16: both factors rounded to its 8 bits, the sums in float32.

Two terms of a sum that follow each other share the place of one float32 number (a pair). The processor adds
up pairs in vectors (AVX512_BF16) or in matrix tiles (AMX); both read the same layout.
"""

from __future__ import annotations

from llvmlite.binding import initialize_native_asmparser

from recurra.kernels.cpu.compiled import compiled, inner
from recurra.kernels.cpu.host import host
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.products import multiply, multiply_transposed, panel_width
from recurra.kernels.cpu.simd import LANES, broadcast, load_first, pair, store_bf16, store_first
from recurra.kernels.cpu.tile import column_of_tiles

initialize_native_asmparser()  # the instructions for bfloat16 are given to LLVM as assembly

__all__ = ["pair_terms", "pair_within_rows", "paired", "product", "product_transposed"]

TERMS = 32
"""Terms of a sum are padded with zeros to as many as a matrix tile takes."""


def paired(terms: int) -> int:
    """Numbers in a row of ``terms`` terms in pairs."""
    return -(-terms // TERMS) * TERMS // 2


@inner
def _pair_rows(to: Floats, start: int, M: Floats, m: int, ld: int, left: int, columns: int) -> None:
    """Two rows of a matrix of which ``left`` are left, as one of pairs; zeros where there is no row.

    Only ``columns`` numbers of each row are read.
    """
    zero = broadcast(0.0)
    for j in range(0, columns, LANES):
        low = load_first(M, m + j, columns - j) if left > 0 else zero
        high = load_first(M, m + ld + j, columns - j) if left > 1 else zero
        store_first(to, start + j, pair(low, high), columns - j)


@compiled
def pair_terms(to: Floats, matrix: Floats, terms: int, columns: int) -> None:
    """A ``(terms, columns)`` matrix, rounded, as ``(paired(terms), columns)`` pairs."""
    for k in range((terms + TERMS - 1) // TERMS * TERMS // 2):
        _pair_rows(to, k * columns, matrix, 2 * k * columns, columns, terms - 2 * k, columns)


@inner
def _round_row(to: Floats, start: int, given: Floats, first: int, terms: int, length: int) -> None:
    """``terms`` numbers, rounded, in ``length`` pairs."""
    for j in range(0, 2 * length, LANES):
        left = max(0, terms - j)
        store_bf16(to, start + j // 2, load_first(given, first + min(j, terms), left))


@compiled
def pair_within_rows(to: Floats, matrix: Floats, rows: int, terms: int) -> None:
    """A ``(rows, terms)`` matrix, rounded, as ``(rows, paired(terms))`` pairs."""
    length = (terms + TERMS - 1) // TERMS * TERMS // 2
    for r in range(rows):
        _round_row(to, r * length, matrix, r * terms, terms, length)


if host().bf16 is None:

    @inner
    def multiply_pairs(
        C: Floats, c: int, ldc: int, A: Floats, lda: int, rows: int, P: Floats, ldp: int, pairs: int,
        columns: int, fresh: bool,
    ) -> None:  # fmt: skip
        raise NotImplementedError("this machine has no products of bfloat16")

elif host().bf16 == "tiles":
    from recurra.kernels.cpu import amx

    @inner
    def multiply_pairs(
        C: Floats, c: int, ldc: int, A: Floats, lda: int, rows: int, P: Floats, ldp: int, pairs: int,
        columns: int, fresh: bool,
    ) -> None:  # fmt: skip
        """``C (rows, columns) = A P`` or ``+=``; ``P`` in panels, or plain with rows of ``ldp`` if not 0."""
        amx.configure(amx.SHAPES, rows % amx.LINES * amx.LINES)
        b = 0
        j = 0
        while j < columns:
            width = panel_width(columns - j) * LANES
            step = ldp if ldp else width
            if ldp:
                b = j
            for i in range(0, width, 2 * LANES):
                two = 1 if i + LANES < width else 0
                for r in range(0, rows, amx.LINES):
                    last = 1 if r + amx.LINES > rows else 0
                    place = c + r * ldc + j + i
                    if fresh:
                        amx.start_fresh(last, two)
                    else:
                        amx.start(C, place, ldc, last, two)
                    for k in range(0, pairs, TERMS // 2):
                        amx.sum_up(A, r * lda + k, lda, P, b + k * step + i, step, last, two)
                    amx.finish(C, place, ldc, last, two)
            b += pairs * width
            j += width
        amx.release()

else:
    _four_pairs, _three_pairs, _two_pairs, _one_pair = (
        column_of_tiles(width, pairs=True) for width in (4, 3, 2, 1)
    )

    @inner
    def multiply_pairs(
        C: Floats, c: int, ldc: int, A: Floats, lda: int, rows: int, P: Floats, ldp: int, pairs: int,
        columns: int, fresh: bool,
    ) -> None:  # fmt: skip
        b = 0
        j = 0
        while j < columns:
            width = panel_width(columns - j)
            step = ldp if ldp else width * LANES
            if ldp:
                b = j
            if width == 4:
                _four_pairs(C, c + j, ldc, A, 0, lda, 1, P, b, step, rows, pairs, fresh)
            elif width == 3:
                _three_pairs(C, c + j, ldc, A, 0, lda, 1, P, b, step, rows, pairs, fresh)
            elif width == 2:
                _two_pairs(C, c + j, ldc, A, 0, lda, 1, P, b, step, rows, pairs, fresh)
            else:
                _one_pair(C, c + j, ldc, A, 0, lda, 1, P, b, step, rows, pairs, fresh)
            b += pairs * width * LANES
            j += width * LANES


@inner
def product(
    C: Floats, c: int, ldc: int, A: Floats, a: int, lda: int, rows: int, P: Floats, terms: int,
    columns: int, fresh: bool, bf16: Floats,
) -> None:  # fmt: skip
    """``multiply``, or, where there is room for it in ``bf16``, the same of both rounded to bfloat16.

    ``bf16`` takes ``rows`` rows of ``paired(terms)`` numbers, ``P`` is packed in pairs then.
    """
    if bf16.size == 0:
        multiply(C, c, ldc, A, a, lda, rows, P, terms, columns, fresh)
        return
    length = (terms + TERMS - 1) // TERMS * TERMS // 2
    for r in range(rows):
        _round_row(bf16, r * length, A, a + r * lda, terms, length)
    multiply_pairs(C, c, ldc, bf16, length, rows, P, 0, length, columns, fresh)


@inner
def product_transposed(
    C: Floats, ldc: int, A: Floats, a: int, lda: int, rows: int, B: Floats, ldb: int, terms: int,
    columns: int, bf16: Floats,
) -> None:  # fmt: skip
    """``multiply_transposed``, or, where there is room for it in ``bf16``, the same of both in bfloat16.

    ``bf16`` takes both factors in pairs of terms: ``paired(terms)`` times ``ldb + 2 * lda`` numbers.
    """
    if bf16.size == 0:
        multiply_transposed(C, ldc, A, a, lda, rows, B, 0, ldb, terms, columns)
        return
    length = (terms + TERMS - 1) // TERMS * TERMS // 2
    whole = (columns + LANES - 1) // LANES * LANES
    for k in range(length):
        _pair_rows(bf16, k * ldb, B, 2 * k * ldb, ldb, terms - 2 * k, whole)
    first = length * ldb
    for k in range(length):
        _pair_rows(bf16, first + k * lda, A, a + 2 * k * lda, lda, terms - 2 * k, rows)
    turned = bf16[first + length * lda :]
    for i in range(rows):
        for k in range(length):
            turned[i * length + k] = bf16[first + k * lda + i]
    multiply_pairs(C, 0, ldc, turned, length, rows, bf16, ldb, length, columns, False)
