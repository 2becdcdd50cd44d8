"""The n-gram model as ONNX nodes: from hashes of words, and of their pieces, to logits.

Dimensions: ``B`` batch, ``W`` words, ``P`` pieces and ``G`` n-grams of a text, ``F`` n-grams of the model,
``K`` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.export.graph import Graph, Value
from recurra.export.layers import find, inside, keys_of, shifted
from recurra.io.text import clean
from recurra.tasks.classification.ngrams import NgramModel, words_of
from recurra.tasks.classification.ngrams.keys import LONGEST
from recurra.tasks.classification.ngrams.words import Encoded, Words, pieces_of_texts

__all__ = ["ngram_inputs", "ngram_logits"]


def ngram_inputs(model: NgramModel, texts: list[str]) -> list[NDArray[np.int64]]:
    """Returns the hashes ``(B, W)`` of the words of texts, padded with 0, and the numbers of words ``(B,)``.

    For a model with pieces, their hashes ``(B, P)`` and numbers ``(B,)`` follow.

    Example:
        >>> hashes, lengths = ngram_inputs(NgramModel(), ["good", "not good"])
        >>> lengths.tolist(), bool(hashes[0, 0] == hashes[1, 1])
        ([1, 2], True)
    """
    words, pieces = Words(), Words()
    encoded = words.encode([words_of(clean(text[: model.longest_text])) for text in texts])
    found = [*_padded(encoded, words)]
    if model.pieces:
        found += _padded(pieces_of_texts(encoded, words, pieces)[0], pieces)
    return found


def _padded(encoded: Encoded, words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = encoded.lengths
    found = np.zeros((len(lengths), max(1, int(lengths.max(initial=0)))), np.int64)
    found[np.arange(found.shape[1]) < lengths[:, None]] = words.hashes[encoded.ids].view(np.int64)
    return found, lengths


def ngram_logits(graph: Graph, model: NgramModel, inputs: Sequence[Value]) -> Value:
    """Adds the logits ``(B, K)`` of `NgramModel.logits` for what `ngram_inputs` returns."""
    state = model.state()
    columns, values = _features(graph, state["keys"], state["idf"], LONGEST, inputs[0], inputs[1])
    if model.pieces:
        found = _features(graph, state["piece_keys"], state["piece_idf"], 1, inputs[2], inputs[3])
        columns, values = _joined(graph, state, (columns, values), found)
    if model.centroids is not None:
        return _cosines(graph, state, columns, values)
    weights = np.pad(state["weights"], ((0, 1), (0, 0)))  # float16, as they are saved: exact
    rows = graph.cast(graph.op("Gather", graph.constant(weights), columns), np.float32)  # (B, G, K)
    scores = graph.op("MatMul", graph.op("Unsqueeze", values, graph.integers(1)), rows)
    scores = graph.op("Squeeze", scores, graph.integers(1))
    scores = graph.op("Add", scores, graph.constant(state["biases"].astype(np.float32)))
    if model.label_kind != "multiclass":
        return scores
    return graph.op("Neg", graph.op("Softplus", graph.op("Neg", scores)))  # log sigmoid


def _joined(
    graph: Graph, state: dict[str, NDArray[Any]], words: tuple[Value, Value], pieces: tuple[Value, Value]
) -> tuple[Value, Value]:
    """Adds the features of both kinds side by side, ``(B, G)``, as rows of length 1 or 0."""
    first, own = len(state["keys"]), len(state["piece_keys"])
    # The column of an unknown n-gram is the one after the last: that of both kinds, after the pieces.
    unknown = graph.op("Equal", words[0], graph.constant(np.int64(first)))
    ngrams = graph.op("Where", unknown, graph.constant(np.int64(first + own)), words[0])
    others = graph.op("Add", pieces[0], graph.constant(np.int64(first)))
    values = graph.op("Concat", words[1], pieces[1], axis=1)
    return graph.op("Concat", ngrams, others, axis=1), _unit(graph, values)


def _unit(graph: Graph, values: Value) -> Value:
    """Adds rows of length 1, or 0, of ``(B, G)``."""
    squares = graph.op("ReduceSum", graph.op("Mul", values, values), graph.integers(1), keepdims=1)
    length = graph.op("Max", graph.op("Sqrt", squares), graph.constant(np.float32(1e-30)))
    return graph.op("Div", values, length)


def _features(
    graph: Graph,
    keys: NDArray[np.uint64],
    idf: NDArray[np.float32],
    longest: int,
    hashes: Value,
    lengths: Value,
) -> tuple[Value, Value]:
    """Adds the columns and the TF-IDF values ``(B, G)`` of the n-grams of texts; the value is 0 for repeats.

    The columns are sorted in each row: the number of equal ones is how often an n-gram occurs.
    """
    valid = inside(graph, lengths, graph.size(hashes, 1))
    wanted = graph.op("Concat", *keys_of(graph, hashes, valid, longest), axis=1)  # (B, 3 W) or (B, P)
    places = find(graph, keys.view(np.int64), wanted)
    columns, _ = graph.ops("TopK", places, graph.size(places, 1), outputs=2, axis=1, largest=0, sorted=1)
    one = graph.constant(np.int64(1))
    before = shifted(graph, graph.op("Add", columns, one))  # 0 at the first place: different from all
    first = graph.op("Not", graph.op("Equal", graph.op("Add", columns, one), before))
    run = graph.op("Sub", graph.op("CumSum", graph.cast(first, np.int64), one), one)
    zeros = graph.op("Mul", graph.cast(columns, np.float32), graph.constant(np.float32(0)))
    ones = graph.op("Add", zeros, graph.constant(np.float32(1)))
    counts = graph.op("ScatterElements", zeros, run, ones, axis=1, reduction="add")
    counts = graph.op("GatherElements", counts, run, axis=1)
    weight = graph.op("Gather", graph.constant(np.append(idf, np.float32(0))), columns)
    weighed = graph.op("Mul", graph.op("Add", graph.op("Log", counts), ones), weight)
    return columns, _unit(graph, graph.op("Mul", weighed, graph.cast(first, np.float32)))


def _cosines(graph: Graph, state: dict[str, NDArray[Any]], columns: Value, values: Value) -> Value:
    """Adds the logits of `Centroids`, whose sums are sparse: each n-gram has the list of its classes."""
    classes = len(state["sums_rows"]) - 1
    label = np.repeat(np.arange(classes), np.diff(state["sums_rows"]))
    order = np.argsort(state["sums_columns"], kind="stable")
    sums = state["sums"].astype(np.float32)[order]
    squares = np.bincount(label, state["sums"].astype(np.float64) ** 2, minlength=classes)
    counts = np.append(
        np.bincount(state["sums_columns"], minlength=len(state["keys"]) + len(state.get("piece_keys", ()))), 0
    )
    starts = np.append(0, np.cumsum(counts)[:-1])
    shape = graph.op("Shape", columns)
    flat = graph.reshape(columns, -1)  # (N,) n-grams of all texts
    # A known n-gram that is a repeat has the value 0: its list is left out, as that of an unknown one.
    used = graph.op("Greater", graph.reshape(values, -1), graph.constant(np.float32(0)))
    zero = graph.constant(np.int64(0))
    many = graph.op("Where", used, graph.op("Gather", graph.constant(counts.astype(np.int64)), flat), zero)
    ends = graph.op("CumSum", many, zero)
    begins = graph.op("Sub", ends, many)
    one = graph.integers(1)
    total = graph.op("ReduceMax", graph.op("Concat", graph.integers(0), ends, axis=0), keepdims=1)
    # Of each entry of the lists, which n-gram it belongs to: the marks before it are counted.
    marks = graph.op("Expand", zero, graph.op("Add", total, one))
    ones = graph.op("Add", graph.op("Mul", begins, zero), graph.constant(np.int64(1)))
    marks = graph.op("ScatterElements", marks, begins, ones, axis=0, reduction="add")
    marks = graph.op("Slice", marks, graph.integers(0), total)
    owner = graph.op("Sub", graph.op("CumSum", marks, zero), graph.constant(np.int64(1)))
    steps = graph.op("Range", zero, graph.op("Squeeze", total), graph.constant(np.int64(1)))
    within = graph.op("Sub", steps, graph.op("Gather", begins, owner))
    entry = graph.op("Add", graph.op("Gather", graph.constant(starts.astype(np.int64)),
                                     graph.op("Gather", flat, owner)), within)  # fmt: skip
    value = graph.op("Mul", graph.op("Gather", graph.constant(np.append(sums, np.float32(0))), entry),
                     graph.op("Gather", graph.reshape(values, -1), owner))  # fmt: skip
    width = graph.op("Gather", shape, graph.constant(np.int64(1)))
    row = graph.op("Div", owner, width)
    of_class = graph.op("Gather", graph.constant(np.append(label[order], 0).astype(np.int64)), entry)
    place = graph.op("Add", graph.op("Mul", row, graph.constant(np.int64(classes))), of_class)
    B = graph.size(columns, 0)
    size = graph.op("Mul", B, graph.integers(classes))
    products = graph.op("Expand", graph.constant(np.float32(0)), size)
    products = graph.op("ScatterElements", products, place, value, axis=0, reduction="add")
    products = graph.reshape(products, -1, classes)
    scale = float(state["scale"][0])
    lengths = np.where(squares > 1e-9, scale / np.sqrt(np.maximum(squares, 1e-9)), 0.0).astype(np.float32)
    return graph.op(
        "Add",
        graph.op("Mul", products, graph.constant(lengths)),
        graph.constant(state["shift"].astype(np.float32)),
    )
