"""Matrix products of any size from small tiles, and the packed form of weights that they read.

All matrices are flat float32 arrays; a start and a row length say which part of one is meant.
A packed ``(terms, columns)`` matrix is cut into panels of as many vectors of columns as a tile has, the last
ones narrower; the numbers of a panel lie in the order in which a tile reads them, term by term.
"""

from __future__ import annotations

from recurra.kernels.cpu.compiled import inlined, inner
from recurra.kernels.cpu.folder import CHECKED
from recurra.kernels.cpu.layout import Floats, padded
from recurra.kernels.cpu.simd import LANES
from recurra.kernels.cpu.tile import column_of_tiles, tile_width

__all__ = [
    "PANEL",
    "WIDTH",
    "column",
    "multiply",
    "multiply_transposed",
    "packed_size",
    "panel_width",
]

WIDTH = tile_width()
PANEL = WIDTH * LANES

_four, _three, _two, _one = (column_of_tiles(width) for width in (4, 3, 2, 1))


def packed_size(terms: int, columns: int) -> int:
    """Numbers in a packed ``(terms, columns)`` matrix."""
    return terms * padded(columns)


@inlined
def panel_width(columns: int) -> int:
    """Vectors in the first panel of the ``columns`` that are left.

    One vector more than a panel is divided in halves: a tile of one vector loads more than it multiplies.
    """
    left = (columns + LANES - 1) // LANES
    return (WIDTH + 2) // 2 if left == WIDTH + 1 else min(WIDTH, left)


@inner
def column(
    C: Floats, c: int, ldc: int, A: Floats, a: int, row: int, step: int, B: Floats, b: int, stride: int,
    rows: int, terms: int, width: int, fresh: bool,
) -> None:  # fmt: skip
    """One column of tiles, of ``width`` vectors."""
    if CHECKED and rows > 0 and terms > 0:
        far_a = a + (rows - 1) * row + (terms - 1) * step
        far_b = b + (terms - 1) * stride + width * LANES
        far_c = c + (rows - 1) * ldc + width * LANES
        if min(a, b, c) < 0 or far_a >= A.size or far_b > B.size or far_c > C.size:
            raise IndexError("a product reaches outside its arrays")
    if WIDTH == 4 and width == 4:  # not compiled where no panel is so wide
        _four(C, c, ldc, A, a, row, step, B, b, stride, rows, terms, fresh)
    elif width == 3:
        _three(C, c, ldc, A, a, row, step, B, b, stride, rows, terms, fresh)
    elif width == 2:
        _two(C, c, ldc, A, a, row, step, B, b, stride, rows, terms, fresh)
    else:
        _one(C, c, ldc, A, a, row, step, B, b, stride, rows, terms, fresh)


@inner
def multiply(
    C: Floats, c: int, ldc: int, A: Floats, a: int, lda: int, rows: int, P: Floats, terms: int,
    columns: int, fresh: bool,
) -> None:  # fmt: skip
    """``C (rows, columns) = A (rows, terms) P``, or ``+=`` where not fresh, for a packed ``P``.

    Whole vectors of ``C`` are written: rows of it must have room for ``padded(columns)``.
    """
    b, j = 0, 0
    while j < columns:
        width = panel_width(columns - j)
        column(C, c + j, ldc, A, a, lda, 1, P, b, width * LANES, rows, terms, width, fresh)
        b += terms * width * LANES
        j += width * LANES


@inner
def multiply_transposed(
    C: Floats, ldc: int, A: Floats, a: int, lda: int, rows: int, B: Floats, b: int, ldb: int, terms: int,
    columns: int,
) -> None:  # fmt: skip
    """``C (rows, columns) += A' B`` for ``A (terms, rows)`` and ``B (terms, columns)``, both plain.

    The terms come in blocks, so that a panel of ``B`` stays in the first cache while all rows use it.
    """
    for start in range(0, terms, 128):
        count = min(128, terms - start)
        j = 0
        while j < columns:
            width = panel_width(columns - j)
            column(
                C, j, ldc, A, a + start * lda, 1, lda, B, b + start * ldb + j, ldb, rows, count, width,
                False,
            )  # fmt: skip
            j += width * LANES
