"""Several processes train one model: their gradients are those of one process, and one that dies ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from recurra.config import load_recipe
from recurra.errors import ConfigError, TrainingError
from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.tasks.fit import fit_files
from recurra.tasks.settings import build_config
from recurra.tasks.tagging.batches import IGNORED, Forms, TaggedBatches, TaggedSentences
from recurra.tasks.use import load
from recurra.tasks.workers import gathered
from tests.conftest import ROOT, Run
from tests.tasks.distributed_run import CASES, everything, write_files

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def alone(files: Path) -> Tensors:
    return everything(files)


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def together(files: Path, request: pytest.FixtureRequest) -> list[Tensors]:
    """What each of several processes computes."""
    size = int(request.param)
    command = [sys.executable, "-W", "error", "-m", "tests.tasks.distributed_run"]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "RECURRA_THREADS": "1"}
    (files / "store").unlink(missing_ok=True)
    processes = [
        subprocess.Popen([*command, str(rank), str(size), str(files)], env=environment, cwd=ROOT)
        for rank in range(size)
    ]
    assert [process.wait(120) for process in processes] == [0] * size
    return [safetensors.torch.load_file(files / f"gradients-{rank}.safetensors") for rank in range(size)]


def test_all_processes_have_the_same_bits(together: list[Tensors]) -> None:
    first, *others = together
    for other in others:
        assert first.keys() == other.keys()
        assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("case", CASES)
def test_the_gradients_are_those_of_one_process(case: str, alone: Tensors, together: list[Tensors]) -> None:
    expected = {name: value for name, value in alone.items() if name.startswith(f"{case}/")}
    found = {name: value for name, value in together[0].items() if name.startswith(f"{case}/")}
    assert found.keys() == expected.keys()  # a weight without a gradient has none in both
    for name, value in expected.items():
        tolerance = 1e-5 if "/trained/" in name else 1e-6
        torch.testing.assert_close(
            found[name], value, rtol=1e-5, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_the_parts_of_a_batch_are_the_batch() -> None:
    draw = np.random.default_rng(4)
    texts = Examples.from_arrays(
        [np.arange(1, length + 1) for length in draw.integers(1, 90, 64)], labels=np.arange(64)
    )
    batch = next(Batches(texts, None, 64, shuffle=True, weights=np.ones(64, np.float32)).epoch(1))
    for parts in (1, 2, 3, 8, 70):
        found = [batch.part(number, parts) for number in range(parts)]
        assert sorted(row for part in found for row in part.rows.tolist()) == list(range(64))
        assert sum(part.steps for part in found) == batch.steps
        if parts <= 8:  # the longest text is shorter than a share
            assert max(part.steps for part in found) - min(part.steps for part in found) < 90
        for part in found:
            assert part.labels is not None
            assert part.labels.tolist() == part.rows.tolist()
            for tokens, length, row in zip(part.tokens, part.lengths.tolist(), part.rows, strict=True):
                assert tokens[:length].tolist() == texts.ids(int(row)).tolist()
                assert not tokens[length:].any()


def test_words_without_a_tag_do_not_count_in_the_share_of_a_part() -> None:
    forms = Forms([7, 8], [np.array([2, 5, 3]), np.array([2, 3])])
    examples = Examples.from_arrays([np.array([1, 2, 1]), np.array([2])])
    tags = np.array([IGNORED, 1, 0, IGNORED])
    batch = next(TaggedBatches(TaggedSentences(examples, forms, tags), None, 2).epoch(0))
    parts = [batch.part(number, 2) for number in (0, 1)]
    assert (batch.size, batch.steps) == (2, 4)
    assert [(part.size, part.steps) for part in parts] == [(2, 3), (0, 1)]


LANGUAGE = (
    "--recipe", "language-model", "--no-baseline",
    "--set", "model.units=24", "--set", "model.embedding=8", "--set", "model.dropout=0.2",
    "--set", "train.epochs=12", "--set", "train.batch_size=4", "--set", "language.bptt=5",
    "--set", "train.patience=12", "--set", "train.checkpoint_minutes=0.0002",
)  # fmt: skip


def command(files: Path, out: Path, *more: str) -> list[str]:
    line = [sys.executable, "-m", "recurra", "fit", str(files / "lines.txt"), "--out", str(out), *LANGUAGE]
    return [*line, "--workers", "2", *more]


@pytest.fixture(scope="module")
def uninterrupted(files: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("whole") / "model"
    subprocess.run(command(files, out), check=True, stdout=subprocess.DEVNULL)
    return (out / "model.safetensors").read_bytes()


def children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in path.read_text(encoding="utf-8").split()]


def followers_of(process: int) -> list[int]:
    """The processes that train with ``process``; others may compile the kernels."""
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children(process)}
    return [child for child, line in lines.items() if b"recurra.tasks.workers" in line]


def stopped(files: Path, out: Path, stop: Callable[[subprocess.Popen[str]], None]) -> tuple[int, str]:
    """Begins a fit and stops it after some checkpoints; returns its exit code and what it said on stderr."""
    with subprocess.Popen(
        command(files, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        checkpoint, written = out / "training" / "checkpoint.safetensors", set[int]()
        while len(written) < 5:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            if checkpoint.exists():
                written.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.01)
        stop(process)
        _, said = process.communicate(timeout=120)
        return process.returncode, said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc")
def test_a_process_that_is_killed_ends_the_run_with_one_line_and_a_good_checkpoint(
    files: Path, uninterrupted: bytes, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "model"
    code, said = stopped(files, out, lambda process: os.kill(followers_of(process.pid)[0], signal.SIGKILL))
    assert code == 2
    assert said.startswith("recurra: process 1 of the training was ended by signal 9")
    assert said.count("\n") == 1
    other = run(*command(files, out)[3:], "--workers", "1", "--resume")
    assert other.code == 2
    assert "was made by 2 processes, now there are 1" in other.err
    assert "--workers 2" in other.err
    subprocess.run(command(files, out, "--resume"), check=True, stdout=subprocess.DEVNULL)
    assert (out / "model.safetensors").read_bytes() == uninterrupted


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc")
def test_after_ctrl_c_or_the_end_of_the_first_process_no_other_one_is_left(
    files: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    for number, expected in {signal.SIGINT: 0, signal.SIGKILL: -9}.items():
        out = tmp_path / number.name
        others: list[int] = []

        def stop(process: subprocess.Popen[str], number: int = number, others: list[int] = others) -> None:
            others += followers_of(process.pid)
            process.send_signal(number)

        code, said = stopped(files, out, stop)
        assert (code, said) == (expected, "")
        assert len(others) == 1
        while Path(f"/proc/{others[0]}/cmdline").exists() and is_alive(others[0]):
            time.sleep(0.01)
    subprocess.run(command(files, out, "--resume"), check=True, stdout=subprocess.DEVNULL)
    assert (out / "model.safetensors").read_bytes() == uninterrupted


def is_alive(process: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").split()[2] != "Z"
    return False


@pytest.mark.slow
def test_torchrun_gives_the_same_bytes(files: Path, uninterrupted: bytes, tmp_path: Path) -> None:
    out = tmp_path / "model"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    ran = subprocess.run([*torchrun, *command(files, out)[1:-2]], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert (out / "model.safetensors").read_bytes() == uninterrupted
    assert ran.stdout.count("Reading") == 1


@pytest.mark.slow
@pytest.mark.parametrize("case", ["ensemble with evidence", "tags", "series"])
def test_a_fit_by_two_processes(case: str, files: Path, tmp_path: Path) -> None:
    file, recipe, settings = CASES[case]
    minutes = {"train": {"epochs": 2, "minutes": 5.0}}
    config = build_config(load_recipe(recipe), settings, minutes)
    fitted = fit_files(files / file, config, tmp_path / "model", baseline=False, workers=2)
    training = fitted.bundle.metrics["training"]
    assert (training["workers"], training["epochs"]) == (2, 2)
    assert fitted.plan is not None
    assert not torch.distributed.is_initialized()
    assert load(tmp_path / "model").metrics["training"] == training


def test_a_process_that_fails_before_the_training_is_named_in_one_line(tmp_path: Path) -> None:
    call = {"data": str(tmp_path / "none.csv"), "config": {"task": "classify", "train": {"device": "moon"}}}
    with gathered(2, {**call, "resume": False}) as join, pytest.raises(TrainingError) as raised:
        join("cpu")
    assert "process 1 of the training has ended: there is no device 'moon'" in str(raised.value)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc")
def test_a_process_that_dies_before_it_is_connected_ends_the_run(tmp_path: Path) -> None:
    call = {"data": str(tmp_path / "none.csv"), "config": {"task": "classify"}, "resume": False}
    with gathered(2, call) as join:
        while not (others := followers_of(os.getpid())):
            time.sleep(0.01)
        os.kill(others[0], signal.SIGKILL)
        with pytest.raises(TrainingError, match="ended by signal 9"):
            join("cpu")


@pytest.mark.parametrize(("workers", "size"), [(0, 1), (3, 2)])
def test_an_impossible_number_of_processes(workers: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"RANK": "0", "WORLD_SIZE": str(size), "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="processes are asked for"), gathered(workers, {}):
        pass


@pytest.mark.parametrize(
    ("engine", "workers", "address", "complaint"),
    [
        ("inline", 2, None, "--engine: 'inline' can't train"),
        ("processes", 2, "127.0.0.1:6379", "--address: is only for --engine ray"),
        ("ray", 0, None, "workers: 0 processes are asked for"),
    ],
)
def test_an_impossible_place_of_the_processes(
    engine: str, workers: int, address: str | None, complaint: str, files: Path, tmp_path: Path
) -> None:
    place: dict[str, Any] = {"engine": engine, "workers": workers, "address": address}
    with pytest.raises(ConfigError, match=complaint):
        fit_files(files / "texts.csv", build_config(load_recipe("lstm")), tmp_path / "model", **place)


def test_processes_of_torchrun_are_not_placed_again(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="torchrun has started the processes already"):
        fit_files(files / "texts.csv", build_config(load_recipe("lstm")), tmp_path / "model", engine="ray")
