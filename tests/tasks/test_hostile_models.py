"""Models from anywhere: whatever their files say, a prediction is an answer or one line, at once."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recurra import store
from recurra.errors import BundleError, RecurraError
from recurra.tasks.base import PredictRequest
from recurra.tasks.fit import fit_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.use import answers_for, explain, load, summary
from tests.conftest import Run

TASKS = ("classify", "tag", "lm", "forecast")
SMALL = {"model": {"units": 4, "embedding": 4}, "train": {"epochs": 1}}


def data_of(task: str, folder: Path) -> Path:
    """A tiny file of the task."""
    words = ["good", "bad", "film", "plot"]
    if task == "tag":
        path = folder / "data.conllu"
        rows = [[f"{i + 1}\t{w}\t_\t{'ADJ' if i < 2 else 'NOUN'}" + "\t_" * 6 for i, w in enumerate(words)]]
        path.write_text("\n\n".join("\n".join(sentence) for sentence in rows * 20) + "\n\n")
    elif task == "lm":
        path = folder / "data.txt"
        path.write_text("\n".join(" ".join(words[n % 4 :]) for n in range(200)) + "\n")
    else:
        path = folder / "data.csv"
        series = task == "forecast"
        with path.open("w", newline="") as file:
            rows = [("t", "y") if series else ("text", "label")]
            rows += [(f"2024-01-{n // 24 + 1:02} {n % 24:02}:00", math.sin(n)) if series
                     else (f"a {words[n % 2]} film", words[n % 2]) for n in range(400)]  # fmt: skip
            csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a function that returns a trained model of a task."""
    folders: dict[str, Path] = {}

    def model(task: str) -> Path:
        if task not in folders:
            folder = tmp_path_factory.mktemp(task)
            own = {"series": {"target": "y", "lookback": "24 h", "horizon": 2}} if task == "forecast" else {}
            if task != "forecast":
                own = {"tokenizer": {"vocab_size": 60}} if task != "tag" else {}
            config = build_config({"task": task}, SMALL, own)
            fit_files(data_of(task, folder), config, folder / "m", baseline=False, explained=0)
            shutil.rmtree(folder / "m" / "training")
            folders[task] = folder / "m"
        return folders[task]

    return model


def seal(folder: Path) -> None:
    """Makes the manifest agree with the files."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {name: store.fingerprint(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps(manifest))


@pytest.fixture
def copy(models: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the classifier that a test may change and `seal`."""
    return Path(shutil.copytree(models("classify"), tmp_path / "m"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b"null"), ("metrics.json", b"{"), ("metrics.json", b"[]"),
        ("metrics.json", b'{"training": 3}'), ("metrics.json", b'{"training": {"data": [1]}}'),
        *(("metrics.json", b'{"temperature": %s}' % value)
          for value in (b'"x"', b"0", b"-1", b"NaN", b"Infinity", b"1e-300", b"1e300", b"true", b"[1]")),
        ("labels.json", b"\xff"), ("labels.json", b'{"label_kind": "binary", "names": [[1], [2]]}'),
        ("labels.json", b'{"label_kind": "binary", "names": ["\\ud800", "b"]}'),
        ("labels.json", b'{"label_kind": "binary", "names": {"a": 1}}'), ("labels.json", b"[" * 100_000),
        ("source.json", b"[" * 100_000), ("source.json", b"[]"), ("source.json", b'{"path": 3}'),
        ("tokenizer.json", b"{}"), ("tokenizer.json", b'{"model": {"vocab": [1]}}'),
        ("config.yaml", b"[" * 3_000), ("config.yaml", b"a: &a x\nb: *a\n"), ("config.yaml", b"\xff"),
        ("config.yaml", b"task: !!python/object:os.system x"), ("config.yaml", b"train: {seed: !!int x}"),
        ("config.yaml", b"x" * 2_000_000), ("model.safetensors", b""), ("model.safetensors", b"\xff" * 99),
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_one_line(copy: Path, run: Run, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    seal(copy)
    ran = run("predict", copy, "--text", "a good film")
    assert ran.code == 2
    assert ran.err.startswith("recurra: ")
    assert len(ran.err.splitlines()) == 1
    assert len(ran.err) < 1_000
    assert ran.out == ""


def test_a_large_network_beside_small_weights_is_refused_before_it_takes_memory(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = yaml.safe_load((copy / "config.yaml").read_text())
    values["model"].update(units=65536, layers=64)
    (copy / "config.yaml").write_text(yaml.safe_dump(values))
    seal(copy)
    # 2e12 weights: more than any machine that runs this has
    with pytest.raises(BundleError, match=r"doesn't fit the settings: .* is float32"):
        load(copy)


def test_a_token_id_far_beyond_the_vocabulary_is_refused(copy: Path) -> None:
    values = json.loads((copy / "tokenizer.json").read_text())
    values["model"]["vocab"]["zz"] = 2**31
    (copy / "tokenizer.json").write_text(json.dumps(values))
    seal(copy)
    with pytest.raises(BundleError, match="damaged vocabulary"):
        load(copy)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float16", "int64", "complex64"])
def test_weights_of_another_dtype_are_refused(copy: Path, dtype: str) -> None:
    weights = safetensors.torch.load_file(copy / "model.safetensors")
    weights["head.weight"] = weights["head.weight"].to(getattr(torch, dtype))
    safetensors.torch.save_file(weights, copy / "model.safetensors")
    seal(copy)
    with pytest.raises(BundleError, match=rf"head.weight is {dtype}"):
        load(copy)


SCALARS = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1,
        3,
        2**31,
        2**63,
        10**30,
        0.5,
        1e308,
        math.nan,
        math.inf,
        "",
        "x",
        "\x1b[2J",
        "é" * 300,
    ]
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from("abc"), SCALARS))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON value."""
    yield path
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:5]) if isinstance(value, list) else ()
    )
    for key, part in list(inner)[:40]:
        yield from places(part, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = value.copy()
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_any_value_anywhere_in_a_model_is_used_or_refused(
    models: Callable[[str], Path], tmp_path: Path, task: str, draw: st.DataObject
) -> None:
    folder = tmp_path / "m"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(models(task), folder)
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".json", ".yaml"))
    path = folder / draw.draw(st.sampled_from([name for name in names if name != "README.md"]))
    before = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else json.loads(path.read_text())
    place = draw.draw(st.sampled_from(list(places(before))))
    after = replaced(before, place, draw.draw(VALUES))
    path.write_text(yaml.safe_dump(after) if path.suffix == ".yaml" else json.dumps(after), "utf-8")
    if path.name != "manifest.json":
        seal(folder)
    file = data_of(task, tmp_path) if task == "forecast" else None
    try:
        summary(folder, Reporter())
        list(answers_for(folder, PredictRequest(file, [] if file else ["a good film"])).records)
        if task == "classify":
            explain(folder, "a good film", Reporter())
    except RecurraError as error:
        message = str(error)
        assert message.isprintable()
