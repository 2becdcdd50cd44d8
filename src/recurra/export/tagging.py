"""A tagger for export: words and their characters to the probabilities of tags.

Dimensions: ``B`` sentences, ``T`` words, ``L`` characters of a word, ``K`` tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from recurra.export import layers
from recurra.export.graph import Graph, Value
from recurra.export.plan import Arrays, Measure, Plan, Probe, Run, described
from recurra.export.programs import TaggerProgram
from recurra.export.recurrent import last, recurrent
from recurra.export.texts import padded
from recurra.layers import Recurrent
from recurra.tasks.reporter import Tick
from recurra.tasks.tagging.assess import probabilities_of
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.prepare import TaggedPart, numbered
from recurra.tasks.tagging.sentences import Sentence

__all__ = ["plan"]

_BATCH, _LONGEST = 64, 40
_SIZES = (1, 3, 8)


def plan(bundle: TaggerBundle) -> Plan:
    """Returns what is exported of a tagger."""
    vocabulary, tags = bundle.assets.vocabulary, len(bundle.assets.labels.names)
    signature: dict[str, Any] = {
        "labels": list(bundle.assets.labels.names),
        "temperature": bundle.temperature,
        "vocabulary": {
            "file": "vocabulary.json",
            "lowercase": vocabulary.lowercase,
            "max_characters": vocabulary.max_characters,
        },
        "inputs": [
            described(
                "words",
                "int64",
                ["batch", "time"],
                "numbers of the words of each sentence, padded at the end with 0",
            ),
            described("lengths", "int64", ["batch"], "number of words of each sentence"),
        ],
        "outputs": [
            described(
                "probabilities",
                "float32",
                ["batch", "time", tags],
                "calibrated probability of each tag; not defined at padding",
            ),
            described(
                "predicted",
                "int64",
                ["batch", "time"],
                "the number of the most probable tag; not defined at padding",
            ),
        ],
    }
    if bundle.model.spelling is not None:
        signature["inputs"] += [
            described(
                "characters",
                "int64",
                ["batch", "time", "letters"],
                "numbers of the characters of each word, padded at the end with 0",
            ),
            described(
                "character_lengths",
                "int64",
                ["batch", "time"],
                "number of characters of each word, start and end included; 0 at padding",
            ),
        ]
    return Plan(
        graph=partial(_graph, bundle),
        program=partial(TaggerProgram, bundle),
        signature=signature,
        files={"vocabulary.json": vocabulary.to_json()},
        probes=partial(_probes, bundle),
        measure=partial(_measure, bundle),
    )


def _feeds(bundle: TaggerBundle, sentences: Sequence[Sequence[str]]) -> Arrays:
    """Returns the inputs of sentences, as a client computes them."""
    vocabulary = bundle.assets.vocabulary
    numbers = [np.array([vocabulary.word_number(word) for word in words], np.int64) for words in sentences]
    feeds: Arrays = {}
    feeds["words"], feeds["lengths"] = padded(numbers)
    if bundle.model.spelling is not None:
        spelled = [[vocabulary.character_numbers(word) for word in words] for words in sentences]
        most = max(len(letters) for words in spelled for letters in words)
        characters = np.zeros((*feeds["words"].shape, most), np.int64)
        lengths = np.zeros(feeds["words"].shape, np.int64)
        for row, words in enumerate(spelled):
            for place, letters in enumerate(words):
                characters[row, place, : len(letters)] = letters
                lengths[row, place] = len(letters)
        feeds["characters"], feeds["character_lengths"] = characters, lengths
    return feeds


def _probes(bundle: TaggerBundle, random: np.random.Generator) -> Iterator[Probe]:
    known = sorted(bundle.assets.counts.words)
    pool = [*known, "qzxv", "Jjqx-9", "x" * 80]
    for size in _SIZES:
        lengths = random.integers(1, _LONGEST, size)
        sentences = [tuple(str(word) for word in random.choice(pool, length)) for length in lengths.tolist()]
        rows = [Sentence(words, None, number) for number, words in enumerate(sentences, 1)]
        part = numbered("texts", "", rows, bundle.assets, bundle.config, tagged=False)
        flat = probabilities_of(bundle, part.numbers)
        answers = np.full((size, int(lengths.max()), flat.shape[1]), np.nan)
        answers[np.arange(answers.shape[1]) < lengths[:, None]] = flat
        yield Probe(_feeds(bundle, sentences), {"probabilities": answers})


def _measure(bundle: TaggerBundle, part: TaggedPart, run: Run, tick: Tick) -> Measure:
    """Returns the share of words whose tag is right."""
    right = []
    ends = np.cumsum(part.lengths)
    for first in range(0, len(part), _BATCH):
        sentences = [sentence.words for sentence in part.sentences[first : first + _BATCH]]
        predicted = run(_feeds(bundle, sentences))["predicted"]
        for row, words in enumerate(sentences):
            end = int(ends[first + row])
            right.append(predicted[row, : len(words)] == part.tags[end - len(words) : end])
        tick(len(sentences))
    values = np.concatenate(right).astype(np.float64)
    return Measure("accuracy", float(values.mean()), len(values), values, "words")


def _graph(bundle: TaggerBundle) -> Graph:
    graph, network = Graph(), bundle.model
    words = graph.input("words", np.int64, ["batch", "time"])
    lengths = graph.input("lengths", np.int64, ["batch"])
    x = layers.embedded(graph, network.embedding, words)
    if network.spelling is not None:
        characters = graph.input("characters", np.int64, ["batch", "time", "letters"])
        counts = graph.input("character_lengths", np.int64, ["batch", "time"])
        vectors = layers.embedded(graph, network.spelling.embedding, characters)
        size = network.spelling.embedding.embedding_dim
        letters = graph.size(characters, 2)
        shape = graph.op("Concat", graph.integers(-1), letters, graph.integers(size), axis=0)
        flat = graph.op("Transpose", graph.op("Reshape", vectors, shape), perm=[1, 0, 2])
        found = _last(graph, network.spelling.recurrent, flat, graph.reshape(counts, -1))
        width = network.spelling.recurrent.output_size
        both = graph.op("Concat", graph.op("Shape", words), graph.integers(width), axis=0)
        x = graph.op("Concat", x, graph.op("Reshape", found, both), axis=2)
    steps = graph.op("Transpose", x, perm=[1, 0, 2])
    outputs, _ = recurrent(graph, network.recurrent, steps, graph.cast(lengths, np.int32))
    logits = layers.linear(graph, network.head, graph.op("Transpose", outputs, perm=[1, 0, 2]))
    if bundle.temperature is not None:
        logits = graph.op("Div", logits, graph.constant(np.float32(bundle.temperature)))
    p = graph.op("Softmax", logits, axis=2)
    tags = len(bundle.assets.labels.names)
    graph.output("probabilities", p, np.float32, ["batch", "time", tags])
    predicted = graph.op("ArgMax", p, axis=2, keepdims=0)
    graph.output("predicted", predicted, np.int64, ["batch", "time"])
    return graph


def _last(graph: Graph, stack: Recurrent, x: Value, lengths: Value) -> Value:
    """Adds the last state of a stack for inputs ``(T, N, E)`` and int64 lengths ``(N,)``."""
    _, states = recurrent(graph, stack, x, graph.cast(lengths, np.int32))
    return last(graph, stack, states)
