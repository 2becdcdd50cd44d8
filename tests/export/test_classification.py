"""An exported classifier is whole: the network's layers, the n-grams, the combination, and its clients."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from recurra.config import ModelConfig
from recurra.export import layers
from recurra.export.agreement import compared
from recurra.export.classification import plan
from recurra.export.graph import Graph
from recurra.export.ngrams import ngram_inputs, ngram_logits
from recurra.export.recurrent import last, recurrent
from recurra.export.write import export_model
from recurra.layers.bigrams import BigramEmbedding
from recurra.layers.evidence import NgramEvidence
from recurra.layers.network import pooled, pooling_of, recurrent_stack
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.assets import ClassifierAssets
from recurra.tasks.classification.experts import Combination
from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.use import answers_for, load
from tests.export.conftest import NASTY, ask, client_of, run_graph, with_classes


@pytest.mark.parametrize(
    "pooling", ["last", "mean", "max", "attention", ["max", "last", "mean", "attention"]]
)
def test_poolings(pooling: Any) -> None:
    torch.manual_seed(0)
    config = ModelConfig(cell="gru", units=5, bidirectional=True, pooling=pooling)
    stack = recurrent_stack(config, 4, return_sequences=pooling != "last").eval()
    layer = pooling_of(config, stack.output_size)
    graph = Graph()
    x = graph.input("x", np.float32, ["batch", "time", 4])
    lengths = graph.input("lengths", np.int64, ["batch"])
    steps = graph.op("Transpose", x, perm=[1, 0, 2])
    outputs, states = recurrent(graph, stack, steps, graph.cast(lengths, np.int32))
    rows, final = graph.op("Transpose", outputs, perm=[1, 0, 2]), last(graph, stack, states)
    valid = layers.inside(graph, lengths, graph.size(x, 1))
    vector = layers.pooled(graph, layer, rows, lengths, valid, final)
    width = len(config.poolings) * stack.output_size
    graph.output("vector", vector, np.float32, ["batch", width])
    inputs, counts = torch.randn(4, 6, 4), torch.tensor([6, 1, 3, 0])
    with torch.inference_mode():
        expected = pooled(stack, layer, inputs, counts)
    found = run_graph(graph)({"x": inputs.numpy(), "lengths": counts.numpy()})["vector"]
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("T", [1, 2, 3, 17])
def test_pairs_and_evidence_of_tokens(T: int) -> None:
    torch.manual_seed(T)
    pairs, evidence = BigramEmbedding(50, 3), NgramEvidence(30, 400, 2)
    tokens, lengths = torch.randint(3, 30, (4, T)), torch.randint(1, T + 1, (4,))
    tokens[torch.arange(T) >= lengths[:, None]] = 0
    known = torch.cat([keys[keys >= 0] for keys in evidence.keys_of(tokens)]).unique()[::2]
    evidence.set(known.numpy(), np.random.default_rng(0).normal(size=(len(known), 2)), np.arange(1.0, 7.0))
    graph = Graph()
    ids = graph.input("tokens", np.int64, ["batch", "time"])
    counts = graph.input("lengths", np.int64, ["batch"])
    valid = layers.inside(graph, counts, graph.size(ids, 1))
    graph.output("pairs", layers.bigrams(graph, pairs, ids), np.float32, ["batch", "time", 3])
    graph.output("evidence", layers.evidence(graph, evidence, ids, valid), np.float32, ["batch", "time", 6])
    found = run_graph(graph)({"tokens": tokens.numpy(), "lengths": lengths.numpy()})
    with torch.inference_mode():
        np.testing.assert_array_equal(found["pairs"], pairs(tokens).numpy())
        np.testing.assert_allclose(found["evidence"], evidence(tokens).numpy(), atol=1e-6)
    assert np.abs(found["evidence"]).max() > 0


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(
    ("kind", "classes"), [("multiclass", 5), ("multilabel", 4), ("multiclass", 110), ("multilabel", 105)]
)
def test_logits_of_ngrams_of_few_and_of_many_classes(
    classifier: Path, kind: str, classes: int, pieces: bool
) -> None:
    model = with_classes(load(classifier), kind, classes, pieces=pieces).assets.experts.ngrams
    assert (model.centroids is not None) == (classes > 100)
    graph = Graph()
    inputs = []
    for name in ("words", "pieces")[: 1 + pieces]:
        inputs.append(graph.input(name, np.int64, ["batch", name]))
        inputs.append(graph.input(f"{name}_lengths", np.int64, ["batch"]))
    graph.output("logits", ngram_logits(graph, model, inputs), np.float32, ["batch", classes])
    texts = ["", "c1a c1b w3 w4 w3 w4 w3 c1a c1b", "unheard of", "xw1", "w1", "w5 w6 c0a " * 40]
    found = run_graph(graph)(dict(zip(graph.inputs, ngram_inputs(model, texts), strict=True)))["logits"]
    np.testing.assert_allclose(found, model.logits(texts), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "combination", [Combination(0.6, 0.8, 0.1, (0.2,)), Combination(1.3, 0.0), Combination(0.0, 0.9, -0.3)]
)
def test_experts_with_and_without_a_weight(classifier: Path, combination: Combination) -> None:
    bundle = load(classifier)
    experts = replace(bundle.assets.experts, combination=combination)
    found = plan(replace(bundle, assets=replace(bundle.assets, experts=experts)))
    graph = found.graph()
    assert graph.inputs == [value["name"] for value in found.signature["inputs"]]
    assert ("tokens" in graph.inputs) == (combination.recurrent > 0)
    assert ("ngram_words" in graph.inputs) == (combination.ngrams > 0)
    assert len(found.notes) == (combination.recurrent == 0 or combination.ngrams == 0)
    assert compared(run_graph(graph), found.probes(np.random.default_rng(1))).difference < 1e-5


def test_many_labels_have_thresholds_inside(classifier: Path) -> None:
    bundle = with_classes(load(classifier), "multilabel", 6)
    limits = (0.1, 0.9, 0.5, 0.2, 0.6, 0.3)
    bundle = replace(bundle, assets=replace(bundle.assets, thresholds=limits))
    found = plan(bundle)
    run = run_graph(found.graph())
    assert found.signature["thresholds"] == list(limits)
    for probe in found.probes(np.random.default_rng(2)):
        outputs = run(probe.inputs)
        np.testing.assert_array_equal(
            outputs["predicted"], probe.answers["probabilities"] >= np.array(limits)
        )


@dataclass(frozen=True)
class Decided(ClassifierAssets):
    """Assets with thresholds or costs, and answers that may be "unsure"."""

    decision: Any = field(default=None, kw_only=True)


@pytest.mark.parametrize("gains", [np.array([0.9, 0.1]), np.array([[0.0, -1.0], [-9.0, 0.0]]), None])
def test_thresholds_costs_and_unsure_answers(classifier: Path, gains: Any, tmp_path: Path) -> None:
    bundle = load(classifier)
    own = {f.name: getattr(bundle.assets, f.name) for f in fields(bundle.assets)}
    assets = Decided(**{**own, "decision": SimpleNamespace(gains=gains, abstain=0.55)})
    found = plan(replace(bundle, assets=assets))
    run = run_graph(found.graph())
    assert found.signature["abstain"] == 0.55
    assert [output["name"] for output in found.signature["outputs"]] == [
        "probabilities",
        "predicted",
        "answered",
    ]
    for probe in found.probes(np.random.default_rng(4)):
        p, outputs = probe.answers["probabilities"], run(probe.inputs)
        values = p if gains is None else p / gains if gains.ndim == 1 else p @ gains
        np.testing.assert_array_equal(outputs["predicted"], values.argmax(axis=1))
        np.testing.assert_array_equal(
            outputs["answered"], p[np.arange(len(p)), values.argmax(axis=1)] >= 0.55
        )


def test_the_network_alone_has_its_temperature(trained: Any) -> None:
    bundle = replace(load(trained.folder), temperature=2.5)
    found = plan(bundle)
    assert found.signature["temperature"] == 2.5
    assert found.signature["ngrams"] is None
    assert compared(run_graph(found.graph()), found.probes(np.random.default_rng(3))).difference < 1e-5


def test_the_python_client_gives_the_answers_of_predict(classifier: Path, exported: Path) -> None:
    answers = client_of(exported).Model(exported).predict(NASTY)
    records = list(answers_for(classifier, PredictRequest(texts=NASTY)).records)
    assert [answer["label"] for answer in answers] == [record["label"] for record in records]
    expected = predict_texts(load(classifier), NASTY)
    found = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_javascript_client_gives_the_answers_of_predict(classifier: Path, exported: Path) -> None:
    answers = ask(exported, "predict", NASTY)
    expected = predict_texts(load(classifier), NASTY)
    found = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_signature_is_inside_and_beside(exported: Path) -> None:
    beside = json.loads((exported / "signature.json").read_text(encoding="utf-8"))
    model = onnx.load(exported / "model.onnx")
    (inside,) = [json.loads(entry.value) for entry in model.metadata_props if entry.key == "recurra"]
    assert inside.items() <= beside.items()
    assert beside["labels"] == ["neg", "pos"]
    free = [dim.dim_param for value in model.graph.input for dim in value.type.tensor_type.shape.dim]
    assert set(free) == {"batch", "time", "words", "pieces"}
    assert beside["agreement"]["model.onnx"]["largest_difference"] < 1e-5


@pytest.mark.parametrize(
    "settings", [{"level": "subword"}, {"cut": "start", "max_tokens": 9, "start_token": False}]
)
def test_other_tokenizers(trained: Any, sample: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    from recurra.tasks.fit import fit_files
    from recurra.tasks.settings import build_config

    config = build_config(
        {
            "tokenizer": {"vocab_size": 300, **settings},
            "model": {"units": 4, "embedding": 4},
            "train": {"epochs": 1},
        }
    )
    model = fit_files(sample.train, config, tmp_path / "model", valid=sample.valid).folder
    export_model(model, tmp_path / "onnx")
    expected = predict_texts(load(model), NASTY)
    found = client_of(tmp_path / "onnx").Model().predict(NASTY)
    np.testing.assert_allclose([[*answer["probabilities"].values()] for answer in found], expected, atol=1e-6)
    answers = ask(tmp_path / "onnx", "predict", NASTY)
    np.testing.assert_allclose(
        [[*answer["probabilities"].values()] for answer in answers], expected, atol=1e-5
    )
