"""The engine of many machines: each run is a task of a Ray cluster, which asks for its processors."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recurra.engines import node
from recurra.engines.base import Call, Engine, OnReport, RunError, result_of, threads_each
from recurra.engines.joining import (
    check_address,
    last_line,
    let_speak,
    library,
    on_loopback,
    reason_of,
    short_folder,
    signals_kept,
    use_own_token,
)
from recurra.errors import ConfigError, DataError, RecurraError
from recurra.runtime import processors

__all__ = ["Ray", "open_ray"]

_TRIES = 2  # of a run whose own process dies
_LOST = 4  # of one whose node, or process of Ray, is lost
_STORE = 256 << 20  # bytes of the object store of a cluster on this machine; the rest goes to its disk
_PIECE = 32 << 20  # bytes of a file that are one object
_REACH = 5.0  # seconds until a machine has answered
_SAME_RESULTS = ("RECURRA_CHECKED_KERNELS", "RECURRA_LANES", "RECURRA_TILES")
_QUIET = {"log_to_driver": False, "logging_level": logging.CRITICAL}


def open_ray(jobs: int | None, address: str | None, preload: Sequence[str], lasting: bool) -> Ray:
    """Returns the engine of a Ray cluster, which is started on this machine if there is no address.

    Arguments are those of `recurra.engines.open_engine`.

    Raises:
        ConfigError: there is no cluster at the address, or no node of it has processors for a run.
        DependencyError: Ray is not installed.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if "ray" in sys.modules and (ray := library()).is_initialized():  # by the program that calls
        return _joined(ray, jobs, preload, lasting, own=False)
    alone = address is None or address == "local"
    if alone:
        use_own_token()
    else:
        check_address(str(address))
    ray = library()  # after what its import may read was set
    if alone:
        at_once = jobs or processors()
        threads = threads_each(at_once)
        folder = Path(tempfile.mkdtemp(prefix="recurra-", dir=short_folder()))
        try:
            with signals_kept(), on_loopback():
                ray.init(
                    address="local",
                    num_cpus=at_once * threads,
                    include_dashboard=False,
                    object_store_memory=_STORE,
                    _temp_dir=str(folder),
                    _node_ip_address="127.0.0.1",
                    **_QUIET,
                )
            return Ray(ray, at_once, threads, preload, lasting, own=True, folder=folder)
        except BaseException as error:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, Exception):
                raise RecurraError(f"Ray can't be started ({last_line(str(error))})") from error
            raise
    with signals_kept():
        ray.init(address=address, **_QUIET)
    try:
        return _joined(ray, jobs, preload, lasting, own=True)
    except BaseException:
        ray.shutdown()
        raise


def _joined(ray: Any, jobs: int | None, preload: Sequence[str], lasting: bool, *, own: bool) -> Ray:
    """The engine of the cluster that this process is connected with."""
    sizes = [int(each["Resources"].get("CPU", 0)) for each in ray.nodes() if each["Alive"]]
    all_of_them, largest = sum(sizes), max(sizes, default=0)
    threads = threads_each(jobs or max(1, all_of_them), all_of_them)
    if jobs is not None and "RECURRA_THREADS" not in os.environ:
        threads = max(1, min(threads, largest))
    if threads > largest:
        raise ConfigError(
            f"a run has {threads} threads, and the largest node of the cluster {largest} processors",
            where="RECURRA_THREADS",
            hint="set it to fewer",
        )
    return Ray(ray, jobs or max(1, all_of_them // threads), threads, preload, lasting, own=own)


class _Lost(Exception):  # noqa: N818 - not an error of the run
    """A node or a process of Ray was lost."""


class Ray(Engine):
    """Makes each run as a task of a Ray cluster, in a worker process beside the process of Ray.

    A run whose process dies is made once more; one whose node is lost, up to three times more. The files of a
    call go to the object store once, and to each node that needs them once.

    Args:
        ray: the library, connected with the cluster.
        at_once: number of runs at the same time.
        threads: number of threads of each, and of processors that it asks for.
        preload, lasting: as in `recurra.engines.open_engine`.
        own: whether to disconnect when the engine is closed, which ends a cluster on this machine alone.
        folder: of such a cluster, which is then removed.
    """

    def __init__(
        self,
        ray: Any,
        at_once: int,
        threads: int,
        preload: Sequence[str] = (),
        lasting: bool = False,
        *,
        own: bool,
        folder: Path | None = None,
    ) -> None:
        super().__init__(at_once, threads)
        self._ray, self._own, self._folder = ray, own, folder
        variables = {name: os.environ[name] for name in _SAME_RESULTS if name in os.environ}
        self._files = f"recurra-ray-{secrets.token_hex(8)}"
        setup = node.Setup(self._files, threads, variables, tuple(preload), lasting, version("recurra"))
        self._setup = setup.to_json()
        self._make = ray.remote(num_cpus=threads, max_retries=0)(node.make)
        self._pool = ThreadPoolExecutor(at_once)
        self._lock = threading.Lock()
        self._sent: dict[tuple[str, Any], node.SentPath] = {}
        self._running: set[Any] = set()
        self._mailbox: Any = None
        self._closed = False
        if own:
            let_speak(False)

    def submit(self, call: Call, on_report: OnReport | None = None) -> Future[Any]:
        """Sends the run to the cluster, which makes it when processors are free; see `Engine.submit`."""
        return self._pool.submit(self._run, call, on_report)

    def close(self) -> None:
        """Ends all runs, removes their files from the nodes, and disconnects."""
        if self._closed:
            return
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)  # a thread sees it within a second
        if self._folder is None:
            self._leave_nothing()
        if self._own:
            self._ray.shutdown()
            let_speak(True)
        self._sent.clear()
        if self._folder is not None:
            node.forget(self._files)  # the nodes are this machine
            shutil.rmtree(self._folder, ignore_errors=True)

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
        with self._lock:  # a file is sent once
            sent = [self._sent_path(path) for path in call.files]
            if on_report is not None and self._mailbox is None:
                self._mailbox = self._new_mailbox()
        asked = json.dumps({"function": call.function, "argument": call.argument})
        box = None if on_report is None else self._mailbox
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
                    number, record = ray.get(said)  # none is -1 before the end
                    box.reply.remote(number, bool(on_report(json.loads(record))))
                    said = box.next.remote(name)
        except ray.exceptions.RayError as error:
            said = str(error)
            if isinstance(error, ray.exceptions.RayTaskError) or "No module named" in said:
                # Errors of the function are in its answer: this is one of all runs.
                what = f"a node of the Ray cluster can't make runs ({reason_of(said)})"
                raise RecurraError(what, hint="install the same version of recurra on each") from error
            if isinstance(error, ray.exceptions.RayActorError):
                self._mailbox = None  # the next run makes another
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
            if self._folder is None:  # otherwise its processes end with the cluster
                self._ray.wait([run], timeout=_REACH)

    def _new_mailbox(self) -> Any:
        """The actor for reports, on the node of this process."""
        ray = self._ray
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        options = {"num_cpus": 0, "scheduling_strategy": here, "max_concurrency": 10_000}
        return ray.remote(node.Mailbox).options(**options).remote()

    def _sent_path(self, path: str) -> node.SentPath:
        """The file or directory in the object store, put there unless it was before."""
        root = Path(path)
        try:
            files = [file for file in sorted(root.rglob("*")) if file.is_file()] if root.is_dir() else [root]
            state = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
            if (path, state) not in self._sent:
                digest = hashlib.sha256(root.name.encode("utf-8", "surrogatepass"))
                parts = []
                for file in files:
                    within = "" if file == root else file.relative_to(root).as_posix()
                    digest.update(f"\0{within}\0{file.stat().st_size}\0".encode("utf-8", "surrogatepass"))
                    parts.append((within, list(self._pieces(file, digest))))
                self._sent[path, state] = node.SentPath(path, digest.hexdigest(), parts)
            return self._sent[path, state]
        except OSError as error:
            raise DataError(f"can't be read ({error.strerror})", where=path) from error

    def _pieces(self, file: Path, digest: Any) -> Iterator[Any]:
        with file.open("rb") as opened:
            while piece := opened.read(_PIECE):
                digest.update(piece)
                yield self._ray.put(piece)

    def _leave_nothing(self) -> None:
        """Ends the runs on a cluster that goes on, and removes their files from its nodes."""
        ray = self._ray
        with suppress(ray.exceptions.RayError):
            if self._mailbox is not None:
                ray.kill(self._mailbox)
            forget, affinity = (
                ray.remote(num_cpus=0, max_retries=0)(node.forget),
                ray.util.scheduling_strategies,
            )
            alive = [each["NodeID"] for each in ray.nodes() if each["Alive"]]
            asked = [
                forget.options(
                    scheduling_strategy=affinity.NodeAffinitySchedulingStrategy(each, soft=False)
                ).remote(self._files)
                for each in (alive if self._sent else ())
            ]
            if asked:
                ray.wait(asked, num_returns=len(asked), timeout=10.0)
