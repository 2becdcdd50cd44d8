"""What a training asks of a cluster, and how its end is put in words; `test_cluster.py` trains on one."""

from __future__ import annotations

from typing import Any

import pytest

from recurra.engines import ray_train
from recurra.errors import ConfigError


class Nodes:
    """A cluster with so many processors and GPUs on each node."""

    def __init__(self, processors: list[int], gpus: list[int]) -> None:
        self.resources = {"CPU": processors, "GPU": gpus}

    def sizes(self, resource: str = "CPU") -> list[int]:
        return self.resources[resource]


def reserved(processors: list[int], gpus: list[int], workers: int, threads: int, device: str) -> Any:
    nodes: Any = Nodes(processors, gpus)
    return ray_train._reserved(nodes, workers, threads, device)


def test_processes_get_as_many_threads_as_let_all_of_them_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_THREADS", raising=False)
    assert reserved([8, 8], [0, 0], 2, 8, "cpu") == (8, False)
    assert reserved([8, 8], [0, 0], 3, 5, "cpu") == (4, False)  # one node has two of them
    assert reserved([0, 1, 1], [0, 0, 0], 2, 1, "cpu") == (1, False)
    with pytest.raises(ConfigError, match=r"17 processes with 1 processor each .* which have 8 \+ 8"):
        reserved([8, 8], [0, 0], 17, 1, "cpu")
    monkeypatch.setenv("RECURRA_THREADS", "5")
    with pytest.raises(ConfigError, match=r"3 processes with 5 processors each .*give 2 or fewer"):
        reserved([8, 8], [0, 0], 3, 5, "cpu")


def test_each_process_gets_a_gpu_if_it_is_to_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_THREADS", raising=False)
    assert reserved([8, 8], [1, 1], 2, 4, "auto") == (4, True)
    assert reserved([8, 8], [1, 1], 2, 4, "cuda") == (4, True)
    assert reserved([8, 8], [1, 1], 2, 4, "cpu") == (4, False)
    assert reserved([8, 8], [1, 0], 2, 4, "auto") == (4, False)
    with pytest.raises(ConfigError, match=r"2 processes need a GPU each, and the cluster has 1"):
        reserved([8, 8], [1, 0], 2, 4, "cuda")


class HealthError(Exception):
    """As Ray Train raises it for a process that has ended."""

    health_check_failure = None


class GroupError(Exception):
    """As Ray Train raises it for several processes."""

    def __init__(self, said: str, failures: dict[int, Exception]) -> None:
        super().__init__(said)
        self.worker_failures = failures


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            GroupError(
                "a\nb", {0: RuntimeError("left alone"), 2: HealthError("(node_ip='10.0.0.7', pid=3)")}
            ),
            "process 2 of the training, on 10.0.0.7, has ended: it was killed, perhaps",
        ),
        (RuntimeError("The actor died unexpectedly\n\tpid: 3"), "a process of the training has ended"),
        (
            RuntimeError("Traceback:\n  ModuleNotFoundError: No module named 'recurra'\nend"),
            "a node of the Ray cluster can't train (ModuleNotFoundError: No module named 'recurra'); install",
        ),
        (RuntimeError("worse\nit timed out\n"), "Ray Train has ended the training (it timed out)"),
    ],
)
def test_an_end_is_one_line_with_its_cause(error: Exception, said: str) -> None:
    found = str(ray_train._reason([error]))
    assert found.startswith(said)
    assert "\n" not in found


class Busy:
    """Ray whose processors others use for a while; the group that is reserved is this object too."""

    def __init__(self, waits: int) -> None:
        self.util, self.waits, self.removed = self, waits, False

    def placement_group(self, bundles: list[dict[str, int]]) -> Busy:
        return self

    def wait(self, seconds: float) -> bool:
        self.waits -= 1
        return self.waits < 0

    def remove_placement_group(self, group: Busy) -> None:
        self.removed = group is self


@pytest.mark.parametrize(("waits", "said"), [(0, 0), (1, 1), (5, 1)])
def test_waiting_for_processors_is_told_once_and_they_are_given_back(waits: int, said: int) -> None:
    told: list[int] = []
    ray: Any = Busy(waits)
    ray_train._wait_for_room(ray, [{"CPU": 1}], lambda: told.append(1))
    assert len(told) == said
    assert ray.removed
