"""A network that does not fit into memory is refused before it is built, with a figure and what fits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recurra.config import Config, updated
from recurra.errors import TrainingError
from recurra.tasks import budget, fit
from recurra.tasks.budget import memory_errors_in_one_line
from tests.conftest import Files, Run

GIGABYTE = 10**9


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 2 GB of free memory."""
    monkeypatch.setattr(budget, "free_memory", lambda: 2 * GIGABYTE)


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("setting", ["units=60000", "units=[9000, 9000]", "embedding=65536"])
@pytest.mark.parametrize("task", ["classify", "lm", "tag", "forecast"])
def test_a_network_too_large_is_refused_in_one_line_and_nothing_is_left(
    sample: Files, run: Run, tmp_path: Path, setting: str, task: str
) -> None:
    data = sample.train
    if task == "tag":
        data = tmp_path / "tags.tsv"
        data.write_text("the\tDET\nfilm\tNOUN\n\na\tDET\nplot\tNOUN\n\n" * 20)
    if task == "forecast":
        data = tmp_path / "series.csv"
        data.write_text(
            "t,y\n" + "".join(f"2024-01-{1 + n // 24:02} {n % 24:02}:00,{n % 7}\n" for n in range(300))
        )
    own = ["--target", "y", "--set=series.lookback=24 h"] if task == "forecast" else []
    if setting.startswith("embedding"):
        if task == "forecast":
            return  # it has none
        own.append("--set=tokenizer.vocab_size=30000" if task != "tag" else "--set=model.units=9000")
    out = tmp_path / "m"
    ran = run("fit", data, "--task", task, "--out", out, f"--set=model.{setting}", *own)
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "training needs about" in ran.err
    assert "GB are free" in ran.err
    assert not out.exists()


@pytest.mark.usefixtures("free")
def test_the_advised_units_fit(sample: Files, small_config: Config, tmp_path: Path) -> None:
    config = updated(small_config, {"model": {"units": 60_000}})
    with pytest.raises(TrainingError, match=r"model\.units=\d+ fits") as refused:
        fit.fit_files(sample.train, config, tmp_path / "m", baseline=False)
    units = int(str(refused.value).split("model.units=")[1].split()[0])
    # 4 gates, 9 copies, 4 bytes: the weights of the recurrent product alone
    assert 0.2 * 2 * GIGABYTE < 4 * units**2 * 9 * 4 <= 2 * GIGABYTE


@pytest.mark.usefixtures("free")
def test_a_batch_too_large_for_memory_is_refused(sample: Files, run: Run, tmp_path: Path) -> None:
    sizes = ["--set=model.units=2000", "--set=train.batch_size=10000", "--set=train.optimizer=sgd"]
    ran = run("fit", sample.train, "--out", tmp_path / "m", *sizes)
    assert ran.code == 2
    assert "train.batch_size" in ran.err


@pytest.mark.slow
def test_the_estimate_is_that_of_a_training(sample: Files, tmp_path: Path) -> None:
    # Peak memory of a fit with many weights, less that of the same fit with few.
    script = """
import sys
from pathlib import Path
from recurra.runtime import peak_memory
from recurra.tasks.budget import training_bytes
from recurra.tasks.fit import fit_files
from recurra.tasks.settings import build_config
for units in (8, 600):
    config = build_config({"recipe": "lstm"}, {"model": {"units": units}, "train": {"epochs": 1}})
    out = Path(sys.argv[2]) / str(units)
    fitted = fit_files(Path(sys.argv[1]), config, out, baseline=False, explained=0)
    print(peak_memory(), training_bytes(fitted.bundle.model, config.train))
"""
    data = tmp_path / "few.csv"
    data.write_text("\n".join(sample.train.read_text().splitlines()[:33]) + "\n")
    environment = {**os.environ, "RECURRA_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, data, tmp_path]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (peak_few, few), (peak, many) = ([int(word) for word in line.split()] for line in ran.stdout.splitlines())
    # The rest is the memory of the kernels, and what the allocator keeps.
    assert 0.4 < (many - few) / (peak - peak_few) < 1.6


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError(),
        RuntimeError("CPUAllocator: can't allocate memory"),
    ],
)
def test_an_allocation_that_fails_is_one_line(error: Exception) -> None:
    with pytest.raises(TrainingError, match="memory ran out"), memory_errors_in_one_line():
        raise error


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="another"), memory_errors_in_one_line():
        raise RuntimeError("another")
