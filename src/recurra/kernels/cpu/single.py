"""One row of a batch: a part of one layer's units, or all of them, for some steps.

A step of one row is a product of a vector and a matrix. The columns of all gates of one vector of units lie
side by side, so that the activations of these units follow their sums at once, while the next sums are
computed, and two threads can each compute some of the units.
"""

from __future__ import annotations

import numpy as np

from recurra.kernels.cpu import order as o
from recurra.kernels.cpu.activations import relu, sigmoid_of_four, tanh, tanh_of_four
from recurra.kernels.cpu.atomic import Words, floats_at, integers_at, words_at
from recurra.kernels.cpu.compiled import inlined, inner
from recurra.kernels.cpu.layout import GRU, LSTM, SIMPLE_RNN, Floats, Integers
from recurra.kernels.cpu.lstm import gates
from recurra.kernels.cpu.products import WIDTH, column
from recurra.kernels.cpu.rows import copy
from recurra.kernels.cpu.simd import LANES, broadcast, fma, load, load_first, store, store_first, sum_of
from recurra.kernels.cpu.tile import row_of_tile

__all__ = ["compute", "pack_groups"]

_four, _three, _two, _one = (row_of_tile(width) for width in (4, 3, 2, 1))
_twice_four, _twice_three = (row_of_tile(width, 2) for width in (4, 3))


@inlined
def gates_of(cell: int) -> int:
    """The gates of a cell."""
    return 4 if cell == LSTM else 3 if cell == GRU else 1


@inlined
def group_size(cell: int, left: int) -> int:
    """Vectors of units in a group, of the ``left`` that are left."""
    return min(o.GROUP, left) if cell == SIMPLE_RNN else 1


@inner
def pack_groups(
    to_at: int, matrix_at: int, cell: int, H: int, terms: int, last_at: int, first: int, vectors: int
) -> None:
    """Packs the columns of some vectors of units of the transpose of a ``(gates * H, terms)`` matrix.

    Args:
        to_at: address of the result, for each group its columns, term by term.
        matrix_at: address of the matrix, in torch's layout.
        cell: its number.
        H: hidden units.
        terms: columns of the matrix.
        last_at: address of one more term, ``(gates * H,)``; 0 if there is none.
        first: the first vector of units.
        vectors: their number.
    """
    v, at, G = 0, 0, gates_of(cell)
    height = terms + (1 if last_at else 0)
    to, matrix = floats_at(to_at, vectors * G * LANES * height), floats_at(matrix_at, G * H * terms)
    last = floats_at(last_at, G * H)
    while v < vectors:
        count = group_size(cell, vectors - v)
        width = G * count * LANES
        for i in range(width):
            unit = (first + v) * LANES + (i if G == 1 else i % LANES)
            row = (0 if G == 1 else i // LANES) * H + unit
            for k in range(height):
                value = np.float32(0.0)
                if unit < H:
                    value = matrix[row * terms + k] if k < terms else last[row]
                to[at + k * width + i] = value
        at += height * width
        v += count


@inner
def differ(x: Words, y: Words, count: int) -> bool:
    """Whether any of the first ``count`` words differ."""
    found = x[0] ^ x[0]
    for i in range(count):
        found |= x[i] ^ y[i]
    return bool(found != 0)


@inner
def changed(order: Integers, b: int) -> bool:
    """Whether a part's share of the weights differs from the copy of those that were packed.

    One step from zeros reads no recurrent weights, so that they are not compared.
    """
    G, E, H = gates_of(order[o.CELL]), order[o.E], order[o.H]
    start = 0
    for n in range(4):
        if n == 0:
            size, given = G * H * E, order[b + o.WEIGHT_IH]
        elif n == 1:
            size, given = G * H * H, order[b + o.WEIGHT_HH]
        else:
            size, given = G * H, order[b + o.BIAS_IH] if n == 2 else order[b + o.BIAS_HH]
        if given:
            if n == 1 and order[o.T] == 1 and order[b + o.H0] == 0:
                start += size
                continue
            begin = size * order[b + o.SHARE] // order[b + o.SHARES]
            count = size * (order[b + o.SHARE] + 1) // order[b + o.SHARES] - begin
            kept = words_at(order[b + o.COPY] + 4 * (start + begin), count)
            if count and differ(kept, words_at(given + 4 * begin, count), count):
                return True
            start += size
    return False


@inner
def place(order: Integers, t: int) -> int:
    """Where the input of step ``t`` begins, in numbers."""
    if order[o.PLACES] == 0:
        return int(t * order[o.STEP])
    last = order[o.NEXT] * (order[o.T] - 1)
    row = integers_at(order[o.PLACES], last + 1)[t * order[o.NEXT]]
    if row < 0 or row >= order[o.TABLE_ROWS]:
        order[o.OUTSIDE] = 1
        return 0
    return int(row * order[o.E])


@inlined
def numbers(order: Integers) -> int:
    """How many numbers the inputs are in."""
    E = order[o.E]
    return int(order[o.TABLE_ROWS] * E if order[o.PLACES] else (order[o.T] - 1) * order[o.STEP] + E)


@inner
def input_sums(order: Integers, b: int, begin: int, count: int, sums: Floats, ld: int) -> None:
    """The products of ``count`` steps' inputs, with the biases, in rows of ``ld``."""
    cell, E, vectors = order[o.CELL], order[o.E], order[b + o.VECTORS]
    G, terms = gates_of(cell), E + 1
    given, x = floats_at(order[o.X], numbers(order)), floats_at(order[b + o.INPUTS], o.CHUNK * terms)
    for n in range(count):
        s = begin + n
        copy(x, n * terms, given, place(order, order[o.T] - 1 - s if order[b + o.REVERSE] else s), E)
        x[n * terms + E] = 1.0
    W = floats_at(order[b + o.W], vectors * G * LANES * terms)
    v = 0
    while v < vectors:
        group = group_size(cell, vectors - v)
        width, c = group * G, v * G * LANES
        if width <= WIDTH:
            column(sums, c, ld, x, 0, terms, 1, W, c * terms, width * LANES, count, terms, width, True)
        else:
            for half in range(2):
                at = c + half * 2 * LANES
                first = c * terms + half * 2 * LANES
                column(sums, at, ld, x, 0, terms, 1, W, first, width * LANES, count, terms, 2, True)
        v += group


@inner
def direct_sums(order: Integers, b: int, t: int, h: Floats, sums: Floats, ld: int) -> None:
    """All sums of step ``t``, from the weights as they are; GRU's n has that of the input in a second row."""
    cell, E, H = order[o.CELL], order[o.E], order[o.H]
    G = gates_of(cell)
    x, at = floats_at(order[o.X], numbers(order)), place(order, t)
    weight_ih = floats_at(order[b + o.WEIGHT_IH], G * H * E)
    weight_hh = floats_at(order[b + o.WEIGHT_HH], G * H * H)
    bias_ih = floats_at(order[b + o.BIAS_IH], G * H)
    bias_hh = floats_at(order[b + o.BIAS_HH], G * H)
    start = order[b + o.FIRST] * LANES
    stop = min(H, start + order[b + o.VECTORS] * LANES)
    for gate in range(G):
        for unit in range(start, stop):
            row, v = gate * H + unit, (unit - start) // LANES
            to = (v * G + gate) * LANES + (unit - start) % LANES
            total, k = broadcast(0.0), 0
            while k < E:
                total = fma(load_first(weight_ih, row * E + k, E - k), load_first(x, at + k, E - k), total)
                k += LANES
            value = bias_ih[row]
            if cell == GRU and gate == 2:
                sums[ld + to] = value + sum_of(total)
                total, value = broadcast(0.0), bias_hh[row]
            elif cell == GRU:
                value += bias_hh[row]
            other, k = broadcast(0.0), 0
            while k + LANES < H:
                total = fma(load(weight_hh, row * H + k), load(h, k), total)
                other = fma(
                    load_first(weight_hh, row * H + k + LANES, H - k - LANES), load(h, k + LANES), other
                )
                k += 2 * LANES
            if k < H:
                total = fma(load_first(weight_hh, row * H + k, H - k), load(h, k), total)
            sums[to] = value + sum_of(total + other)


@inner
def lstm_step(
    S: Floats, s: int, U: Floats, before: Floats, c: Floats, after: Floats, first: int, vectors: int, H: int,
    ready: bool,
) -> None:  # fmt: skip
    """New states of ``vectors`` vectors of units from ``first``, from sums at ``s``.

    Where they are not ``ready``, the products with the state ``before`` are added first.
    """
    L = LANES
    for v in range(vectors):
        p, j = s + v * 4 * L, first + v * L
        if not ready and v % 2 == 0:
            if v + 1 < vectors:
                _twice_four(S, p, before, 0, U, v * 4 * L * H, H)
            else:
                _four(S, p, before, 0, U, v * 4 * L * H, H)
        i, f, a, out = gates(load(S, p), load(S, p + L), load(S, p + 2 * L), load(S, p + 3 * L))
        cell = fma(f, load(c, j), i * a)
        store(c, j, cell)
        store(after, j, out * tanh(cell))


@inner
def gru_step(
    S: Floats, s: int, ld: int, q: int, U: Floats, before: Floats, d: Floats, after: Floats, first: int,
    vectors: int, H: int, use_relu: bool, ready: bool, zero: bool,
) -> None:  # fmt: skip
    """The same for GRU, whose products with the state are sums of their own, as in a batch.

    They are in ``S`` from ``q``, for two vectors of units; ``d`` is the bias of the one for n. With a
    ``zero`` state they are zero.
    """
    L = LANES
    for v in range(vectors):
        p, j, at = s + v * 3 * L, first + v * L, q + v % 2 * 3 * L
        if ready:
            r, z = load(S, p), load(S, p + L)
            of_state, of_input = load(S, p + 2 * L), load(S, p + ld + 2 * L)
        else:
            if v % 2 == 0:
                for n in range(6):
                    store(S, q + n * L, broadcast(0.0))
                if zero:
                    pass
                elif v + 1 < vectors:
                    _twice_three(S, q, before, 0, U, v * 3 * L * H, H)
                else:
                    _three(S, q, before, 0, U, v * 3 * L * H, H)
            r, z = load(S, p) + load(S, at), load(S, p + L) + load(S, at + L)
            of_state, of_input = load(S, at + 2 * L) + load(d, v * L), load(S, p + 2 * L)
        gate_r, gate_z, _, _ = sigmoid_of_four(r, z, r, z)
        total = fma(gate_r, of_state, of_input)
        new = relu(total) if use_relu else tanh(total)
        store(after, j, fma(gate_z, load(before, j) - new, new))


@inner
def simple_step(
    S: Floats, s: int, U: Floats, before: Floats, after: Floats, first: int, vectors: int, H: int,
    use_relu: bool, ready: bool,
) -> None:  # fmt: skip
    """The same for SimpleRNN."""
    L, v = LANES, 0
    while v < vectors:
        count, p, j = min(o.GROUP, vectors - v), s + v * L, first + v * L
        if not ready:
            u = v * L * H
            if count == 4:
                _four(S, p, before, 0, U, u, H)
            elif count == 3:
                _three(S, p, before, 0, U, u, H)
            elif count == 2:
                _two(S, p, before, 0, U, u, H)
            else:
                _one(S, p, before, 0, U, u, H)
        if count == 4 and not use_relu:
            h = tanh_of_four(load(S, p), load(S, p + L), load(S, p + 2 * L), load(S, p + 3 * L))
            store(after, j, h[0])
            store(after, j + L, h[1])
            store(after, j + 2 * L, h[2])
            store(after, j + 3 * L, h[3])
        else:
            for n in range(count):
                sums = load(S, p + n * L)
                store(after, j + n * L, relu(sums) if use_relu else tanh(sums))
        v += count


@inner
def compute(order: Integers, part: int, unit: int) -> None:
    """Computes the steps of one unit of work of a part.

    Args:
        order: see there.
        part: 0 or 1.
        unit: its number; the units of a part are computed one after another.
    """
    b = o.SHARED + part * o.PART
    cell, H, T, use_relu = order[o.CELL], order[o.H], order[o.T], order[o.RELU] != 0
    first, vectors = order[b + o.FIRST] * LANES, order[b + o.VECTORS]
    direct = order[o.DIRECT] != 0
    columns, ld, ldh = vectors * gates_of(cell) * LANES, order[b + o.LD], order[o.LDH]
    if unit == 0 and not direct and changed(order, b):
        order[o.CHANGED] = 1
    S = floats_at(order[b + o.SUMS], o.CHUNK * ld + o.SCRATCH * LANES)
    U = floats_at(order[b + o.U], columns * H)
    d = floats_at(order[b + o.LAST], vectors * LANES)
    c = floats_at(order[b + o.CELLS], ldh)
    outputs = floats_at(order[o.OUT], T * order[o.WIDTH])
    begin = unit * order[o.UNIT]
    for s in range(begin, min(T, begin + order[o.UNIT])):
        t = T - 1 - s if order[b + o.REVERSE] else s
        before = floats_at(order[b + o.STATES] + 4 * ldh * (s % 2), ldh)
        after = floats_at(order[b + o.STATES] + 4 * ldh * ((s + 1) % 2), ldh)
        row = 0 if direct else s % o.CHUNK * ld
        if direct:
            direct_sums(order, b, t, before, S, ld)
        elif s % o.CHUNK == 0:
            input_sums(order, b, s, min(o.CHUNK, T - s), S, ld)
        zero = s == 0 and order[b + o.H0] == 0  # such a state has no part in the sums
        ready = direct or zero
        if cell == LSTM:
            lstm_step(S, row, U, before, c, after, first, vectors, H, ready)
        elif cell == GRU:
            q = o.CHUNK * ld
            gru_step(S, row, ld, q, U, before, d, after, first, vectors, H, use_relu, direct, zero)
        else:
            simple_step(S, row, U, before, after, first, vectors, H, use_relu, ready)
        if order[o.OUT]:
            to = t * order[o.WIDTH] + order[b + o.AT]
            for j in range(first, min(H, first + vectors * LANES), LANES):
                store_first(outputs, to + j, load(after, j), H - j)
