"""`recurra export`: every task as ONNX and torch.export, compared, measured, written whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import recurra
from recurra.errors import ConfigError, DependencyError, OutputError
from recurra.export import agreement, libraries, registry
from recurra.export.agreement import compared
from recurra.export.plan import Arrays, Measure, Probe
from recurra.export.write import cost_in_words
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.experts import Combination
from recurra.tasks.fit import Fitted
from recurra.tasks.language.scores import next_tokens
from recurra.tasks.use import answers_for, load
from tests.conftest import ROOT, Files, Run
from tests.export.conftest import ask, client_of, run_graph

TASKS = ["classifier", "tagger", "language_model", "forecaster"]
SENTENCES = ["I don't like the film, was great!", "qzxv", "the " * 30, "😀 x" + "y" * 90]


@pytest.mark.parametrize("name", TASKS)
def test_a_model_of_each_task_as_onnx(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, run: Run
) -> None:
    model = request.getfixturevalue(name)
    ran = run("export", model, "--out", tmp_path / "onnx", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["agreement"]["model.onnx"]["largest_difference"] < 1e-5
    assert result["files"] == {
        path.name: path.stat().st_size for path in sorted((tmp_path / "onnx").iterdir())
    }
    assert {"model.onnx", "signature.json", "README.md", "client.py", "client.mjs"} <= set(result["files"])
    readme = (tmp_path / "onnx" / "README.md").read_text(encoding="utf-8")
    signature = json.loads((tmp_path / "onnx" / "signature.json").read_text(encoding="utf-8"))
    for value in (*signature["inputs"], *signature["outputs"]):
        assert f"| `{value['name']}` | {value['type']} |" in readme
    assert "largest difference" in readme


@pytest.mark.slow
def test_a_program_of_torch_is_loaded_without_recurra(forecaster: Path, tmp_path: Path, run: Run) -> None:
    ran = run("export", forecaster, "--to", "torch-export", "--out", tmp_path / "torch", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["agreement"]["program.pt2"]["largest_difference"] < 1e-5
    script = (
        "import sys, torch\n"
        "module = torch.export.load(sys.argv[1]).module()\n"
        "assert not any(name.startswith('recurra') for name in sys.modules)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", script, tmp_path / "torch" / "program.pt2"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)


@pytest.mark.slow
def test_a_network_with_lengths_as_a_program_of_torch(trained: Fitted, tmp_path: Path) -> None:
    result = recurra.export_model(trained.folder, tmp_path / "torch", to="torch-export")
    assert result["agreement"]["program.pt2"]["largest_difference"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_the_module_of_each_task_gives_the_answers_before_it_is_exported(
    name: str, request: pytest.FixtureRequest
) -> None:
    plan = registry.plan_of(load(request.getfixturevalue(name)))
    module = plan.program().eval()
    names = [value["name"] for value in plan.signature["outputs"]]

    def call(inputs: Arrays) -> Arrays:
        with torch.no_grad():
            found = module(*(torch.from_numpy(value) for value in inputs.values()))
        return dict(zip(names, (value.numpy() for value in found), strict=True))

    probes = list(plan.probes(np.random.default_rng(5)))[:-1]
    assert [list(probe.inputs) for probe in probes] == [[v["name"] for v in plan.signature["inputs"]]] * len(
        probes
    )
    assert compared(call, probes).difference < 1e-5


def test_what_8_bits_cost_is_measured_on_labelled_rows(
    classifier: Path, sample: Files, tmp_path: Path, run: Run
) -> None:
    ran = run("export", classifier, "--out", tmp_path / "onnx", "--int8", "--data", sample.test, "--json")
    assert ran.code == 0, ran.err
    measures = json.loads(ran.out)["measures"]
    exact = json.loads(run("evaluate", classifier, sample.test, "--no-baseline", "--json").out)
    assert measures["model.onnx"]["value"] == pytest.approx(exact["model"]["accuracy"])
    assert measures["model.int8.onnx"]["rows"] == 80
    assert "8 bits change the accuracy by" in ran.err
    files = {name: (tmp_path / "onnx" / name).stat().st_size for name in measures}
    assert files["model.int8.onnx"] < files["model.onnx"]
    without = run("export", classifier, "--out", tmp_path / "onnx", "--int8")
    assert "what 8 bits cost was not measured" in without.out


@pytest.mark.parametrize(
    ("name", "data", "measure"),
    [
        ("tagger", "tags.conllu", "accuracy"),
        ("language_model", "book.txt", "bits per token"),
        ("forecaster", "series.csv", "mean absolute error"),
    ],
)
def test_measures_of_the_other_tasks_are_those_of_evaluate(
    name: str, data: str, measure: str, request: pytest.FixtureRequest, folder: Path, tmp_path: Path, run: Run
) -> None:
    model = request.getfixturevalue(name)
    found = recurra.export_model(model, tmp_path / "onnx", data=folder / data)["measures"]["model.onnx"]
    assert found["measure"] == measure
    evaluated = json.loads(run("evaluate", model, folder / data, "--no-baseline", "--json").out)
    expected = {
        "tagger": lambda: evaluated["model"]["words"]["accuracy"],
        "language_model": lambda: evaluated["network"]["bits"],
        "forecaster": lambda: evaluated["model"]["mae"],
    }[name]()
    assert found["value"] == pytest.approx(expected, rel=1e-4)


def test_clients_of_a_tagger(tagger: Path, tmp_path: Path) -> None:
    recurra.export_model(tagger, tmp_path / "onnx")
    records = list(answers_for(tagger, PredictRequest(texts=SENTENCES)).records)
    found = [
        word
        for words in client_of(tmp_path / "onnx").Model(tmp_path / "onnx").tag(SENTENCES)
        for word in words
    ]
    assert [word["word"] for word in found] == [record["word"] for record in records]
    expected = [record["probability"] for record in records]
    np.testing.assert_allclose([word["probability"] for word in found], expected, atol=2e-6)
    script = [word for words in ask(tmp_path / "onnx", "tag", SENTENCES) for word in words]
    assert [(word["word"], word["tag"]) for word in script] == [(word["word"], word["tag"]) for word in found]


def test_clients_of_a_language_model_go_on_from_states(
    language_model: Path, tmp_path: Path, run: Run
) -> None:
    ran = run("export", language_model, "--out", tmp_path / "onnx")
    assert "without the n-grams that answer beside it: perplexity" in " ".join(ran.out.split())
    bundle = load(language_model)
    model = client_of(tmp_path / "onnx").Model(tmp_path / "onnx")
    ids = model.encode("the film was")
    log_p, _ = model.next_tokens(ids)
    state = None
    for number in ids:  # token by token, with the state
        one, state = model.next_tokens([number], state)
    np.testing.assert_allclose(one, log_p, atol=1e-5)
    p = next_tokens(bundle.model, np.array(ids))  # of the network alone, which is exported
    np.testing.assert_allclose(np.exp(log_p), p, atol=1e-5)
    best = bundle.assets.tokenizer.word(int(p.argmax()))
    assert model.generate("the film was", 1)[0] in (best, "<start>")
    assert ask(tmp_path / "onnx", "generate", "the film was", 4) == model.generate("the film was", 4)


def test_clients_of_a_forecaster(forecaster: Path, folder: Path, tmp_path: Path) -> None:
    recurra.export_model(forecaster, tmp_path / "onnx")
    signature = json.loads((tmp_path / "onnx" / "signature.json").read_text(encoding="utf-8"))
    count = signature["window"]["rows"]
    assert [column["name"] for column in signature["columns"][:2]] == ["TEMP", "PRES"]
    lines = (folder / "series.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = []
    for line in lines[-count:]:
        time, temperature, pressure = line.split(",")
        rows.append({"PRES": float(pressure), "TEMP": float(temperature)} | calendar(time))
    table = [[row[column["name"]] for column in signature["columns"]] for row in rows]
    last = rows[-1]["TEMP"]
    records = answers_for(forecaster, PredictRequest(folder / "series.csv")).records
    expected = [record["TEMP"] for record in records]
    found = client_of(tmp_path / "onnx").Model(tmp_path / "onnx").forecast(table, last)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    np.testing.assert_allclose(ask(tmp_path / "onnx", "forecast", table, last), expected, rtol=1e-6)


def calendar(time: str) -> dict[str, float]:
    stamp = np.datetime64(time)
    day, year = stamp.astype("datetime64[D]"), stamp.astype("datetime64[Y]")
    length = (year + 1).astype("datetime64[D]") - year.astype("datetime64[D]")
    shares = {"day": (stamp - day) / np.timedelta64(1, "D"), "year": (stamp - year) / length}
    return {
        f"{wave} of the {period}": float(function(2 * np.pi * share))
        for period, share in shares.items()
        for wave, function in (("sine", np.sin), ("cosine", np.cos))
    }


def test_nothing_is_left_of_an_export_that_gives_other_answers(
    classifier: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "TOLERANCE", -1.0)
    ran = run("export", classifier, "--out", tmp_path / "onnx")
    assert ran.code == 2
    assert ran.err.startswith("recurra: the exported model gives other answers than recurra: they differ by")
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_another_answer_is_noticed() -> None:
    answer = np.array([[0.25, np.nan], [-np.inf, 1000.0]])
    probes = [Probe({"x": np.zeros((2, 3))}, {"p": answer})]
    right = np.array([[0.25, 7.0], [-np.inf, 1000.01]], np.float32)
    assert compared(lambda inputs: {"p": right}, probes).difference == pytest.approx(1e-5, rel=0.1)
    for wrong in (np.nan, np.inf):
        found = np.where(answer == 0.25, wrong, right)
        assert compared(lambda inputs, found=found: {"p": found}, probes).difference == np.inf
    with pytest.raises(OutputError, match="shape"):
        compared(lambda inputs: {"p": right[:1]}, probes)


def test_a_directory_of_other_files_is_kept_and_an_export_is_replaced(
    classifier: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine", encoding="utf-8")
    ran = run("export", classifier, "--out", tmp_path / "notes")
    assert ran.code == 2
    assert "holds other files than an exported model" in ran.err
    assert (tmp_path / "notes" / "a.txt").read_text(encoding="utf-8") == "mine"
    for _ in range(2):
        assert run("export", classifier, "--out", tmp_path / "onnx", "--quiet").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "onnx"]


def test_faults_are_one_line(
    classifier: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("export", tmp_path / "none").err.startswith(
        f"recurra: {tmp_path / 'none'}: there is no such model"
    )
    ran = run("export", classifier, "--to", "torch-export", "--int8", "--out", tmp_path / "o")
    assert ran.err == "recurra: --int8 is for ONNX; use --to onnx\n"
    ran = run("export", classifier, "--out", tmp_path / "o", "--data", tmp_path / "missing.csv")
    assert ran.code == 2
    assert not (tmp_path / "o").exists()
    with pytest.raises(ConfigError, match="there is no form"):
        recurra.export_model(classifier, tmp_path / "o", to="tflite")  # type: ignore[arg-type]
    monkeypatch.setattr(libraries.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"needs onnx; pip install 'recurra\[export\]'"):
        recurra.export_model(classifier, tmp_path / "o")


def test_ngrams_alone_have_nothing_for_8_bits(classifier: Path, tmp_path: Path) -> None:
    bundle = load(classifier)
    experts = replace(bundle.assets.experts, combination=Combination(0.0, 1.0))
    alone = replace(bundle, assets=replace(bundle.assets, experts=experts))
    with pytest.raises(ConfigError, match="no network"):
        recurra.export_model(alone, tmp_path / "onnx", int8=True)
    assert not list(tmp_path.iterdir())
    assert (
        recurra.export_model(alone, tmp_path / "onnx")["agreement"]["model.onnx"]["largest_difference"] < 1e-5
    )


def test_bfloat16_is_exported_as_float32_with_a_note(classifier: Path) -> None:
    bundle = load(classifier)
    bundle.model.recurrent.precision = "bfloat16"
    plan = registry.plan_of(bundle)
    assert "in recurra in bfloat16" in plan.notes[0]
    assert bundle.model.recurrent.precision == "bfloat16", "the caller's model was changed"
    probes = plan.probes(np.random.default_rng(0))
    graph = plan.graph()
    assert compared(run_graph(graph), probes).difference < 1e-5


def test_an_estimator_is_exported_from_python(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = recurra.TextClassifier(cell="gru", units=4, embedding=4, epochs=1)
    model.fit(["a great film", "a dull film"] * 10, ["pos", "neg"] * 10)
    recurra.export_model(model, tmp_path / "onnx")
    (found,) = client_of(tmp_path / "onnx").Model(tmp_path / "onnx").predict(["a great film"])
    expected = model.predict_proba(["a great film"])[0]
    np.testing.assert_allclose(list(found["probabilities"].values()), expected, atol=1e-6)


def test_the_cost_of_8_bits_has_an_interval() -> None:
    exact, rounded = np.ones(100), np.r_[np.ones(90), np.zeros(10)]
    words = cost_in_words(Measure("accuracy", 1.0, 100, exact), Measure("accuracy", 0.9, 100, rounded))
    assert words == "8 bits change the accuracy by -0.1000 (95% interval -0.1591 to -0.0409)"


def test_the_default_directory_is_beside_the_model(
    tagger: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("export", tagger, "--quiet").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tagger-onnx"]


def test_the_packages_of_the_clients_are_those_of_the_tests() -> None:
    packages = json.loads((ROOT / "tests" / "export" / "package.json").read_text(encoding="utf-8"))[
        "dependencies"
    ]
    text = (ROOT / "src" / "recurra" / "export" / "client" / "client.mjs").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if "npm install" in line]
    assert set(line.split()[3:]) == set(packages)
