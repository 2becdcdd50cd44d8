"""A whole comparison, each run a process: figures, files, going on, and bad input in one line."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from recurra.comparison.arms import parse_arms
from recurra.comparison.pool import WORKER, Failed, run_all
from recurra.comparison.rounds import Study
from recurra.comparison.runs import Job, Run, Store, append_line
from recurra.comparison.study import compare_files, parse_sizes
from recurra.engines import ENGINES, open_engine
from tests.conftest import SMALL, Files
from tests.conftest import Run as Command
from tests.page import Page

TINY = {
    "tokenizer": {**SMALL["tokenizer"], "max_tokens": 12},
    "model": {**SMALL["model"], "backend": "reference"},  # every run would load the kernels anew
    "train": {**SMALL["train"], "epochs": 1},
}
ARMS = "lstm,gru+recurrent-dropout"


class Done(NamedTuple):
    folder: Path
    files: Files


def study(**more: object) -> Study:
    return Study(parse_arms(ARMS), "lstm", **{"seeds": 2, "settings": (TINY,), **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(sample: Files, tmp_path_factory: pytest.TempPathFactory) -> Done:
    out = tmp_path_factory.mktemp("compared") / "out"
    found = compare_files(
        sample.train,
        study(sizes=(100, 0)),
        out,
        valid=sample.valid,
        test=sample.test,
        jobs=1,
        command="recurra compare x",
    )
    assert found.runs == 11
    assert not found.interrupted
    page = Page(found._repr_html_())  # of a notebook
    assert page.tags == ["iframe"]
    assert ("iframe", "srcdoc", (out / "report.html").read_text(encoding="utf-8")) in page.attributes
    return Done(out, sample)


def test_all_that_is_written(done: Done) -> None:
    comparison = json.loads((done.folder / "comparison.json").read_text(encoding="utf-8"))
    arms = {(arm["arm"], arm["training_rows"]): arm for arm in comparison["arms"]}
    assert set(arms) == {(a, n) for a in ("lstm", "gru+recurrent-dropout", "n-grams") for n in (100, 300)}
    for (arm, rows), figures in arms.items():
        assert len(figures["accuracies"]) == figures["seeds"] == (1 if (arm, rows) == ("n-grams", 300) else 2)
        assert 0 <= figures["accuracy"] <= 1
        assert figures["seconds"] > 0
        assert figures["memory_bytes"] > 50 * 2**20
    judged = arms["gru+recurrent-dropout", 300]
    low, high = judged["difference_interval"]
    assert low <= judged["difference"] <= high
    difference = judged["accuracy"] - arms["lstm", 300]["accuracy"]
    assert judged["difference"] == pytest.approx(difference)
    assert set(comparison["verdicts"]) == {"100", "all"}
    with (done.folder / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows_ = list(csv.DictReader(file))
    assert len(rows_) == 11
    assert {row["best_epoch"] for row in rows_ if row["arm"] == "lstm"} == {"1"}


def test_the_report(done: Done) -> None:
    page = Page((done.folder / "report.html").read_text(encoding="utf-8"))
    for words in (
        "LSTM and GRU + recurrent dropout on train.csv", "80 test rows", "Learning curves", "95% intervals",
        "Trained on all 300 rows", "Trained on 100 rows", "N-gram baseline", "recurra compare x",
        "gru+recurrent-dropout.model.recurrent_dropout", "Method",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.tags.count("svg") == 2
    assert "not measured" not in page.text


def test_going_on_makes_the_missing_run_and_ends_the_same(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.folder, out)
    runs = out / "runs.jsonl"
    lines = runs.read_text(encoding="utf-8").splitlines(keepends=True)
    gone = next(line for line in lines if '"arm":"lstm"' in line and '"size":0' in line)
    runs.write_text("".join(line for line in lines if line != gone), encoding="utf-8")
    files = done.files
    compare_files(files.train, study(sizes=(100, 0)), out, valid=files.valid, test=files.test, jobs=1)
    before, after = (
        Run.model_validate_json(line).model_dump(exclude={"seconds", "cpu_seconds", "memory"})
        for line in (gone, runs.read_text(encoding="utf-8").splitlines()[-1])
    )
    assert after == before


def test_other_data_or_settings_are_refused(done: Done, run: Command) -> None:
    files = done.files
    common = ("compare", files.train, "--out", done.folder, "--recipes", ARMS, "--sizes", "100,all")
    for more, words in (
        (("--seeds", "2"), "data, arms differ"),  # the sample's settings and test file left out
        (("--seeds", "7", "--test", files.test), "seeds"),
    ):
        ran = run(*common, *more)
        assert ran.code == 2
        assert "holds another comparison" in ran.err
        assert words in ran.err
        assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--recipes", "lstm,gruu"), "did you mean gru?"),
        (("--recipes", "lstm"), "name two recipes"),
        (("--recipes", "lstm,lstm+pretrained"), "give --pretrained EMB"),
        (("--recipes", "lstm,gru", "--against", "bi-lstm"), "name one of lstm, gru"),
        (("--recipes", "lstm,gru", "--seeds", "1"), "give at least 2"),
        (("--recipes", "lstm,gru", "--sizes", "0,all"), "write 250,1000,all"),
        (("--recipes", "lstm,gru", "--set", "model.unit=3"), "did you mean model.units?"),
        (("--recipes", "lstm,lstm+model.units=none"), "model.units"),
        (("--recipes", "lstm,gru", "--set", "recipe=gru"), "name the recipes to compare in --recipes"),
        (("--recipes", "lstm,gru", "--test", "empty.csv"), "empty"),
        (("--recipes", "lstm,gru", "--test", "missing.csv"), "missing.csv"),
        (("--recipes", "lstm,lstm+pretrained", "--pretrained", "missing"), "missing"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Command,
    sample: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("text,label\n", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    ran = run("compare", sample.train, *options, "--jobs", "1")
    assert ran.code == 2
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def a_job(files: Files, **settings: object) -> Job:
    layers = (TINY, {"data": {"format": "csv"}}, settings)
    return Job(
        arm="lstm",
        size=0,
        rows=300,
        seed=1,
        settings=layers,
        train=files.train,
        valid=files.valid,
        test=files.test,
    )


def test_a_run_that_diverges_does_not_take_the_others_along(sample: Files) -> None:
    wild = {
        "train": {**TINY["train"], "optimizer": "sgd", "learning_rate": 100, "clip_norm": None, "epochs": 3}
    }
    wild["model"] = {**TINY["model"], "cell": "simple_rnn", "activation": "relu"}
    with open_engine("processes", 1, preload=[WORKER]) as engine:
        results = list(run_all([a_job(sample, **wild), a_job(sample)], engine))
    assert [type(result) for result in results] == [Failed, Run]
    assert isinstance(results[0], Failed)
    assert "nan" in results[0].reason or "inf" in results[0].reason


def test_a_worker_that_cannot_start_says_why(sample: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.engines.workers._WORKER", "import recurra.no_such_module")
    with open_engine("processes", 1) as engine:
        results = list(run_all([a_job(sample)], engine))
    assert isinstance(results[0], Failed)
    assert "no_such_module" in results[0].reason


@pytest.mark.slow
def test_every_engine_gives_the_same_run_to_the_byte(sample: Files) -> None:
    found = []
    for name in ENGINES:
        with open_engine(name, 1, preload=[WORKER]) as engine:
            (result,) = run_all([a_job(sample)], engine)
        assert isinstance(result, Run)
        found.append(result.model_dump_json(exclude={"seconds", "cpu_seconds", "memory"}))
    assert found[1:] == found[:1] * (len(found) - 1)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_ends_the_workers(sample: Files, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = [f"{section}.{key}={value}" for section, keys in TINY.items() for key, value in keys.items()]
    # Longer runs than elsewhere: the first look, after six runs, may end the study before Ctrl-C.
    settings += ["train.epochs=20", "train.patience=20"]
    options = [part for one in settings for part in ("--set", one)]
    typed = [
        "compare",
        sample.train,
        "--recipes",
        ARMS,
        "--seeds",
        "40",
        "--jobs",
        "1",
        "--out",
        out,
        *options,
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "from recurra.cli.main import main; main()", *map(str, typed)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    runs = out / "runs.jsonl"
    # The last line may be that of a run which is not counted yet; the first is that of the baseline.
    while not (runs.is_file() and runs.read_bytes().count(b"\n") >= 3) and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    done = runs.read_bytes().count(b"\n")
    comparison = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert comparison["interrupted"]
    assert comparison["runs"] == done < 80
    assert "interrupted" in Page((out / "report.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize("after", [1, 2, 3])
def test_ctrl_c_between_two_writes_leaves_files_that_agree(
    after: int, sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def add(store: Store, run: Run) -> None:
        nonlocal written
        append_line(store.folder / "runs.jsonl", run.model_dump_json())
        written += 1
        if written == after:  # the row is in the file, and not yet in memory
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "add", add)
    out = tmp_path / "out"
    options = {"valid": sample.valid, "test": sample.test, "jobs": 1, "engine": "inline"}
    if after == 1:  # the baseline only: there is nothing to report
        with pytest.raises(KeyboardInterrupt, match="1 finished run is kept: the same command resumes"):
            compare_files(sample.train, study(), out, **options)  # type: ignore[arg-type]
        assert not (out / "comparison.json").exists()
        return
    compared = compare_files(sample.train, study(), out, **options)  # type: ignore[arg-type]
    assert compared.interrupted
    assert compared.runs == (out / "runs.jsonl").read_bytes().count(b"\n") == after


def test_sizes_are_read_in_order() -> None:
    assert parse_sizes("1000, all,250,250") == [250, 1000, 0]


@pytest.mark.data
@pytest.mark.slow
def test_real_texts_are_compared(run: Command, data_folder: Path, tmp_path: Path) -> None:
    zh = data_folder / "chnsenticorp"
    ran = run(
        "compare", zh / "train.jsonl", "--valid", zh / "validation.jsonl", "--test", zh / "test.jsonl",
        "--recipes", "lstm,lstm+model.pooling=mean", "--seeds", "2", "--sizes", "1000",
        "--out", tmp_path / "out", "--jobs", "1", "--json", "--set", "tokenizer.max_tokens=40",
        "--set", "train.epochs=4", "--set", "train.learning_rate=0.01",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    comparison = json.loads(ran.out)
    assert comparison["measured_on"] == "869 test rows"  # 331 of 1,200 texts occur in the training file
    last, mean, ngrams = (arm["accuracy"] for arm in comparison["arms"])
    assert mean > last
    assert mean > 0.7
    assert ngrams > 0.7
