"""Layers around the recurrence as ONNX nodes: embedding, pairs, evidence of n-grams, poolings, linear layers.

Dimensions: ``B`` batch, ``T`` time, ``E`` features of a vector, ``F`` features of a state.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recurra.export.graph import TABLE, Graph, Value, as_array
from recurra.layers import AttentionPooling, BigramEmbedding, JoinedPooling, MaxPooling
from recurra.layers.bigrams import FACTOR, FIRST, MODULUS, SECOND
from recurra.layers.evidence import ABSENT, LONGEST, MULTIPLIER, NgramEvidence

__all__ = [
    "bigrams",
    "embedded",
    "evidence",
    "find",
    "inside",
    "keys_of",
    "linear",
    "pooled",
    "shifted",
]


def linear(graph: Graph, layer: nn.Linear, x: Value) -> Value:
    """Adds ``x W' + b`` for ``x`` of any number of axes."""
    product = graph.op("MatMul", x, graph.constant(as_array(layer.weight).T))
    return product if layer.bias is None else graph.op("Add", product, graph.constant(as_array(layer.bias)))


def embedded(graph: Graph, table: nn.Embedding, ids: Value) -> Value:
    """Adds the vectors of ids."""
    return graph.op("Gather", graph.constant(as_array(table.weight)), ids, name=graph.name(TABLE))


def inside(graph: Graph, lengths: Value, T: Value) -> Value:
    """Adds whether a step lies within its row's length, ``(B, T)`` bool, for int64 lengths and ``T`` (1,)."""
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    steps = graph.op("Range", zero, graph.op("Squeeze", T), one)
    return graph.op("Less", steps, graph.op("Unsqueeze", lengths, graph.integers(1)))


def shifted(graph: Graph, x: Value) -> Value:
    """Adds ``(B, T)`` int64 with each value one step later; 0 at the first step."""
    return graph.op("Pad", x, graph.integers(0, 1, 0, -1), graph.constant(np.int64(0)))


def keys_of(graph: Graph, hashes: Value, valid: Value, longest: int = LONGEST) -> list[Value]:
    """Adds for 1 to ``longest`` tokens the keys ``(B, T)`` of the n-grams that end at each token; else -1.

    Args:
        graph: receives the nodes.
        hashes: ``(B, T)`` int64, 64-bit hashes of the tokens.
        valid: ``(B, T)`` bool, whether a step is a token.
        longest: tokens of the longest n-grams.
    """
    found: list[Value] = []
    mixed, later = hashes, hashes
    alive = graph.cast(valid, np.int64)
    ok = alive
    factor, nothing = graph.constant(np.int64(MULTIPLIER)), graph.constant(np.int64(-1))
    for size in range(1, longest + 1):
        if size > 1:
            mixed = graph.op("Add", graph.op("Mul", shifted(graph, mixed), factor), hashes)
            later = shifted(graph, later)
            ok = graph.op("Mul", alive, shifted(graph, ok))
        # The shift is logical: 48 of 64 bits are kept.
        bits = graph.op(
            "BitShift", graph.cast(mixed, np.uint64), graph.constant(np.uint64(16)), direction="RIGHT"
        )
        found.append(graph.op("Where", graph.cast(ok, np.bool_), graph.cast(bits, np.int64), nothing))
    return found


def find(graph: Graph, keys: NDArray[np.int64], wanted: Value) -> Value:
    """Adds a binary search: the column of each key, and whether the table has it.

    Args:
        graph: receives the nodes.
        keys: the table, sorted, of shape (F,), without -1.
        wanted: keys of any shape, int64.

    Returns:
        Columns of that shape; ``F`` for a key that the table lacks.
    """
    steps = max(1, math.ceil(math.log2(len(keys) + 2)))
    # The sentinel in front is what a key below all others finds; columns are then one more than in ``keys``.
    padded = np.full(1 << steps, ABSENT, np.int64)
    padded[0] = np.iinfo(np.int64).min
    padded[1 : len(keys) + 1] = keys
    table = graph.constant(padded)
    place = graph.op("Mul", wanted, graph.constant(np.int64(0)))
    for step in reversed(range(steps)):
        next_place = graph.op("Add", place, graph.constant(np.int64(1 << step)))
        below = graph.op("LessOrEqual", graph.op("Gather", table, next_place), wanted)
        place = graph.op("Where", below, next_place, place)
    known = graph.op("Equal", graph.op("Gather", table, place), wanted)
    own = graph.op("Sub", place, graph.constant(np.int64(1)))
    return graph.op("Where", known, own, graph.constant(np.int64(len(keys))))


def evidence(graph: Graph, layer: NgramEvidence, tokens: Value, valid: Value) -> Value:
    """Adds the features ``(B, T, 3 K)`` of `NgramEvidence` for ids ``(B, T)``."""
    hashes = graph.op("Gather", graph.constant(as_array(layer._hashes)), tokens)
    keys = as_array(layer.keys)
    count = int((keys < ABSENT).sum())
    weights = np.pad(as_array(layer.weights)[:count], ((0, 1), (0, 0)))  # 0 for an n-gram that is not known
    table = graph.constant(weights)
    wanted = [graph.op("Unsqueeze", each, graph.integers(2)) for each in keys_of(graph, hashes, valid)]
    columns = find(graph, keys[:count], graph.op("Concat", *wanted, axis=2))  # (B, T, 3)
    features = graph.reshape(graph.op("Gather", table, columns), 0, 0, len(wanted) * layer.outputs)
    return graph.op("Mul", features, graph.constant(as_array(layer.scales)))


def bigrams(graph: Graph, layer: BigramEmbedding, tokens: Value) -> Value:
    """Adds the vectors ``(B, T, E)`` of the pairs that begin with each token."""
    rows = layer.table.num_embeddings
    zero = graph.constant(np.int64(0))
    following = graph.op("Pad", tokens, graph.integers(0, -1, 0, 1), zero)

    def times(value: Value, factor: int) -> Value:
        return graph.op("Mul", value, graph.constant(np.int64(factor)))

    def modulo(value: Value, divisor: int) -> Value:
        return graph.op("Mod", value, graph.constant(np.int64(divisor)))

    one = graph.constant(np.int64(1))
    total = graph.op("Add", graph.op("Add", times(tokens, FIRST), times(following, SECOND)), one)
    hashed = modulo(times(modulo(total, MODULUS), FACTOR), MODULUS)
    hashed = graph.op("Add", modulo(hashed, rows - 1), one)
    ends = graph.op("Or", graph.op("Equal", tokens, zero), graph.op("Equal", following, zero))
    return embedded(graph, layer.table, graph.op("Where", ends, zero, hashed))


def pooled(
    graph: Graph, pooling: nn.Module | None, states: Value, lengths: Value, valid: Value, last: Value
) -> Value:
    """Adds one vector ``(B, n * F)`` of a sequence.

    Args:
        graph: receives the nodes.
        pooling: the layer, as `recurra.layers.network.pooling_of` makes it.
        states: ``(B, T, F)``, zero at padded steps.
        lengths: ``(B,)`` int64.
        valid: ``(B, T)`` bool.
        last: the last state, ``(B, F)``.
    """
    if pooling is None or isinstance(pooling, nn.Identity):
        return last
    if isinstance(pooling, JoinedPooling):
        parts = [pooled(graph, part, states, lengths, valid, last) for part in pooling.parts]
        return graph.op("Concat", *parts, axis=1)
    axis = graph.integers(1)
    if isinstance(pooling, MaxPooling):
        seen = graph.op("Unsqueeze", valid, graph.integers(2))
        lowest = graph.constant(np.float32(np.finfo(np.float32).min))
        largest = graph.op("ReduceMax", graph.op("Where", seen, states, lowest), axis, keepdims=0)
        empty = graph.op("Unsqueeze", graph.op("Equal", lengths, graph.constant(np.int64(0))), axis)
        return graph.op("Where", empty, graph.constant(np.float32(0)), largest)
    if isinstance(pooling, AttentionPooling):
        return _attention(graph, pooling, states, valid)
    count = graph.cast(graph.op("Max", lengths, graph.constant(np.int64(1))), np.float32)
    total = graph.op("ReduceSum", states, axis, keepdims=0)
    return graph.op("Div", total, graph.op("Unsqueeze", count, axis))


def _attention(graph: Graph, pooling: AttentionPooling, states: Value, valid: Value) -> Value:
    seen = graph.op("Unsqueeze", valid, graph.integers(2))
    scores = linear(graph, pooling.score, graph.op("Tanh", linear(graph, pooling.projection, states)))
    scores = graph.op("Where", seen, scores, graph.constant(np.float32(np.finfo(np.float32).min)))
    shares = graph.op("Mul", graph.op("Softmax", scores, axis=1), graph.cast(seen, np.float32))
    return graph.op("ReduceSum", graph.op("Mul", shares, states), graph.integers(1), keepdims=0)
