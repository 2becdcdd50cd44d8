"""Small trained models of every task, and what exported files are run with."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from recurra.config import load_recipe
from recurra.export.graph import Graph
from recurra.export.plan import Run
from recurra.export.write import export_model
from recurra.io.labels import Labels
from recurra.store import AnyBundle, save
from recurra.tasks.classification.experts import Combination
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.fit import fit_files
from recurra.tasks.settings import build_config
from recurra.tasks.use import load
from tests.conftest import Files
from tests.test_commands import REVIEWS, series, tagged

MODULES = Path(__file__).parent / "node_modules"
SMALL: dict[str, Any] = {"model": {"units": 10, "embedding": 6}, "train": {"epochs": 1, "batch_size": 8}}
NASTY = [
    "",
    " \t\n",
    "The film was GREAT &amp; the <b>cast</b> wasn't: it&#39;s 5 < 6 > 4 &notit;",
    "&lt;i&gt; #39; &#150; &#xD800; fin",
    "naïve café — ﬁne ＡＢＣ ½ ² a_b don''t ’tis rock’n’roll x’",
    "酒店很好 カタカナ ไทย 한국어 Ελλάς ΌΣΟΣ İstanbul straße ǅ",
    "😀👍🏽 ok ✌️ <pad> <unk> <start> \x00\x85\u200b\ufeff zero",
    "never a dull moment " * 60,
    "&#99999999999; &#x110000; &bogus; &amp &AMP; a&b",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the small models."""
    return tmp_path_factory.mktemp("export")


def fitted(folder: Path, name: str, data: str, recipe: str, more: dict[str, Any]) -> Path:
    (folder / data).parent.mkdir(exist_ok=True)
    config = build_config(load_recipe(recipe), SMALL, more)
    with warnings.catch_warnings():  # of matplotlib, on the few days of the series
        warnings.filterwarnings("ignore", message="AutoDateLocator")
        return fit_files(folder / data, config, folder / name, baseline=False).folder


@pytest.fixture(scope="session")
def tagger(folder: Path) -> Path:
    """A tagger with a character layer."""
    (folder / "tags.conllu").write_text(tagged(), encoding="utf-8")
    more = {"tagging": {"character_units": 5, "character_embedding": 4}}
    return fitted(folder, "tagger", "tags.conllu", "tagger", more)


@pytest.fixture(scope="session")
def language_model(folder: Path) -> Path:
    """A language model with tied weights and a projection, of two layers."""
    (folder / "book.txt").write_text("\n".join(REVIEWS), encoding="utf-8")
    return fitted(folder, "language", "book.txt", "language-model", {})


@pytest.fixture(scope="session")
def forecaster(folder: Path) -> Path:
    """A forecaster of two values."""
    (folder / "series.csv").write_text(series(), encoding="utf-8")
    more = {"series": {"target": "TEMP", "horizon": 2, "lookback": "2d", "step": "2h"}}
    return fitted(folder, "forecaster", "series.csv", "forecaster", more)


@pytest.fixture(scope="session")
def classifier(folder: Path, sample: Files) -> Path:
    """The default recipe, small, with the weights of both experts set so that both count."""
    small = {
        "tokenizer": {"vocab_size": 400, "max_tokens": 80},
        "model": {
            "units": 8,
            "embedding": 6,
            "evidence": 4_000,
            "bigrams": 100,
            "words": 150,
            "members": 2,
            "pieces": True,
        },
        "train": {"epochs": 1},
    }
    config = build_config(load_recipe("default"), small)
    bundle = load(fit_files(sample.train, config, folder / "fitted", valid=sample.valid).folder)
    experts = replace(bundle.assets.experts, combination=Combination(0.6, 0.8, 0.1, (0.2,)))
    save(replace(bundle, assets=replace(bundle.assets, experts=experts)), folder / "classifier")
    return folder / "classifier"


@pytest.fixture(scope="session")
def exported(classifier: Path, folder: Path) -> Path:
    """The classifier as ONNX."""
    export_model(classifier, folder / "classifier-onnx")
    return folder / "classifier-onnx"


def run_graph(graph: Graph) -> Run:
    """A function that runs a graph in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.model({}).SerializeToString(), options)
    return lambda inputs: dict(zip(graph.outputs, session.run(graph.outputs, inputs), strict=True))


def with_classes(
    bundle: AnyBundle, kind: str, classes: int, weight: float = 0.0, *, pieces: bool = False
) -> AnyBundle:
    """The bundle with an n-gram model of other classes; the network counts with ``weight``."""
    random = np.random.default_rng(0)
    words = [f"w{number}" for number in range(60)]
    labels = np.arange(classes * 6) % classes
    texts = [" ".join([*random.choice(words, 5), f"c{label}a", f"c{label}b"]) for label in labels]
    truth = labels if kind == "multiclass" else (np.eye(classes)[labels] > 0).astype(np.float32)
    experts = replace(
        bundle.assets.experts,
        ngrams=NgramModel(pieces=pieces).fit(texts, truth, kind, classes),
        combination=Combination(weight, 1.1, 0.0 if kind == "multiclass" else 0.2, (0.1,) * classes),
    )
    names = Labels(tuple(f"class {number:03}" for number in range(classes)), kind)
    return replace(bundle, assets=replace(bundle.assets, labels=names, experts=experts))


def node(script: Path, *arguments: object) -> str:
    """The output of a script run by Node; skips the test without Node or the npm packages of the tests."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    require_packages()
    command = ["node", str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=script.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(folder: Path, method: str, *arguments: object) -> Any:
    """The answer of a method of the client in JavaScript."""
    file = folder.parent / f"{folder.name}-{method}.json"
    file.write_text(json.dumps(arguments), encoding="utf-8")
    return json.loads(node(Path(__file__).parent / "ask.mjs", folder, method, file))


def require_packages() -> None:
    if not MODULES.is_dir():
        pytest.skip("no npm packages (npm install --prefix tests/export)")


def client_of(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("client", folder / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
