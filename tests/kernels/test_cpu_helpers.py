"""Processes that compile kernels beside another: what they compile, and that they end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba")

from recurra.kernels import cpu
from recurra.kernels.cpu import engine, helpers, machine_code
from recurra.kernels.cpu import folder as folders
from recurra.kernels.cpu.folder import cached_functions
from recurra.kernels.cpu.plan import plan_for

PACKAGE = "recurra.kernels.cpu"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The helpers that a test begins, with a cache in ``tmp_path``; it ends without any."""
    monkeypatch.setenv("RECURRA_KERNEL_CACHE", str(tmp_path))
    monkeypatch.setattr(helpers, "_begun", set())
    monkeypatch.setattr(helpers, "processors", lambda: 2)
    helpers.stop()  # those of this process's own compilation
    yield helpers._running
    helpers.stop()
    assert helpers._running == []


def compiled_functions() -> set[str]:
    """The compiled functions of the modules that are imported, as ``module.function``."""
    found = set()
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{PACKAGE}."):
            for value in vars(module).values():
                kept: Any = getattr(value, "_cache", None)
                if getattr(value, "__module__", None) == name and getattr(kept, "cache_path", None):
                    found.add(f"{name.removeprefix(f'{PACKAGE}.')}.{value.__name__}")
    return found


def test_the_plan_names_what_an_import_compiles() -> None:
    assert engine
    plan = plan_for("engine")
    assert len(plan.functions) == len(set(plan.functions)) > 20
    assert set(plan.functions) <= compiled_functions()
    others = compiled_functions() - set(plan.functions)
    assert not {name.partition(".")[0] for name in others} & set(plan.modules)
    assert sorted(plan.opposite) == sorted(plan.modules)
    assert plan.opposite != plan.modules
    for module in plan.modules:  # each comes after those that it imports, in both orders
        needed = set(plan_for(module).modules) - {module}
        assert needed <= set(plan.modules[: plan.modules.index(module)])
        assert needed <= set(plan.opposite[: plan.opposite.index(module)])


def test_a_helper_of_the_recurrent_cells_needs_no_torch() -> None:
    source = Path(engine.__file__).parent
    for module in plan_for("engine").modules:  # torch takes two seconds to load
        text = (source / f"{module}.py").read_text(encoding="utf-8")
        assert not re.search(r"^(import|from) torch", text, re.MULTILINE), module


def test_a_helper_fills_the_cache(begun: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    folder = folders.cache_folder.__wrapped__()
    assert folder is not None
    helpers.begin("simple_rnn", folder, count=2)
    assert len(begun) == 2
    helpers.begin("simple_rnn", folder)
    assert len(begun) == 2  # once in a process
    assert [helper.wait(timeout=60) for helper in begun] == [0, 0]
    assert cached_functions(folder) == {"simple_rnn.activate", "simple_rnn.differentiate"}


def test_a_second_helper_of_a_number_leaves_the_first_alone(tmp_path: Path) -> None:
    from filelock import FileLock

    command = [sys.executable, "-m", "recurra.kernels.precompile", "simple_rnn", "0", tmp_path, os.getpid()]
    with FileLock(tmp_path / "helper-0.lock"):
        subprocess.run(list(map(str, command)), check=True, timeout=60)
    assert cached_functions(tmp_path) == set()


def test_there_is_no_helper_on_one_processor_or_without_a_cache(
    begun: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(helpers, "processors", lambda: 1)
    helpers.begin("simple_rnn", tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(folders, "cache_folder", lambda: None)
    monkeypatch.delitem(sys.modules, f"{PACKAGE}.autograd", raising=False)
    assert cpu.to_be_compiled("lstm") == len(plan_for("autograd", "addressed").functions)
    assert cpu.to_be_compiled("a cell of one's own") == 0
    cpu.compile_ahead("lstm")
    assert begun == []


def ended(pid: int) -> bool:
    """Whether a process ends within ten seconds."""
    for _ in range(1000):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


PARENT = """
import os, signal, sys, time
from pathlib import Path
from recurra.kernels.cpu import folder, helpers

helpers.processors = lambda: 2
folder = folder.cache_folder()
helpers.begin("engine", folder, count=2)
while not list(folder.glob("**/*.lock")):
    time.sleep(0.01)
print(*(helper.pid for helper in helpers._running), flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("end", ["killed", "interrupted"])
def test_helpers_end_with_their_process(end: str, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, end],
        env={**os.environ, "RECURRA_KERNEL_CACHE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        pids = list(map(int, parent.stdout.readline().split()))
        if end == "interrupted":
            os.killpg(parent.pid, signal.SIGINT)  # as the terminal does on Ctrl-C
    assert len(pids) == 2
    assert parent.returncode != 0
    assert all(map(ended, pids))


DAMAGED = """
import warnings
import torch
from recurra import LSTM

torch.manual_seed(0)
layer, x = LSTM(3, 5, backend="cpu"), torch.randn(2, 4, 3)
with warnings.catch_warnings(record=True) as said:
    outputs, _ = layer(x)
assert [str(one.message)[:36] for one in said] == ["the cache of compiled kernels is dam"]
layer.backend = "reference"
torch.testing.assert_close(outputs, layer(x)[0], rtol=0, atol=1e-6)
"""


def test_callers_in_the_cache_go_on_with_a_function_that_was_compiled_anew(tmp_path: Path) -> None:
    folder = folders.cache_folder()
    assert folder is not None
    machine_code.functions()
    assert cpu.to_be_compiled("lstm") == 0
    kept = tmp_path / folder.name
    shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.lock"))
    (inner,) = kept.rglob("products.multiply-*.nbc")
    inner.write_bytes(inner.read_bytes()[:-1])
    environment = {**os.environ, "RECURRA_KERNEL_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", DAMAGED], env=environment, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def test_numba_is_imported_at_the_first_call() -> None:
    code = "import sys, recurra; recurra.LSTM(3, 4); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
