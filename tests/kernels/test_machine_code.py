"""Machine code that is linked without Numba: the same answers, and what is damaged is compiled anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from recurra.kernels.cpu import folder as folders
from recurra.kernels.cpu import machine_code
from recurra.kernels.cpu.machine_code import Functions, address, functions, link_file

ANSWERS = """
import sys
import torch
from recurra import LSTM
from recurra.kernels.rowwise import linear_of_rows, pool_rows

torch.manual_seed(0)
layer = LSTM(3, 5, bidirectional=True)
with torch.no_grad():
    outputs, _ = layer(torch.randn(1, 40, 3))
    pooled = pool_rows(outputs, torch.tensor([40]), ["mean", "max"])
    print(linear_of_rows(pooled, torch.ones(2, 20), torch.zeros(2)).tolist(), outputs.sum().item())
print("numba" in sys.modules)
"""
Answer = Callable[[], tuple[str, bool]]


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    """Returns what a process with a copy of the kernels' cache answers, and whether it has loaded Numba."""
    functions()
    kept = folders.cache_folder()
    assert kept is not None
    shutil.copytree(kept, tmp_path / kept.name, ignore=shutil.ignore_patterns("*.lock"))
    environment = {**os.environ, "RECURRA_KERNEL_CACHE": str(tmp_path)}

    def run() -> tuple[str, bool]:
        done = subprocess.run(
            [sys.executable, "-c", ANSWERS], env=environment, check=True, capture_output=True, text=True
        )
        answers, loaded = done.stdout.splitlines()
        return answers, loaded == "True"

    return run


def test_a_process_with_a_cache_answers_without_numba_and_alike(answer: Answer, tmp_path: Path) -> None:
    without = answer()
    assert not without[1]
    (kept,) = tmp_path.rglob(machine_code.NAME)
    content = kept.read_bytes()
    kept.write_bytes(content[:-1])
    anew = answer()
    assert anew == (without[0], True)
    link_file(kept)  # it was written anew
    assert answer() == without


def test_a_file_that_was_cut_or_changed_is_refused(tmp_path: Path) -> None:
    functions()
    folder = folders.cache_folder()
    assert folder is not None
    content = (folder / machine_code.NAME).read_bytes()
    path = tmp_path / "copy"
    path.write_bytes(content)
    link_file(path)
    for harmed in (b"", content[:100], content[:-1], content + b"x", content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(harmed)
        with pytest.warns(UserWarning, match="is damaged .* compiling anew"), pytest.raises(OSError):
            link_file(path)
        assert not path.exists()


def test_code_that_another_process_can_not_link_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / machine_code.NAME
    machine_code._keep(path, machine_code._Code({"attend": ("attend", 4)}, [b"no object file"]))
    assert list(tmp_path.iterdir()) == []


def test_functions_take_addresses() -> None:
    found: Functions = functions()
    x = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    weight, bias = np.array([[10.0, 1.0]], np.float32), np.array([0.5], np.float32)
    outputs = np.zeros((2, 1), np.float32)
    found.linear(address(x), address(weight), address(bias), 2, 2, 1, address(outputs))
    np.testing.assert_array_equal(outputs, [[12.5], [34.5]])
