"""A classifier for export: network and n-grams, their combination, probabilities and labels.

Dimensions: ``B`` texts, ``T`` tokens, ``W`` words and ``P`` pieces of the n-grams, ``C`` classes,
``K`` logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.export import layers
from recurra.export.agreement import TOLERANCE
from recurra.export.graph import Graph, Value
from recurra.export.ngrams import ngram_inputs, ngram_logits
from recurra.export.plan import Arrays, Measure, Plan, Probe, Run, described
from recurra.export.programs import ClassifierProgram
from recurra.export.recurrent import last, recurrent
from recurra.export.texts import padded, probe_texts, tokenizer_file, tokenizer_signature
from recurra.io.tokenizer import SPECIALS, TextTokenizer
from recurra.measure.metrics import predicted_labels
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.decisions import unsure_name
from recurra.tasks.classification.network import Classifier
from recurra.tasks.classification.ngrams.words import PIECE
from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.reporter import Tick
from recurra.tasks.texts import Part

__all__ = ["plan"]

_BATCH = 64
_CHUNK = 32 * _BATCH


def plan(bundle: ClassifierBundle) -> Plan:
    """Returns what is exported of a classifier."""
    labels, experts = bundle.assets.labels, bundle.assets.experts
    several = labels.label_kind == "multilabel"
    notes = []
    if experts is not None and not experts.network_used:
        notes.append("the network has no weight beside the n-grams and is not in the file")
    if experts is not None and not experts.ngrams_used:
        notes.append("the n-grams have no weight beside the network and are not in the file")
    signature: dict[str, Any] = {
        "labels": list(labels.names),
        "label_kind": labels.label_kind,
        "temperature": bundle.temperature if experts is None else None,
        "thresholds": bundle.assets.limits.tolist() if several else None,
        "experts": None if experts is None else experts.as_json()["weights"],
        "tokenizer": tokenizer_signature(bundle.assets.tokenizer) if _network(bundle) else None,
        "ngrams": _ngram_signature(bundle),
        "inputs": _inputs(bundle),
        "outputs": [
            described(
                "probabilities",
                "float32",
                ["batch", len(labels.names)],
                "calibrated probability of each label",
            ),
            described(
                "predicted",
                "bool" if several else "int64",
                ["batch", len(labels.names)] if several else ["batch"],
                "whether the probability of each label reaches its threshold"
                if several
                else "the number of the label: the most probable one, unless thresholds or costs were fitted",
            ),
        ],
    }
    least = decided(bundle)[1]
    if least is not None:
        unsure = signature["unsure"] = unsure_name(labels.names)
        meaning = (
            f"whether the probability of the label is at least {least:g}; if not, the answer is {unsure!r}"
        )
        signature["outputs"].append(described("answered", "bool", ["batch"], meaning))
    signature["abstain"] = least
    files = {"tokenizer.json": tokenizer_file(bundle.assets.tokenizer)} if _network(bundle) else {}
    return Plan(
        graph=partial(_graph, bundle),
        program=partial(ClassifierProgram, bundle),
        signature=signature,
        files=files,
        probes=partial(_probes, bundle),
        measure=partial(_measure, bundle),
        notes=tuple(notes),
    )


def _network(bundle: ClassifierBundle) -> bool:
    """Whether the network counts."""
    return bundle.assets.experts is None or bundle.assets.experts.network_used


def _ngrams(bundle: ClassifierBundle) -> bool:
    """Whether the n-grams count."""
    return bundle.assets.experts is not None and bundle.assets.experts.ngrams_used


def _pieces(bundle: ClassifierBundle) -> bool:
    """Whether the n-grams count, and pieces of words among them."""
    return bundle.assets.experts is not None and _ngrams(bundle) and bundle.assets.experts.ngrams.pieces


def _inputs(bundle: ClassifierBundle) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if _network(bundle):
        found += [
            described(
                "tokens", "int64", ["batch", "time"], "token ids of each text, padded at the end with 0"
            ),
            described("lengths", "int64", ["batch"], "number of tokens of each text, without padding"),
        ]
    if _ngrams(bundle):
        found += [
            described(
                "ngram_words",
                "int64",
                ["batch", "words"],
                "64-bit hashes of the words of each text, padded at the end with 0",
            ),
            described("ngram_lengths", "int64", ["batch"], "number of words of each text, without padding"),
        ]
    if _pieces(bundle):
        found += [
            described(
                "ngram_pieces",
                "int64",
                ["batch", "pieces"],
                "64-bit hashes of the pieces of the words of each text, padded at the end with 0",
            ),
            described(
                "ngram_piece_lengths", "int64", ["batch"], "number of pieces of each text, without padding"
            ),
        ]
    return found


def _ngram_signature(bundle: ClassifierBundle) -> dict[str, Any] | None:
    experts = bundle.assets.experts
    if experts is None or not _ngrams(bundle):
        return None
    return {
        "known": experts.ngrams.n_ngrams,
        "longest_text": experts.ngrams.longest_text,
        "piece": PIECE if experts.ngrams.pieces else None,
        "hash": "BLAKE2b with a digest of 8 bytes, of the UTF-8 bytes of a word, read as a little-endian "
        "signed number",
    }


def _feeds(bundle: ClassifierBundle, texts: Sequence[str]) -> Arrays:
    """Returns the inputs of texts, as a client computes them."""
    feeds: Arrays = {}
    if _network(bundle):
        ids = bundle.assets.tokenizer.encode(texts).ids
        feeds["tokens"], feeds["lengths"] = padded(ids)
    if bundle.assets.experts is not None and _ngrams(bundle):
        names = [value["name"] for value in _inputs(bundle) if value["name"].startswith("ngram_")]
        feeds |= zip(names, ngram_inputs(bundle.assets.experts.ngrams, list(texts)), strict=True)
    return feeds


def _probes(bundle: ClassifierBundle, random: np.random.Generator) -> Iterator[Probe]:
    experts = bundle.assets.experts
    phrases: list[str] = []
    if experts is not None:
        found = experts.ngrams.strongest(bundle.assets.labels.names, 5)
        phrases = [ngram for pairs in found.values() for ngram, _ in pairs]
    for texts in probe_texts(bundle.assets.tokenizer, phrases, random):
        p = predict_texts(bundle, texts)
        yield Probe(_feeds(bundle, texts), {"probabilities": p}, _choices(bundle, p))


def _choices(bundle: ClassifierBundle, p: NDArray[np.float64]) -> Arrays:
    """Returns what recurra chooses by probabilities (N, C); NaN where a rounding error could decide."""
    labels, limits = bundle.assets.labels, bundle.assets.limits
    predicted = predicted_labels(p, labels.label_kind, limits)
    if labels.label_kind == "multilabel":
        near = np.abs(p - (0.5 if limits is None else limits)) <= TOLERANCE
        return {"predicted": np.where(near, np.nan, predicted)}
    gains, least = decided(bundle)
    scores = p if gains is None else p @ gains
    best = np.partition(scores, -2, axis=1)[:, -2:]
    near = best[:, 1] - best[:, 0] <= 2 * TOLERANCE * (1.0 if gains is None else np.abs(gains).sum(0).max())
    choices: Arrays = {"predicted": np.where(near, np.nan, predicted)}
    if least is not None:
        confidence = p[np.arange(len(p)), predicted]
        near |= np.abs(confidence - least) <= TOLERANCE
        choices["answered"] = np.where(near, np.nan, confidence >= least)
    return choices


def _measure(bundle: ClassifierBundle, part: Part, run: Run, tick: Tick) -> Measure:
    """Returns the share of texts whose labels are right; for multi-label, those whose labels all are."""
    labels, texts, first = part.labels, part.texts(part.rows), 0  # each call of `texts` reads the file anew
    values = np.zeros(len(part))
    while chunk := list(islice(texts, _CHUNK)):
        order = np.argsort([len(text) for text in chunk])  # similar lengths have little padding
        for places in np.split(order, range(_BATCH, len(chunk), _BATCH)):
            found = run(_feeds(bundle, [chunk[place] for place in places]))["predicted"]
            same = found == labels[first + places]
            values[first + places] = same.all(axis=1) if same.ndim == 2 else same
            tick(len(places))
        first += len(chunk)
    several = bundle.assets.labels.label_kind == "multilabel"
    return Measure("all labels right" if several else "accuracy", float(values.mean()), len(values), values)


def _graph(bundle: ClassifierBundle) -> Graph:
    graph, experts = Graph(), bundle.assets.experts
    logits: list[Value] = []
    if _network(bundle):
        tokens = graph.input("tokens", np.int64, ["batch", "time"])
        lengths = graph.input("lengths", np.int64, ["batch"])
        network = _network_logits(graph, bundle.model, tokens, lengths)
        logits.append(_scaled(graph, network, experts.combination.recurrent if experts else 1.0))
    if experts is not None and _ngrams(bundle):
        inputs = [
            graph.input("ngram_words", np.int64, ["batch", "words"]),
            graph.input("ngram_lengths", np.int64, ["batch"]),
        ]
        if _pieces(bundle):
            inputs.append(graph.input("ngram_pieces", np.int64, ["batch", "pieces"]))
            inputs.append(graph.input("ngram_piece_lengths", np.int64, ["batch"]))
        found = ngram_logits(graph, experts.ngrams, inputs)
        if experts.combination.offsets:
            offsets = np.array(experts.combination.offsets, np.float32)
            found = graph.op("Add", found, graph.constant(offsets))
        logits.append(_scaled(graph, found, experts.combination.ngrams))
    total = logits[0] if len(logits) == 1 else graph.op("Add", *logits)
    if experts is not None and experts.combination.intercept:
        total = graph.op("Add", total, graph.constant(np.float32(experts.combination.intercept)))
    if experts is None and bundle.temperature is not None:
        total = graph.op("Div", total, graph.constant(np.float32(bundle.temperature)))
    _answers(graph, bundle, total)
    return graph


def decided(bundle: ClassifierBundle) -> tuple[NDArray[np.float32] | None, float | None]:
    """Returns what multiplies probabilities ``(B, C)`` before the largest is chosen, and a confidence.

    The first is ``(C, C)``, or None for the most probable class; the second is the probability below which
    an answer is "unsure", or None for none.
    """
    decision = bundle.assets.decision
    if decision is None:
        return None, None
    gains = decision.gains
    if gains is not None and np.ndim(gains) == 1:
        gains = np.diag(1 / np.asarray(gains, np.float64))
    return None if gains is None else np.asarray(gains, np.float32), decision.abstain


def _answers(graph: Graph, bundle: ClassifierBundle, logits: Value) -> None:
    """Adds the outputs."""
    labels = bundle.assets.labels
    dims: list[str | int] = ["batch", len(labels.names)]
    if labels.label_kind == "multiclass":
        p = graph.op("Softmax", logits, axis=1)
    elif labels.label_kind == "binary":
        both = graph.op("Concat", graph.op("Neg", logits), logits, axis=1)
        p = graph.op("Sigmoid", both)
    else:
        p = graph.op("Sigmoid", logits)
    graph.output("probabilities", p, np.float32, dims)
    if labels.label_kind == "multilabel":
        limits = graph.constant(bundle.assets.limits.astype(np.float32))
        graph.output("predicted", graph.op("GreaterOrEqual", p, limits), np.bool_, dims)
    else:
        gains, least = decided(bundle)
        values = p if gains is None else graph.op("MatMul", p, graph.constant(gains))
        graph.output("predicted", graph.op("ArgMax", values, axis=1, keepdims=0), np.int64, ["batch"])
        if least is not None:
            places = graph.op("ArgMax", values, axis=1, keepdims=1)
            confidence = graph.op("Squeeze", graph.op("GatherElements", p, places, axis=1), graph.integers(1))
            sure = graph.op("GreaterOrEqual", confidence, graph.constant(np.float32(least)))
            graph.output("answered", sure, np.bool_, ["batch"])


def _scaled(graph: Graph, logits: Value, weight: float) -> Value:
    return logits if weight == 1 else graph.op("Mul", logits, graph.constant(np.float32(weight)))


def _network_logits(graph: Graph, network: Classifier, tokens: Value, lengths: Value) -> Value:
    """Adds the logits ``(B, K)`` of the network; of an ensemble, the mean of its members'."""
    valid = layers.inside(graph, lengths, graph.size(tokens, 1))
    evidence = None
    if network.evidence is not None:
        evidence = layers.evidence(graph, network.evidence, tokens, valid)
    members = [member for member in network.members() if isinstance(member, Classifier)]
    each = [_member_logits(graph, member, tokens, lengths, valid, evidence) for member in members]
    return each[0] if len(each) == 1 else graph.op("Mean", *each)


def _member_logits(
    graph: Graph, network: Classifier, tokens: Value, lengths: Value, valid: Value, evidence: Value | None
) -> Value:
    words = tokens
    first = len(SPECIALS) + network.words
    if first < network.embedding.num_embeddings:
        rare = graph.op("GreaterOrEqual", tokens, graph.constant(np.int64(first)))
        words = graph.op("Where", rare, graph.constant(np.int64(TextTokenizer.unknown_id)), tokens)
    x = layers.embedded(graph, network.embedding, words)
    if network.bigrams is not None:
        x = graph.op("Add", x, layers.bigrams(graph, network.bigrams, tokens))
    if evidence is not None:
        x = graph.op("Concat", x, evidence, axis=2)
    steps = graph.op("Transpose", x, perm=[1, 0, 2])
    outputs, states = recurrent(graph, network.recurrent, steps, graph.cast(lengths, np.int32))
    final = last(graph, network.recurrent, states)
    rows = graph.op("Transpose", outputs, perm=[1, 0, 2])
    vector = layers.pooled(graph, network.pooling, rows, lengths, valid, final)
    return layers.linear(graph, network.head, vector)
