"""The whole path of forecasting on generated series: fit, report, evaluate, predict, resume, refusals."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from recurra.config import load_recipe
from recurra.tasks.fit import fit_files
from recurra.tasks.settings import build_config
from recurra.tasks.use import load
from tests.conftest import Ran, Run
from tests.tasks.forecasting.series.jena import jena_lines, spoil_wind, write_jena

SMALL = (
    "--task", "forecast", "--json",
    "--set", "model.units=6", "--set", "train.epochs=2", "--set", "train.batch_size=16",
    "--set", "train.learning_rate=0.01",
)  # fmt: skip
HOURLY = ("--set", "series.target=temp", "--set", "series.lookback=12h", "--set", "series.delay=3h")


def hourly_lines(rows: int = 400, seed: int = 1) -> list[str]:
    """Hours in parts as in the Beijing file: a number of the row, a gap of values, a category."""
    random = np.random.default_rng(seed)
    stamps = np.datetime64("2020-02-20T00") + np.arange(rows)
    temp = 10 * np.sin(2 * np.pi * np.arange(rows) / 24) + random.normal(0, 1, rows)
    lines = ["No,year,month,day,hour,pm,temp,wind"]
    for at, stamp in enumerate(stamps.tolist()):
        pm = "NA" if 50 <= at < 60 else f"{20 + 5 * temp[max(0, at - 5)]:.1f}"
        cells = [at + 1, stamp.year, stamp.month, stamp.day, stamp.hour, pm, f"{temp[at]:.2f}"]
        lines.append(",".join(map(str, [*cells, ["N", "SE"][at % 2]])))
    return lines


LINES = hourly_lines()


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series") / "hours.csv.gz"
    path.write_bytes(gzip.compress(("\n".join(hourly_lines()) + "\n").encode()))
    return path


@pytest.fixture(scope="module")
def model(series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted") / "model"
    settings = {
        "series": {"target": "temp", "lookback": "12h", "delay": "3h"},
        "model": {"units": 6},
        "train": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01},
    }
    fit_files(series, build_config(load_recipe("forecaster"), settings), out)
    return out


def found(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    answer = json.loads(ran.out.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


def test_what_a_fit_leaves_behind(model: Path) -> None:
    metrics = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["evaluated_on"] == "test"
    assert metrics["windows"] == 60 - 3
    names = [one["name"] for one in metrics["baselines"]]
    assert names == ["persistence", "the value 1 d before", "ridge regression"]
    assert len(metrics["differences"]) == 3
    assert metrics["model"]["mae"] > 0
    config = (model / "config.yaml").read_text(encoding="utf-8")
    for line in ("task: forecast", "target: temp", "delay: 3h", "step: 1h", "- month"):
        assert line in config
    assert "tokenizer:" not in config
    page = (model / "report.html").read_text(encoding="utf-8")
    for words in (
        "Forecast and truth",
        "ridge regression",
        "moving-block bootstrap",
        "No (it numbers the rows)",
    ):
        assert words in page
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "It forecasts temp, 3 h ahead, from 12 points of the last 12 h." in card
    history = list(csv.DictReader((model / "history.csv").read_text(encoding="utf-8").splitlines()))
    assert [float(row["valid_mae"]) > 0 for row in history] == [True, True]
    bundle = load(model)
    assert bundle.task == "forecast"
    assert bundle.assets.layout.features[:4] == ["pm", "temp", "pm missing", "wind N"]


def test_evaluate_gives_the_figures_of_another_file(model: Path, run: Run, tmp_path: Path) -> None:
    later = write(tmp_path / "later.csv", hourly_lines(200, seed=2))
    report = tmp_path / "page.html"
    answer = found(run("evaluate", model, later, "--json", "--report", report))
    assert answer["windows"] == 200 - 11 - 3
    assert len(answer["baselines"]) == 3
    assert "GRU on later.csv" in report.read_text(encoding="utf-8")
    # The same by hand, from the answers of predict.
    rows = list(csv.DictReader(io.StringIO(run("predict", model, later, "--all").out)))
    temp = [float(line.split(",")[6]) for line in hourly_lines(200, seed=2)[1:]]
    errors = [
        abs(float(row["temp"]) - temp[int(row["row"]) - 1 + 3]) for row in rows if int(row["row"]) + 3 <= 200
    ]
    assert np.mean(errors) == pytest.approx(answer["model"]["mae"], rel=1e-5)
    assert len(errors) == answer["windows"]


def test_predict_says_what_comes_after_the_last_row(
    model: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = hourly_lines(100)
    path = write(tmp_path / "now.csv", [lines[0], *lines[-40:]])
    ran = run("predict", model, path)
    (row,) = csv.DictReader(io.StringIO(ran.out))
    assert (row["row"], row["time"], row["for"]) == ("40", "2020-02-24 03:00:00", "2020-02-24 06:00:00")
    every = list(csv.DictReader(io.StringIO(run("predict", model, path, "--all").out)))
    assert [int(one["row"]) for one in every] == list(range(12, 41))
    assert float(every[-1]["temp"]) == pytest.approx(float(row["temp"]), rel=1e-5)
    # What a forecast sees are its last 12 rows: the same rows alone, from a pipe, give the same.
    raw = "\n".join([lines[0], *lines[-12:]]).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    (piped,) = csv.DictReader(io.StringIO(run("predict", model, "-").out))
    assert float(piped["temp"]) == pytest.approx(float(row["temp"]), rel=1e-5)
    answers = tmp_path / "answers.jsonl"
    assert found(run("predict", model, path, "--out", answers, "--json"))["rows"] == 1
    assert set(json.loads(answers.read_text(encoding="utf-8"))) == {"row", "time", "for", "temp", "filled"}


def test_memory_is_measured_over_the_steps_of_a_window(model: Path, series: Path, run: Run) -> None:
    answer = found(run("inspect", model, "memory", series, "--json"))
    assert (answer["cell"], answer["steps"]) == ("gru", 11)  # from the last of 12 points to the first
    gradient = answer["gradient"]
    low, median, high = (np.array(gradient[name]) for name in ("low", "median", "high"))
    assert median.shape == (12,)
    assert median[0] == 1
    assert 0 < median[-1] < 0.1  # a network of two epochs has not learned to remember
    assert ((low <= median) & (median <= high)).all()
    assert gradient["half"] == int(np.argmax(median <= 0.5))
    (layer,) = answer["parts"]
    weights = safetensors.numpy.load_file(model / "model.safetensors")
    (recurrent,) = (value for name, value in weights.items() if name.endswith("weight_hh_l0"))
    blocks = zip(("reset", "update", "candidate"), np.split(recurrent.astype(np.float64), 3), strict=True)
    for gate, block in blocks:
        radius = np.abs(np.linalg.eigvals(block)).max()
        assert layer["spectral_radius"][gate] == pytest.approx(radius, rel=1e-5)


def test_the_jena_file_goes_through_with_several_values_ahead(run: Run, tmp_path: Path) -> None:
    lines = jena_lines(6)
    lines[200:210] = [spoil_wind(line) for line in lines[200:210]]
    lines[450:450] = lines[420:430]
    del lines[700:706]
    path = write_jena(tmp_path / "jena.csv", lines)
    out = tmp_path / "model"
    ran = run(
        "fit", path, "--out", out, *SMALL, "--set", "series.target=T (degC)", "--set", "series.lookback=6h",
        "--set", "series.delay=1h", "--set", "series.horizon=3", "--set", "series.stride=2",
        "--recipe", "forecaster-reversed",
    )  # fmt: skip
    answer = found(ran)
    for words in (
        "-9999 in 10 cells counts as missing",
        "10 rows are copies",
        "1 gap in time: 6 rows are inserted",
    ):
        assert words in " ".join(ran.err.split())
    assert answer["unit"] == "degC"
    assert len(answer["model"]["mae_ahead"]) == 3
    rows = list(csv.DictReader(io.StringIO(run("predict", out, path).out)))
    assert [row["for"][11:] for row in rows] == ["01:00:00", "02:00:00", "03:00:00"]
    assert [row["ahead"] for row in rows] == ["1", "2", "3"]


def test_rows_without_a_time_and_files_for_each_part(run: Run, tmp_path: Path) -> None:
    wave = np.sin(np.arange(260) / 3)
    for name, part in (("train", wave[:160]), ("valid", wave[160:210]), ("test", wave[210:])):
        write(tmp_path / f"{name}.csv", ["wave", *map(str, part)])
    train, valid, test = (tmp_path / f"{name}.csv" for name in ("train", "valid", "test"))
    ran = run(
        "fit", train, "--valid", valid, "--test", test, "--out", tmp_path / "model", *SMALL, "--no-baseline",
        "--set", "series.lookback=10", "--set", "series.delay=2", "--recipe", "forecaster-plain",
    )  # fmt: skip
    answer = found(ran)
    assert answer["windows"] == 50 - 9 - 2
    assert answer["baselines"] == []
    (row,) = csv.DictReader(io.StringIO(run("predict", tmp_path / "model", tmp_path / "test.csv").out))
    assert (row["row"], row["ahead"]) == ("50", "2")


def arguments_of(series: Path, out: Path) -> list[str]:
    """Those of a fit with many checkpoints."""
    settings = (*SMALL, *HOURLY, "--no-baseline", "--set", "train.epochs=3")
    often = ("--set", "train.checkpoint_minutes=0.0005")
    return ["fit", str(series), "--out", str(out), *settings, *often]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_then_resumed_is_bit_for_bit_the_same(
    run: Run, series: Path, tmp_path: Path, number: signal.Signals
) -> None:
    uninterrupted, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-m", "recurra", *arguments_of(series, broken)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        checkpoint = broken / "training" / "checkpoint.safetensors"
        written: set[int] = set()
        while len(written) < 4:
            assert process.poll() is None
            if checkpoint.exists():
                written.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.005)
        process.send_signal(number)
        process.wait(120)
    assert run(*arguments_of(series, broken), "--resume").code == 0
    assert run(*arguments_of(series, uninterrupted)).code == 0
    weights, expected = (
        safetensors.numpy.load_file(out / "model.safetensors") for out in (uninterrupted, broken)
    )
    assert set(weights) == set(expected)
    for name in weights:
        np.testing.assert_array_equal(weights[name], expected[name])


@pytest.mark.parametrize(
    ("lines", "settings", "words"),
    [
        (LINES[:20], HOURLY, "rows, but one window needs"),
        (LINES, (), "the column to forecast is not named"),
        (LINES, ("--set", "series.target=temperature"), "names 'temperature'"),
        (LINES, (*HOURLY, "--set", "series.lookback=2x"), "'2x' is not a duration"),
        (LINES, (*HOURLY, "--set", "series.delay=90min"), "not a whole number of rows"),
        (LINES, (*HOURLY, "--set", "data.valid_fraction=0.2"), "data.valid_fraction is not used"),
        (LINES, (*HOURLY, "--pretrained", "x"), "x"),
        ([*LINES[:30], "30,2020,2,21,5,1,cold,N", *LINES[31:]], HOURLY, "'cold' in column 'temp'"),
        ([*LINES[:30], "30,2020,2,21,5,1,N", *LINES[31:]], HOURLY, "row 30: the row has 7 fields"),
        ([*LINES[:30], *LINES[31:33], LINES[30]], HOURLY, "comes after the later"),
        ([*LINES, LINES[-1].replace("SE", "N")], HOURLY, "and other values"),
        (["temp,x", *["1,2", "1,3"] * 80], HOURLY[:2], "'temp' is the same in all training rows"),
        (["temp,x", *[",2", "NA,3"] * 80], HOURLY[:2], "'temp' has no numbers"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, lines: list[str], settings: tuple[str, ...], words: str
) -> None:
    path = write(tmp_path / "bad.csv", lines)
    ran = run("fit", path, "--out", tmp_path / "model", *SMALL, *settings)
    assert ran.code == 2
    assert words in " ".join(ran.err.split())
    assert not (tmp_path / "model").exists()


def test_bad_requests_to_a_model_are_one_line(model: Path, run: Run, tmp_path: Path) -> None:
    def refusal(*arguments: object) -> str:
        ran = run("predict", model, *arguments)
        assert ran.code == 2
        return " ".join(ran.err.split())

    short = write(tmp_path / "short.csv", LINES[:8])
    assert "a forecast needs the last 12 rows, and 7 rows are given" in refusal(short)
    lacking = write(tmp_path / "lacking.csv", [line.rsplit(",", 2)[0] for line in LINES[:50]])
    assert "there is no column" in refusal(lacking)
    assert "reads rows, not --text" in refusal("--text", "x")
    assert "takes no --generate" in refusal(short, "--generate", "3")
