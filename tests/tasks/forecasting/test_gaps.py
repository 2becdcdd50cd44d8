"""What is missing or unknown in the windows of a series is said, and never forecast from silently."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from recurra.tasks.fit import fit_files
from recurra.tasks.forecasting.estimator import Forecaster
from recurra.tasks.settings import build_config
from recurra.tasks.use import load
from tests.conftest import Run

LOOKBACK = 12


def lines(rows: int = 60, **cells: list[str]) -> list[str]:
    """An hourly series with a column of numbers and one of words; ``cells`` replace columns."""
    stamps = [
        str(stamp).replace("T", " ") for stamp in np.datetime64("2022-01-01T00:00") + np.arange(rows) * 60
    ]
    columns = {
        "time": stamps,
        "y": [f"{100 + 10 * np.sin(at / 4):.3f}" for at in range(rows)],
        "x": [f"{at * 7 % 11}" for at in range(rows)],
        "wind": [("N", "E", "S")[at * 5 % 3] for at in range(rows)],
        **cells,
    }
    return [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gaps")
    settings = {
        "task": "forecast",
        "series": {"target": "y", "lookback": LOOKBACK, "delay": 2},
        "model": {"units": 4},
        "train": {"epochs": 1},
    }
    fit_files(write(folder / "train.csv", lines(200)), build_config(settings), folder / "m", baseline=False)
    return folder / "m"


@pytest.mark.parametrize("column", ["y", "x", "wind"])
@pytest.mark.parametrize("blank", ["", "NA"])
def test_a_column_that_is_missing_in_the_whole_window(
    model: Path, run: Run, tmp_path: Path, column: str, blank: str
) -> None:
    ran = run("predict", model, write(tmp_path / "now.csv", lines(**{column: [blank] * 60})))
    assert len(ran.err.splitlines()) == 1
    if column == "y":
        assert ran.code == 2
        assert "no value of 'y' is known in the 12 rows up to row 60" in ran.err
        assert ran.out == ""
    else:
        assert ran.code == 0
        assert f"{column!r} is missing in the whole window of row 60" in ran.err
        (row,) = csv.DictReader(io.StringIO(ran.out))
        assert np.isfinite(float(row["y"]))


def test_forecasts_without_a_known_target_are_empty(model: Path, run: Run, tmp_path: Path) -> None:
    rows = lines(y=["" if 20 <= at < 40 else str(at) for at in range(60)])
    path = write(tmp_path / "now.csv", rows)
    blind = {
        row for row in range(LOOKBACK, 61) if all(20 < before <= 40 for before in range(row - 11, row + 1))
    }
    ran = run("predict", model, path, "--all")
    assert f"no forecast from {len(blind)} rows, the last is row {max(blind)}" in " ".join(ran.err.split())
    answers = list(csv.DictReader(io.StringIO(ran.out)))
    assert {int(answer["row"]) for answer in answers if answer["y"] == ""} == blind
    ran = run("predict", model, path, "--all", "--format", "jsonl")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert {record["row"] for record in records if record["y"] is None} == blind
    for record in records:  # 3 columns, of which one lacks cells
        gone = sum(20 < before <= 40 for before in range(record["row"] - 11, record["row"] + 1))
        assert record["filled"] == pytest.approx(gone / 36, abs=1e-4)


def test_forecasts_repeat_the_columns_that_are_asked_for(model: Path, run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "now.csv", lines(y=[str(at) for at in range(60)]))
    plain = list(csv.DictReader(io.StringIO(run("predict", model, path, "--all").out)))
    ran = run("predict", model, path, "--all", "--keep", "wind,y", "--out", tmp_path / "kept.csv")
    assert ran.code == 0, ran.err
    kept = list(csv.DictReader(io.StringIO((tmp_path / "kept.csv").read_text())))
    assert [*kept[0]][:3] == ["row", "wind", "y"]
    assert [row["predicted_y"] for row in kept] == [row["y"] for row in plain]
    assert [row["y"] for row in kept] == [str(int(row["row"]) - 1) for row in plain], "cells of the row"
    assert "'rain', which is not a column" in run("predict", model, path, "--keep", "rain").err


def test_rows_that_the_file_lacks_are_counted(model: Path, run: Run, tmp_path: Path) -> None:
    rows = lines()
    del rows[49:60]
    ran = run("predict", model, write(tmp_path / "now.csv", rows))
    assert "the window of row 49: 11 of 12 rows are not in the file" in " ".join(ran.err.split())
    assert len(list(csv.DictReader(io.StringIO(ran.out)))) == 1


def test_unknown_words_are_named(model: Path, run: Run, tmp_path: Path) -> None:
    winds = ["NW"] * 30 + ["N"] * 29 + ["SW"]
    ran = run("predict", model, write(tmp_path / "now.csv", lines(wind=winds)))
    assert "column 'wind': 'SW' in 1 row is unknown from training" in ran.err  # NW is in no window
    ran = run("predict", model, write(tmp_path / "now.csv", lines(wind=winds)), "--all")
    assert "column 'wind': 'NW', 'SW' in 31 rows" in ran.err


def test_a_whole_table_says_nothing(model: Path, run: Run, tmp_path: Path) -> None:
    ran = run("predict", model, write(tmp_path / "now.csv", lines()), "--all")
    assert (ran.code, ran.err) == (0, "")


def test_the_estimator_warns(model: Path) -> None:
    forecaster = Forecaster(target="y")
    forecaster.bundle_ = load(model, "forecast")
    hours = np.datetime64("2022-01-01T00:00", "us") + np.arange(40) * np.timedelta64(1, "h")
    table = {"time": hours, "y": np.sin(np.arange(40.0)), "x": np.full(40, np.nan), "wind": ["N"] * 40}
    with pytest.warns(
        UserWarning, match="'x' is missing in the whole window of 29 rows, the first is row 12"
    ):
        forecasts = forecaster.predict(table)
    assert np.isfinite(forecasts[11:]).all()
