"""The engine of many machines: each run is a task of a Ray cluster, which asks for its processors."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from recurra.engines import node
from recurra.engines.base import Call, Engine, OnReport, RunError, result_of
from recurra.engines.cluster import Cluster, connect, same_results
from recurra.engines.joining import reason_of
from recurra.errors import RecurraError

__all__ = ["Ray", "open_ray"]

_TRIES = 2  # of a run whose own process dies
_LOST = 4  # of one whose node, or process of Ray, is lost
_REACH = 5.0  # seconds until a machine has answered


def open_ray(jobs: int | None, address: str | None, preload: Sequence[str], lasting: bool) -> Ray:
    """Returns the engine of a Ray cluster, which is started on this machine if there is no address.

    Arguments are those of `recurra.engines.open_engine`.

    Raises:
        ConfigError: there is no cluster at the address, or no node of it has processors for a run.
        DependencyError: Ray is not installed.
    """
    cluster, at_once, threads = connect(jobs, address)
    return Ray(cluster, at_once, threads, preload, lasting)


class _Lost(Exception):  # noqa: N818 - not an error of the run
    """A node or a process of Ray was lost."""


class Ray(Engine):
    """Makes each run as a task of a Ray cluster, in a worker process beside the process of Ray.

    A run whose process dies is made once more; one whose node is lost, up to three times more. The files of a
    call go to the object store once, and to each node that needs them once.

    Args:
        cluster: where they are made.
        at_once: number of runs at the same time.
        threads: number of threads of each, and of processors that it asks for.
        preload, lasting: as in `recurra.engines.open_engine`.
    """

    def __init__(
        self, cluster: Cluster, at_once: int, threads: int, preload: Sequence[str] = (), lasting: bool = False
    ) -> None:
        super().__init__(at_once, threads)
        self._cluster, self._ray = cluster, cluster.ray
        setup = node.Setup(
            cluster.files, threads, same_results(), tuple(preload), lasting, version("recurra")
        )
        self._setup = setup.to_json()
        self._make = self._ray.remote(num_cpus=threads, max_retries=0)(node.make)
        self._pool = ThreadPoolExecutor(at_once)
        self._running: set[Any] = set()
        self._closed = False

    def submit(self, call: Call, on_report: OnReport | None = None) -> Future[Any]:
        """Sends the run to the cluster, which makes it when processors are free; see `Engine.submit`."""
        return self._pool.submit(self._run, call, on_report)

    def close(self) -> None:
        """Ends all runs, removes their files from the nodes, and disconnects."""
        if self._closed:
            return
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)  # a thread sees it within a second
        self._cluster.close()

    def _run(self, call: Call, on_report: OnReport | None) -> Any:
        died = lost = 0
        while True:
            try:
                answer = self._made(call, on_report)
            except _Lost as error:
                lost += 1
                answer = {"died": str(error)}
            else:
                died += "died" in answer
            if "died" not in answer or self._closed or died == _TRIES or lost == _LOST:
                return result_of(answer)

    def _made(self, call: Call, on_report: OnReport | None) -> dict[str, Any]:
        """Makes a run once, and returns its answer.

        Raises:
            _Lost: its node or process of Ray was lost.
            RecurraError: no run can be made.
        """
        ray, name = self._ray, secrets.token_hex(8)
        sent = [self._cluster.sent(path) for path in call.files]
        asked = json.dumps({"function": call.function, "argument": call.argument})
        box = None if on_report is None else self._cluster.mailbox()
        run = self._make.remote(self._setup, asked, sent, box, name)
        self._running.add(run)
        said = None if box is None else box.next.remote(name)
        try:
            while True:
                ready, _ = ray.wait([run] if said is None else [run, said], timeout=0.5)
                if self._closed:
                    raise RunError("it was ended")
                if run in ready:
                    return dict(json.loads(ray.get(run)))
                if said in ready and box is not None and on_report is not None:
                    number, record, _ = ray.get(said)  # none is -1 before the end
                    box.reply.remote(number, bool(on_report(json.loads(record))))
                    said = box.next.remote(name)
        except ray.exceptions.RayError as error:
            said = str(error)
            if isinstance(error, ray.exceptions.RayTaskError) or "No module named" in said:
                # Errors of the function are in its answer: this is one of all runs.
                what = f"a node of the Ray cluster can't make runs ({reason_of(said)})"
                raise RecurraError(what, hint="install the same version of recurra on each") from error
            if isinstance(error, ray.exceptions.RayActorError):
                self._cluster.forget_mailbox()
            raise _Lost(f"its node or process of Ray was lost ({type(error).__name__})") from error
        except BaseException:
            self._cancel(run)
            raise
        finally:
            self._running.discard(run)
            if box is not None:
                box.end.remote(name)

    def _cancel(self, run: Any) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):  # it has ended
            self._ray.cancel(run, force=True)
            if not self._cluster.alone:  # otherwise its processes end with the cluster
                self._ray.wait([run], timeout=_REACH)
