"""The threads that run shards."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from threading import Event, Thread, current_thread

import pytest

from recurra.kernels.cpu.threads import run_all


def test_every_task_runs_once_and_the_caller_takes_the_first() -> None:
    for threads in (1, 2, 3):
        for count in range(7):
            names: list[tuple[int, str]] = []

            def task(n: int, names: list[tuple[int, str]] = names) -> None:
                names.append((n, current_thread().name))

            run_all([partial(task, n) for n in range(count)], threads)
            assert sorted(n for n, _ in names) == list(range(count))
            assert {name for n, name in names if n % threads == 0} <= {current_thread().name}


def test_two_tasks_run_at_the_same_time() -> None:
    first, second = Event(), Event()

    def one() -> None:
        first.set()
        assert second.wait(60)

    def two() -> None:
        second.set()
        assert first.wait(60)

    run_all([one, two], 2)


@pytest.mark.parametrize("failing", [[0], [1], [0, 1], [1, 3], [2, 3]])
def test_the_first_exception_in_order_is_raised_after_all_have_ended(failing: list[int]) -> None:
    ended: list[int] = []

    def task(n: int) -> None:
        ended.append(n)
        if n in failing:
            raise ValueError(f"task {n}")

    own = [n for n in failing if n % 2 == 0]
    with pytest.raises(ValueError, match=f"task {(own or failing)[0]}"):
        run_all([partial(task, n) for n in range(4)], 2)
    assert {1, 3} <= set(ended)
    run_all([partial(ended.append, n + 10) for n in range(4)], 2)
    assert {10, 11, 12, 13} <= set(ended)


def test_callers_in_several_threads_share_the_workers() -> None:
    sums: list[int] = []

    def caller(start: int) -> None:
        for _ in range(50):
            found: list[int] = []
            run_all([partial(found.append, start + n) for n in range(5)], 3)
            sums.append(sum(found))

    callers = [Thread(target=caller, args=(start,)) for start in (0, 100, 200)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert sorted(sums) == [10] * 50 + [510] * 50 + [1010] * 50


PROGRAM = """
import os, sys
from recurra.kernels.cpu.threads import run_all
def both():
    found = []
    run_all([lambda: found.append(1), lambda: found.append(2)], 2)
    assert sorted(found) == [1, 2]
both()
if sys.argv[1] == "fork":
    child = os.fork()
    both()
    if child:
        assert os.waitpid(child, 0)[1] == 0
print("ended")
"""


@pytest.mark.parametrize(
    "how", ["exit", pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork"))]
)
def test_a_process_ends_while_its_threads_wait_actively(how: str) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    assert set(run.stdout.split()) == {"ended"}


def test_a_process_ends_at_once_after_the_first_shards() -> None:
    """A thread that is still within torch is waited for: Python would abort the process otherwise."""
    program = "import torch; from recurra.kernels.cpu import threads; threads._pool(1)"
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        assert (run.returncode, run.stderr) == (0, "")
