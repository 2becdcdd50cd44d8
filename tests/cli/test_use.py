"""A saved model reads files that are described by other settings than its training file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.tasks.fit import Fitted
from recurra.tasks.registry import TASKS
from tests.conftest import Files, Run


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


@pytest.fixture
def renamed(sample: Files, tmp_path: Path) -> Path:
    """The test rows under other names of columns, between semicolons, in another encoding, and two broken."""
    path = tmp_path / "renamed.csv"
    rows = [[number, row["text"], row["label"]] for number, row in enumerate(read(sample.test))]
    rows[1:1] = [["7", "two", "fields", "more"]]
    with path.open("w", encoding="utf-16", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["number", "body", "mood"], *rows, ["8"]])
    return path


DESCRIBED = [
    *("--set", "data.text=[body]", "--set", "data.label=mood"),
    *("--set", "data.encoding=utf-16", "--skip-bad-rows"),
]


def test_evaluate_reads_a_file_by_its_own_settings_and_counts_what_it_leaves_out(
    run: Run, trained: Fitted, sample: Files, renamed: Path
) -> None:
    expected = json.loads(run("evaluate", trained.folder, sample.test, "--no-baseline", "--json").out)
    for _ in range(2):  # the second time from the cache
        ran = run("evaluate", trained.folder, renamed, "--no-baseline", *DESCRIBED, "--json")
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        assert found["model"] == expected["model"]
        (warning,) = found["warnings"]
        assert "skipped 2 broken rows" in warning
        assert "row 2" in warning
    assert expected["warnings"] == []
    strict = run("evaluate", trained.folder, renamed, "--no-baseline", *DESCRIBED[:-1])
    assert strict.code == 2, "rows in the cache were read with --skip-bad-rows"
    assert "row 2: the row has 4 fields" in strict.err


def test_predict_reads_a_file_by_its_own_settings(
    run: Run, trained: Fitted, sample: Files, renamed: Path, tmp_path: Path
) -> None:
    ran = run("predict", trained.folder, renamed)
    assert ran.code == 2
    ran = run("predict", trained.folder, renamed, *DESCRIBED, "--out", tmp_path / "a.csv")
    assert ran.code == 0, ran.err
    run("predict", trained.folder, sample.test, "--out", tmp_path / "b.csv")
    named = [row["confidence"] for row in read(tmp_path / "a.csv")]
    assert named == [row["confidence"] for row in read(tmp_path / "b.csv")]


ROWS: list[dict[str, Any]] = [
    {"ticket": "T-1", "text": "It was great", "label": "pos", "row": "a", "n": 1.5, "tags": ["x", "y"]},
    {"ticket": "=T-2", "text": "", "label": None, "row": "b", "n": None, "tags": []},
    {"ticket": "T-3", "text": "zqxj zqxk", "label": "neg, too", "row": "c", "n": 0.1234567891, "tags": None},
]


def written(path: Path) -> Path:
    """The rows as CSV, JSON lines or Parquet."""
    if path.suffix == ".csv":
        cells = [[*row.values()] for row in ROWS]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[*ROWS[0]], *cells])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    else:
        plain = [{name: cell for name, cell in row.items() if name != "tags"} for row in ROWS]
        pq.write_table(pa.Table.from_pylist(plain), path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_answers_repeat_the_columns_of_the_file(
    run: Run, trained: Fitted, tmp_path: Path, suffix: str
) -> None:
    path = written(tmp_path / f"rows.{suffix}")
    ran = run("predict", trained.folder, path, "--probabilities", "--out", tmp_path / "a.csv")
    assert ran.code == 0, ran.err
    answers = read(tmp_path / "a.csv")
    taken = [name for name in ROWS[0] if name in answers[0]]
    assert [*answers[0]] == [
        *taken,
        *("predicted_label", "confidence", "note", "p_neg", "p_pos"),
    ]
    assert set(ROWS[0]) - set(taken) <= {"tags"}
    for answer, row in zip(answers, ROWS, strict=True):
        assert answer["ticket"] == row["ticket"]
        assert answer["label"] == (row["label"] or "")
        assert answer["n"] == ("" if row["n"] is None else str(row["n"]))
        assert float(answer["confidence"]) == max(float(answer["p_neg"]), float(answer["p_pos"]))

    safe = run("predict", trained.folder, path, "--safe-csv").out
    assert "'=T-2" in safe
    plain = run("predict", trained.folder, path, "--no-columns").out
    assert plain.startswith("row,label,confidence,note\n1,")

    lines = run("predict", trained.folder, path, "--format", "jsonl").out.splitlines()
    first, second, _ = map(json.loads, lines)
    if suffix != "csv":
        assert {name: first[name] for name in taken} == {name: ROWS[0][name] for name in taken}
        assert second["n"] is None
    assert [*first] == [*taken, "predicted_label", "confidence"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_answers_repeat_the_columns_of_a_stream(
    run: Run, trained: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = written(tmp_path / f"rows.{suffix}")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert run("predict", trained.folder, "-").out == run("predict", trained.folder, path).out


def test_texts_that_say_nothing_are_marked(run: Run, trained: Fitted, tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv")
    ran = run("predict", trained.folder, path, "--out", tmp_path / "a.csv")
    assert [row["note"] for row in read(tmp_path / "a.csv")] == ["", "empty text", "no known word"]
    assert "1 answer is marked 'empty text' (first: row 2)" in ran.err + ran.out
    assert "1 answer is marked 'no known word' (first: row 3)" in ran.err + ran.out
    lines = run("predict", trained.folder, "--text", "It was", "--text", "<br/>", "--format", "jsonl").out
    assert [json.loads(line).get("note") for line in lines.splitlines()] == [None, "empty text"]


def test_broken_rows_are_skipped_in_predictions_if_asked(run: Run, trained: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("id,text\n1,good\n2\n3,bad\n", encoding="utf-8")
    assert run("predict", trained.folder, path).code == 2
    ran = run("predict", trained.folder, path, "--skip-bad-rows", "--out", tmp_path / "a.csv")
    assert ran.code == 0, ran.err
    assert [(row["row"], row["id"]) for row in read(tmp_path / "a.csv")] == [("1", "1"), ("3", "3")]
    assert "skipped 1 broken row" in ran.err + ran.out


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
@pytest.mark.parametrize("setting", ["model.units=3", "data.split_seed=2", "train.epochs=1", "task=lm"])
def test_settings_of_the_model_are_refused(
    run: Run, trained: Fitted, sample: Files, verb: str, setting: str
) -> None:
    ran = run(verb, trained.folder, sample.test, "--set", setting)
    assert ran.code == 2
    assert ran.err.startswith(f"recurra: {setting.partition('=')[0]} does not describe a file")
    assert "data.text" in ran.err


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_settings_of_a_file_exist(task: object) -> None:
    sections = task.config_class().sections()  # type: ignore[attr-defined]
    for setting in task.file_settings:  # type: ignore[attr-defined]
        section, _, key = setting.partition(".")
        assert key in sections[section].model_fields
