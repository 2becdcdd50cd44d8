"""Several processes train one model: their gradients are those of one process, and one that dies ends all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.conftest import ROOT
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


@pytest.fixture(scope="module", params=[2, 3])
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
