"""A fit that is killed or interrupted goes on, and ends in the same bytes as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from recurra.tasks.registry import task_named
from tests.conftest import Files, Run

SETTINGS = (
    "--recipe", "lstm", "--no-baseline",
    "--set", "model.units=24", "--set", "model.dropout=0.2", "--set", "model.recurrent_dropout=0.2",
    "--set", "train.epochs=3", "--set", "train.batch_size=4", "--set", "train.checkpoint_minutes=0.0005",
)  # fmt: skip


def arguments(sample: Files, out: Path) -> list[str]:
    files = [sample.train, "--valid", sample.valid, "--test", sample.test, "--out", out]
    return [*map(str, ["fit", *files]), *SETTINGS]


def stopped_by(number: signal.Signals, sample: Files, out: Path) -> int:
    """Start a fit in its own process and signal it once it has trained a while; gives its exit code."""
    command = [sys.executable, "-m", "recurra", *arguments(sample, out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        checkpoint = out / "training" / "checkpoint.safetensors"
        written: set[int] = set()
        while len(written) < 4:  # the one before the first step, and a few more
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            if checkpoint.exists():
                written.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.01)
        process.send_signal(number)
        return process.wait(120)


@pytest.fixture(scope="module")
def uninterrupted(sample: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "model"
    subprocess.run(
        [sys.executable, "-m", "recurra", *arguments(sample, out)], check=True, stdout=subprocess.DEVNULL
    )
    return out


def same_model(one: Path, other: Path) -> None:
    a, b = (safetensors.numpy.load_file(folder / "model.safetensors") for folder in (one, other))
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert (one / "labels.json").read_bytes() == (other / "labels.json").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_killed_then_resumed_is_bit_for_bit_the_same(
    sample: Files, uninterrupted: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "model"
    assert stopped_by(signal.SIGKILL, sample, out) == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    assert "--resume" in run("predict", out, "--text", "x").err
    anew = run(*arguments(sample, out))
    assert anew.code == 2
    assert "holds an unfinished training" in anew.err
    command = [sys.executable, "-m", "recurra", *arguments(sample, out), "--resume"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    same_model(out, uninterrupted)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_keeps_the_best_model_and_resumes_to_the_same(
    sample: Files, uninterrupted: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "model"
    assert stopped_by(signal.SIGINT, sample, out) == 0
    assert run("predict", out, "--text", "It was great").code == 0
    refused = run(*arguments(sample, out), "--resume", "--set", "model.units=25")
    assert refused.code == 2
    assert "units" in refused.err
    command = [sys.executable, "-m", "recurra", *arguments(sample, out), "--resume"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    same_model(out, uninterrupted)


def test_who_stops_the_baseline_has_trained_nothing_and_can_start_again(
    sample: Files, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    stopping = replace(task_named("classify"), fit_baseline=stopped)
    monkeypatch.setattr("recurra.tasks.classification.task.TASK", stopping)
    out = tmp_path / "model"
    quick = ("--recipe", "lstm", "--set", "model.units=4", "--set", "train.epochs=1")
    ran = run("fit", sample.train, "--out", out, *quick)
    assert ran.code == 130
    assert "nothing was trained yet, and nothing is kept" in ran.err
    assert not out.exists()
