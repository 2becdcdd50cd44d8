"""The weights of one direction in the packed form that the forward pass reads, kept for calls with few rows.

A single text of 50 steps takes less time to compute than its weights take to pack. Packed weights are
therefore kept, with a copy of those that they were made from, and any change is noticed, however it was made:
an LSTM of 256 units takes 65 us to compare and 390 to pack.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

import numpy as np

from recurra.kernels.cpu import layout, weights
from recurra.kernels.cpu.bf16 import pair_terms, pair_within_rows, paired
from recurra.kernels.cpu.layout import Floats, nothing, padded
from recurra.kernels.cpu.products import packed_size
from recurra.kernels.cpu.workspace import borrow

__all__ = ["FEW_ROWS", "Packed", "pack", "pack_or_keep", "pack_terms", "release"]

FEW_ROWS = 8
"""Rows of a batch below which packed weights are kept."""
MOST_KEPT = 16
LARGEST_KEPT = 4_000_000
"""Numbers; packing larger weights takes little of the time that they take to use."""


class Packed(NamedTuple):
    """The weights of one direction, for the forward pass."""

    W: Floats
    """``(E + 1, gates * H)`` packed, the bias as the last term; in pairs without."""
    bias: Floats
    """``(gates * H,)`` of the input's product."""
    U: Floats
    """``(H, gates * H)`` packed."""
    last: Floats
    """GRU's bias of the state's product for n, of whole vectors; else empty."""


def pack_terms(matrix: Floats, terms: int, columns: int, *, bf16: bool) -> Floats:
    """A ``(terms, columns)`` matrix in packed form; in pairs if products are of bfloat16."""
    if bf16:
        pairs = borrow(paired(terms) * columns)
        pair_terms(pairs, matrix, terms, columns)
        matrix, terms = pairs, paired(terms)
    to = borrow(packed_size(terms, columns))
    weights.pack(to, matrix, terms, columns)
    return to


def pack(cell: int, matrices: tuple[Floats, ...], E: int, H: int, *, bf16: bool) -> Packed:
    """Packs ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` of one direction.

    GRU's two biases of r and z are added; that of n's product with the state is multiplied by the reset gate.
    """
    weight_ih, weight_hh, bias, bias_hh = matrices
    columns, last = layout.GATES[cell] * H, nothing()
    if cell == layout.GRU:
        bias = bias.copy()
        bias[: 2 * H] += bias_hh[: 2 * H]
        last = np.zeros(padded(H), np.float32)
        last[:H] = bias_hh[2 * H :]
    W = _transposed(weight_ih, E, columns, bias, bf16=bf16)
    return Packed(W, bias, _transposed(weight_hh, H, columns, nothing(), bf16=bf16), last)


def _transposed(matrix: Floats, terms: int, columns: int, last: Floats, *, bf16: bool) -> Floats:
    """The transpose of a ``(columns, terms)`` matrix in packed form; in float32 with one more term."""
    if bf16:
        pairs = borrow(columns * paired(terms))
        pair_within_rows(pairs, matrix, columns, terms)
        matrix, terms, last = pairs, paired(terms), nothing()
    to = borrow(packed_size(terms + (last.size > 0), columns))
    weights.pack_transposed(to, matrix, terms, columns, last)
    return to


class _Entry(NamedTuple):
    source: Floats
    """The four arrays, one after the other."""
    packed: Packed


_lock = Lock()
_entries: OrderedDict[tuple[int | bool, ...], _Entry] = OrderedDict()


def pack_or_keep(cell: int, matrices: tuple[Floats, ...], E: int, H: int, *, bf16: bool) -> Packed:
    """The same as ``pack``, from the last calls if the weights have not changed."""
    weight_ih, weight_hh, bias_ih, bias_hh = matrices
    if weight_ih.size + weight_hh.size > LARGEST_KEPT:
        return pack(cell, matrices, E, H, bf16=bf16)
    key = (cell, E, H, bf16, weight_hh.__array_interface__["data"][0])
    with _lock:
        entry = _entries.get(key)
    if entry is None or not _same(entry.source, weight_ih, weight_hh, bias_ih, bias_hh):
        source = np.concatenate(matrices)
        cuts = np.cumsum([matrix.size for matrix in matrices[:-1]])
        entry = _Entry(source, pack(cell, tuple(np.split(source, cuts)), E, H, bf16=bf16))
    with _lock:
        _entries[key] = entry
        _entries.move_to_end(key)
        if len(_entries) > MOST_KEPT:
            _entries.popitem(last=False)
    return entry.packed


def _same(kept: Floats, *given: Floats) -> bool:
    """Whether ``kept`` holds the same bits as the others, one after the other."""
    bits, start = kept.view(np.int32), 0
    for array in given:
        if not (bits[start : start + array.size] == array.view(np.int32)).all():
            return False
        start += array.size
    return True


def release() -> None:
    """Forgets the packed weights."""
    with _lock:
        _entries.clear()
