"""The CPU kernels on other machines: narrower vectors, no cache, no home, no Numba, several processes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from recurra.errors import BackendError
from recurra.kernels import cpu, dispatch
from recurra.kernels.cpu import compiled as compiling
from recurra.kernels.cpu import engine
from recurra.kernels.cpu import folder as folders
from recurra.kernels.cpu.compiled import compiled
from recurra.kernels.cpu.host import host, unavailable_reason

HERE = Path(__file__).parent


def run_cases(**settings: str) -> dict[str, Any]:
    """The facts that ``run_cases.py`` prints in this environment."""
    command = [sys.executable, "-W", "error", str(HERE / "run_cases.py")]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_second_process_loads_what_the_first_compiled() -> None:
    assert engine  # which compiled, or loaded, what it needs
    facts = run_cases()
    assert facts["folder"] == str(folders.cache_folder())
    assert facts["loaded"] == 2
    assert facts["compiled"] == 0
    assert facts["worst"] < 5e-6


@pytest.mark.slow
@pytest.mark.skipif(host().lanes == 4, reason="the vectors of this machine are as narrow as they come")
@pytest.mark.parametrize("lanes", [4, 8])
def test_narrower_vectors_give_the_same(lanes: int) -> None:
    facts = run_cases(RECURRA_LANES=str(lanes))
    assert facts["lanes"] == lanes
    assert facts["worst"] < 5e-6


@pytest.mark.slow
def test_no_load_or_store_is_out_of_bounds() -> None:
    facts = run_cases(RECURRA_CHECKED_KERNELS="1", RECURRA_TILES="0")
    assert facts["checked"]
    assert facts["worst"] < 5e-6
    assert facts["bf16"] == ("pairs" if host().bf16 else None)  # tiles have their own tests, pairs these
    assert facts["bf16"] is None or facts["rounded"] < 2**-8


def double(x: int) -> int:
    return 2 * x


def test_compiled_code_is_kept_in_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiling, "cache_folder", lambda: tmp_path)
    assert compiled(double)(21) == 42
    assert list(tmp_path.rglob("*.nbi"))
    again: Any = compiled(double)
    assert again(21) == 42
    assert sum(again.stats.cache_hits.values()) == 1


COMPILER = """
import sys, time
from pathlib import Path
from recurra.kernels.cpu.cache import VerifiedCache
from recurra.kernels.cpu.compiled import compiled

save = VerifiedCache.save_overload

def save_late(*arguments):  # so that others begin before there is a result
    time.sleep(0.5)
    save(*arguments)

VerifiedCache.save_overload = save_late

def double(x: int) -> int:
    return 2 * x

Path(sys.argv[1]).touch()
while not Path("go").exists():
    time.sleep(0.005)
function = compiled(double)
print(function(21), sum(function.stats.cache_misses.values()))
"""


def test_of_several_processes_one_compiles_and_the_others_wait(tmp_path: Path) -> None:
    (tmp_path / "compiler.py").write_text(COMPILER)
    environment = {**os.environ, "RECURRA_KERNEL_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "compiler.py"]
    piped: dict[str, Any] = {"cwd": tmp_path, "env": environment, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([*command, name], **piped) for name in "ab"]
    while not all((tmp_path / name).exists() or started[n].poll() for n, name in enumerate("ab")):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    answers = [process.communicate(timeout=60)[0].split() for process in started]
    assert sorted(answers) == [["42", "0"], ["42", "1"]]


def test_without_any_folder_kernels_are_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "cache_folder", lambda: None)
    function: Any = compiled(double)
    assert function(21) == 42
    assert function.stats.cache_path is None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Where kernels would be kept, asked anew; temporary files go to ``tmp_path / "temporary"``."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for name in ("RECURRA_KERNEL_CACHE", "RECURRA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return folders.cache_folder.__wrapped__


def test_the_folder_of_kernels(asked: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "tokens"))
    assert asked().parent == tmp_path / "tokens"
    monkeypatch.setenv("RECURRA_KERNEL_CACHE", str(tmp_path / "kernels"))
    assert asked().parent == tmp_path / "kernels"
    assert asked().is_dir()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are POSIX's")
def test_a_folder_that_can_not_be_written_gives_way_to_a_temporary_one(
    asked: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "file" / "cache"))
    shared = tmp_path / "temporary" / f"recurra-{os.getuid()}"
    assert asked().parent == shared
    assert shared.stat().st_mode & 0o077 == 0
    # no home is no trouble either
    monkeypatch.delenv("RECURRA_CACHE")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert asked().parent == shared
    # a stranger who owns the folder could put code there
    stranger = os.getuid() + 1
    (tmp_path / "temporary" / f"recurra-{stranger}").mkdir()
    monkeypatch.setattr(folders.os, "getuid", lambda: stranger)
    assert asked() is None
    # nor need there be a place for temporary files
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert asked() is None


def test_a_machine_without_numba_or_with_another_processor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    reason: Any = unavailable_reason.__wrapped__
    assert reason() is None
    with monkeypatch.context() as patch:
        patch.setattr("platform.machine", lambda: "riscv64")
        assert reason() == "vectors for a riscv64 processor"
    monkeypatch.setitem(sys.modules, "numba", None)
    assert reason().startswith("Numba (")


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_without_the_kernels_auto_takes_torchs_and_says_so_once(
    cell: str, problem: Any, same: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "unavailable_reason", lambda: "Numba (no module of that name)")
    dispatch._warn_once.cache_clear()
    p = problem(cell, 4, 3, 2, 5, dtype=torch.float32, lengths=[4, 2, 0])
    expected = p.solve(backend="torch")
    with pytest.warns(
        UserWarning, match=r"CPU kernels can't be used: no Numba \(no module of that name\); torch's"
    ):
        same(p.solve(), expected, 0)
    same(p.solve(), expected, 0)  # a second warning would be an error
    with pytest.raises(
        BackendError, match=r"backend 'cpu' has no Numba \(no module of that name\); use backend"
    ):
        p.solve(backend="cpu")


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes")
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("run_ddp", HERE / "run_ddp.py")
    assert spec is not None
    assert spec.loader is not None
    ddp = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ddp)
    weights = tmp_path / "weights.pt"
    command = [sys.executable, str(HERE / "run_ddp.py")]
    two = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "meeting"), str(weights)],
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in two:
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
    finally:
        for process in two:
            process.kill()
    torch.manual_seed(0)
    model = ddp.Reader()
    ddp.trained(model, slice(0, 8))
    found = torch.load(weights, weights_only=True)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
