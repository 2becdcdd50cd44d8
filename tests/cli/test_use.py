"""A saved model reads files that are described by other settings than its training file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

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
    named = [row["p_neg"] for row in read(tmp_path / "a.csv")]
    assert named == [row["p_neg"] for row in read(tmp_path / "b.csv")]


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
