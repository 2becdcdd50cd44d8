"""Matrix products of bfloat16: both factors rounded to its 8 bits, the sums in float32.

Two terms of a sum that follow each other share the place of one float32 number (a pair). The processor adds
up pairs in vectors (AVX512_BF16) or in matrix tiles (AMX); both read the same layout.
"""

from __future__ import annotations

import numpy as np
from llvmlite.binding import initialize_native_asmparser

from recurra.kernels.cpu.compiled import inner
from recurra.kernels.cpu.host import host
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.products import PANEL, WIDTH, multiply, multiply_transposed
from recurra.kernels.cpu.simd import LANES, broadcast, keep_first, load, pair, store, store_bf16
from recurra.kernels.cpu.tile import column_of_tiles

initialize_native_asmparser()  # the instructions for bfloat16 are given to LLVM as assembly

__all__ = ["pack_pairs", "paired", "product", "product_transposed"]

TERMS = 32
"""Terms of a sum are padded with zeros to as many as a matrix tile takes."""


def paired(terms: int) -> int:
    """Numbers in a row of ``terms`` terms in pairs."""
    return -(-terms // TERMS) * TERMS // 2


def pack_pairs(matrix: Floats) -> Floats:
    """A ``(terms, columns)`` matrix, rounded, in panels of pairs."""
    terms, columns = matrix.shape
    bits = np.ascontiguousarray(matrix).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest, to even in the middle
    rounded[np.isnan(matrix)] = 0x7FC0
    filled = np.zeros((2 * paired(terms), -(-columns // LANES) * LANES), np.uint16)
    filled[:terms, :columns] = rounded
    pairs = filled.reshape(paired(terms), 2, -1).swapaxes(1, 2)  # pair, column, one of two
    panels = [pairs[:, j : j + PANEL].reshape(-1) for j in range(0, pairs.shape[1], PANEL)]
    return np.concatenate(panels).view(np.float32)


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
        for j in range(0, columns, PANEL):
            width = min(PANEL, (columns - j + LANES - 1) // LANES * LANES)
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
        for j in range(0, columns, PANEL):
            width = min(WIDTH, (columns - j + LANES - 1) // LANES)
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


@inner
def _pair_rows(to: Floats, start: int, M: Floats, m: int, ld: int, left: int, columns: int) -> None:
    """Two rows of a matrix of which ``left`` are left, as one of pairs; zeros where there is no row."""
    zero = broadcast(0.0)
    for j in range(0, columns, LANES):
        low = load(M, m + j) if left > 0 else zero
        high = load(M, m + ld + j) if left > 1 else zero
        store(to, start + j, pair(low, high))


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
        for j in range(0, 2 * length, LANES):
            value = load(A, a + r * lda + min(j, terms))
            store_bf16(bf16, r * length + j // 2, keep_first(value, max(0, terms - j)))
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
    for k in range(length):
        _pair_rows(bf16, k * ldb, B, 2 * k * ldb, ldb, terms - 2 * k, columns)
    first = length * ldb
    for k in range(length):
        _pair_rows(bf16, first + k * lda, A, a + 2 * k * lda, lda, terms - 2 * k, rows)
    turned = bf16[first + length * lda :]
    for i in range(rows):
        for k in range(length):
            turned[i * length + k] = bf16[first + k * lda + i]
    multiply_pairs(C, 0, ldc, turned, length, rows, bf16, ldb, length, columns, False)
