"""`recurra inspect MODEL explain FILE --out` and `recurra.explain`: a page, lines, and what both refuse."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import recurra
from recurra.errors import BundleError, ConfigError, DataError
from recurra.tasks.fit import Fitted
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import explain as explain_one
from tests.conftest import Files, Run


def test_a_file_as_a_page_with_lines(run: Run, trained: Fitted, sample: Files, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    ran = run("inspect", trained.folder, "explain", sample.test, "--out", out, "--texts", 12, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["of"] == 80
    assert sum(words["rows"] for words in result["classes"]) == 12
    assert result["deletion"]["words"] == 24
    lines = [json.loads(line) for line in out.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 12
    assert [line["row"] for line in lines] == sorted({line["row"] for line in lines})
    texts = [row["text"] for row in csv.DictReader(io.StringIO(sample.test.read_text(encoding="utf-8")))]
    one = explain_one(trained.folder, texts[lines[0]["row"] - 1], Reporter())
    assert lines[0]["label"] == one["label"]
    assert [word for word, _ in lines[0]["words"]] == [part["text"] for part in one["parts"]]
    page = out.read_text(encoding="utf-8")
    assert "12 of 80 texts were explained" in page
    assert "Deleting the strongest word" in page
    assert f"<strong>{lines[0]['label']}</strong>" in page


def test_texts_from_python(trained: Fitted, tmp_path: Path) -> None:
    found = recurra.explain(
        trained.folder, ["It was great.", "It was dull.", ""], out=tmp_path / "lines.jsonl"
    )
    assert [row.row for row in found.rows] == [1, 2, 3]
    assert found.of == 3
    assert [path.name for path in tmp_path.iterdir()] == ["lines.jsonl"]
    assert found.model_dump()["classes"]


def test_faults(run: Run, trained: Fitted, sample: Files, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no rows"):
        recurra.explain(trained.folder, [])
    with pytest.raises(ConfigError, match="texts"):
        recurra.explain(trained.folder, ["a"], texts=0)
    ran = run("inspect", trained.folder, "explain", sample.test, "--out", tmp_path / "page.png")
    assert ran.code == 2
    assert ran.err.endswith("give a name that ends in .html or .jsonl\n")
    ran = run("inspect", trained.folder, "explain", tmp_path / "no.csv", "--out", tmp_path / "page.html")
    assert ran.code == 2
    assert not list(tmp_path.iterdir())
    assert "only valid with memory" in run("inspect", trained.folder, "explain", "good", "--texts", 3).err
    ran = run("inspect", trained.folder, "words", "good", "--set", "data.text=[a]")
    assert ran.code == 2


def test_a_task_without_explanations_is_refused() -> None:
    model = recurra.LanguageModel(units=4, embedding=4, epochs=1)
    model.fit(["a b c"] * 20)
    with pytest.raises(BundleError, match="can't be explained"):
        recurra.explain(model, ["a b"])
