"""A language model for export: tokens and states to log-probabilities of the next token, and new states.

Dimensions: ``B`` texts, ``T`` tokens, ``V`` entries of the vocabulary, ``H`` hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from recurra.export import layers
from recurra.export.graph import Graph, Value, as_array
from recurra.export.plan import Arrays, Measure, Plan, Probe, Run, described
from recurra.export.programs import LanguageProgram
from recurra.export.recurrent import recurrent
from recurra.export.texts import padded, tokenizer_file, tokenizer_signature
from recurra.io.tokenizer import SPECIALS, TextTokenizer
from recurra.layers import States
from recurra.layers.network import measuring
from recurra.tasks.language.network import LanguageBundle, LanguageNetwork
from recurra.tasks.language.output_softmax import AdaptiveSoftmax, Softmax
from recurra.tasks.reporter import Tick
from recurra.tasks.texts import Part

__all__ = ["plan"]

_WINDOW, _BATCH = 64, 16
_SHAPES = ((1, 1), (3, 9), (8, 33))


def plan(bundle: LanguageBundle) -> Plan:
    """Returns what is exported of a language model."""
    size = bundle.assets.tokenizer.vocab_size
    states = _states(bundle.model)
    signature: dict[str, Any] = {
        "labels": None,
        "temperature": None,
        "tokenizer": tokenizer_signature(bundle.assets.tokenizer),
        "states": [{"input": name, "output": f"next_{name}", "size": H} for name, H in states],
        "inputs": [
            described(
                "tokens",
                "int64",
                ["batch", "time"],
                "token ids, padded at the end with 0; a text begins with the start token",
            ),
            described("lengths", "int64", ["batch"], "number of tokens of each text"),
            *(
                described(
                    name,
                    "float32",
                    ["batch", H],
                    "the state before the first token: zeros at the beginning of a text",
                )
                for name, H in states
            ),
        ],
        "outputs": [
            described(
                "log_probabilities",
                "float32",
                ["batch", "time", size],
                "natural logarithm of the probability that each token comes next; the start token is the "
                "end of a text; not defined at padding",
            ),
            *(
                described(
                    f"next_{name}",
                    "float32",
                    ["batch", H],
                    "the state after the last token, for the tokens that follow",
                )
                for name, H in states
            ),
        ],
    }
    return Plan(
        graph=partial(_graph, bundle),
        program=partial(LanguageProgram, bundle),
        signature=signature,
        files={"tokenizer.json": tokenizer_file(bundle.assets.tokenizer)},
        probes=partial(_probes, bundle),
        measure=partial(_measure, bundle),
        notes=_notes(bundle),
    )


def _notes(bundle: LanguageBundle) -> tuple[str, ...]:
    """Says that n-grams are not exported, and what that costs where it was measured."""
    if bundle.assets.mixture is None:
        return ()
    both, alone = (bundle.metrics.get(name) for name in ("model", "network"))
    cost = ""
    if both and alone:
        part = bundle.metrics.get("evaluated_on", "test")
        cost = f": perplexity {alone['value']:.2f} instead of {both['value']:.2f} on the {part} tokens"
    return (f"the network alone is exported, without the n-grams that answer beside it{cost}",)


def _states(network: LanguageNetwork) -> list[tuple[str, int]]:
    """Returns the name and the width of each part of the state of each layer."""
    stack = network.recurrent
    return [(f"state_{depth}_{part}", H) for depth, H in enumerate(stack.units) for part in stack.spec.state]


def _probes(bundle: LanguageBundle, random: np.random.Generator) -> Iterator[Probe]:
    """Yields windows from zero states and, of the same size, from the states that they end with."""
    network, size = bundle.model, bundle.assets.tokenizer.vocab_size
    names = [name for name, _ in _states(network)]
    for B, T in _SHAPES:
        state: States | None = None
        for fresh in (True, False):
            lengths = random.integers(1, T + 1, B)
            lengths[0] = T
            first = 1 if size > len(SPECIALS) else 0
            tokens = random.integers(first, size, (B, T))
            tokens[np.arange(T) >= lengths[:, None]] = 0
            parts = [np.zeros((B, H), np.float32) for _, H in _states(network)]
            if not fresh and state is not None:
                parts = [as_array(part) for layer in state for part in layer]
            with measuring(network):
                given = None if fresh else state
                found, state = network(torch.from_numpy(tokens), torch.from_numpy(lengths), given)
                log_p = network.output.log_probabilities(found.flatten(0, 1)).reshape(B, T, -1)
            answers = np.array(log_p.numpy(), np.float64)
            answers[np.arange(T) >= lengths[:, None]] = np.nan
            ends = [as_array(part) for layer in state for part in layer]
            yield Probe(
                {"tokens": tokens, "lengths": lengths, **dict(zip(names, parts, strict=True))},
                {
                    "log_probabilities": answers,
                    **{f"next_{name}": end for name, end in zip(names, ends, strict=True)},
                },
            )


def _measure(bundle: LanguageBundle, part: Part, run: Run, tick: Tick) -> Measure:
    """Returns the bits per token, over the tokens of all texts."""
    states = _states(bundle.model)
    bits: list[float] = []
    tokens: list[int] = []
    for first in range(0, len(part), _BATCH):
        rows = [part.examples.ids(row) for row in part.rows[first : first + _BATCH].tolist()]
        ids, lengths = padded([np.append(row, TextTokenizer.start_id) for row in rows])
        sums = np.zeros(len(rows))
        feeds: Arrays = {name: np.zeros((len(rows), H), np.float32) for name, H in states}
        for start in range(0, ids.shape[1] - 1, _WINDOW):
            window = ids[:, start : start + _WINDOW][:, : ids.shape[1] - 1 - start]
            left = np.clip(lengths - 1 - start, 0, window.shape[1])
            found = run({"tokens": window, "lengths": left, **feeds})
            targets = ids[:, start + 1 : start + 1 + window.shape[1]]
            log_p = np.take_along_axis(found["log_probabilities"], targets[:, :, None], 2)[:, :, 0]
            sums += np.where(np.arange(window.shape[1]) < left[:, None], log_p, 0).sum(axis=1)
            feeds = {name: found[f"next_{name}"] for name, _ in states}
        bits += (-sums / np.log(2) / (lengths - 1)).tolist()
        tokens += (lengths - 1).tolist()
        tick(len(rows))
    values, sizes = np.array(bits), np.array(tokens, np.float64)
    value = float(np.average(values, weights=sizes))
    return Measure("bits per token", value, len(values), values, "texts", sizes)


def _graph(bundle: LanguageBundle) -> Graph:
    graph, network = Graph(), bundle.model
    tokens = graph.input("tokens", np.int64, ["batch", "time"])
    lengths = graph.input("lengths", np.int64, ["batch"])
    names = [graph.input(name, np.float32, ["batch", H]) for name, H in _states(network)]
    parts = len(network.recurrent.spec.state)
    initial = [names[first : first + parts] for first in range(0, len(names), parts)]
    x = graph.op("Transpose", layers.embedded(graph, network.embedding, tokens), perm=[1, 0, 2])
    outputs, states = recurrent(graph, network.recurrent, x, graph.cast(lengths, np.int32), initial)
    log_p = _log_probabilities(graph, network, graph.op("Transpose", outputs, perm=[1, 0, 2]))
    padding = graph.constant(np.float32(-np.inf))
    log_p = graph.op("Pad", log_p, graph.integers(0, 0, 1, 0, 0, 0), padding)
    size = bundle.assets.tokenizer.vocab_size
    graph.output("log_probabilities", log_p, np.float32, ["batch", "time", size])
    # An empty row keeps its state, which the operators of ONNX return as zeros.
    empty = graph.op("Equal", lengths, graph.constant(np.int64(0)))
    kept = graph.op("Unsqueeze", empty, graph.integers(1))
    ends = [part for layer in states for part in layer]
    for (name, H), before, after in zip(_states(network), names, ends, strict=True):
        graph.output(f"next_{name}", graph.op("Where", kept, before, after), np.float32, ["batch", H])
    return graph


def _log_probabilities(graph: Graph, network: LanguageNetwork, states: Value) -> Value:
    """Adds the log-probabilities ``(B, T, V - 1)`` of all tokens but padding."""
    output = network.output
    if isinstance(output, AdaptiveSoftmax):
        return _adaptive(graph, output, states)
    assert isinstance(output, Softmax)  # noqa: S101  # there are two kinds
    if output.projection is not None:
        states = layers.linear(graph, output.projection, states)
    weight = graph.constant(as_array(output._weight()).T)
    logits = graph.op("Add", graph.op("MatMul", states, weight), graph.constant(as_array(output.bias)))
    return graph.op("LogSoftmax", logits, axis=2)


def _adaptive(graph: Graph, output: AdaptiveSoftmax, states: Value) -> Value:
    clusters = output.clusters
    few = clusters.shortlist_size
    head = graph.op("LogSoftmax", layers.linear(graph, clusters.head, states), axis=2)
    axis = graph.integers(2)
    parts = [graph.op("Slice", head, graph.integers(0), graph.integers(few), axis)]
    for number, tail in enumerate(clusters.tail):
        projected = states
        for layer in tail.children():
            assert isinstance(layer, nn.Linear)  # noqa: S101  # a projection and a product
            projected = layers.linear(graph, layer, projected)
        inside = graph.op("LogSoftmax", projected, axis=2)
        bounds = graph.integers(few + number), graph.integers(few + number + 1)
        parts.append(graph.op("Add", inside, graph.op("Slice", head, *bounds, axis)))
    return graph.op("Concat", *parts, axis=2)
