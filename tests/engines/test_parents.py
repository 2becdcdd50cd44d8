"""The processes of an engine end with the process that started them, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recurra.directories import locked
from recurra.runtime import end_with_parent
from tests.conftest import Files, Run

posix = pytest.mark.skipif(os.name != "posix", reason="Windows does not tell when a parent ends")

PARENT = """
import os, sys, time
from recurra.engines import workers
process = workers.WorkerProcess({**os.environ}, ["recurra.comparison.worker"])
print(process._process.pid, flush=True)
time.sleep(float(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""


def exists(process: int) -> bool:
    """Whether a process runs; the child of a process that ended is collected by another one."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@posix
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "seconds"), [(signal.SIGKILL, 0.0), (signal.SIGTERM, 0.0), (signal.SIGKILL, 4.0)]
)
def test_a_worker_ends_with_its_parent(number: signal.Signals, seconds: float) -> None:
    command = [sys.executable, "-c", PARENT, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert parent.stdout.readline() == "ready\n"
        assert exists(worker)
        parent.send_signal(number)
    limit = time.monotonic() + 60
    while exists(worker) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not exists(worker)


@posix
def test_a_process_whose_parent_has_ended_already_ends_at_once() -> None:
    child = os.fork()
    if child == 0:
        end_with_parent(os.getpid())  # not its parent
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_second_comparison_in_one_directory_is_refused(sample: Files, run: Run, tmp_path: Path) -> None:
    with locked(tmp_path / "c"):
        ran = run("compare", sample.train, "--recipes", "lstm,gru", "--out", tmp_path / "c")
    assert ran.code == 2
    assert "is being written by another run" in ran.err
    assert not (tmp_path / "c").exists()
