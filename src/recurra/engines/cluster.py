"""A Ray cluster as this process uses it: joined or started, files sent to it once, reports from it."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from recurra.engines import node
from recurra.engines.base import threads_each
from recurra.engines.joining import (
    check_address,
    last_line,
    let_speak,
    library,
    on_loopback,
    short_folder,
    signals_kept,
    use_own_token,
)
from recurra.errors import ConfigError, DataError, RecurraError
from recurra.runtime import processors

__all__ = ["Cluster", "connect", "same_results"]

_STORE = 256 << 20  # bytes of the object store of a cluster on this machine; the rest goes to its disk
_SAME_RESULTS = ("RECURRA_CHECKED_KERNELS", "RECURRA_LANES", "RECURRA_TILES")
_QUIET = {"log_to_driver": False, "logging_level": logging.CRITICAL}


def connect(jobs: int | None, address: str | None) -> tuple[Cluster, int, int]:
    """Returns a cluster, the number of runs at the same time, and the threads of each.

    A cluster is started on this machine if there is no address.

    Args:
        jobs: number of runs at the same time; None for as many as there are processors.
        address: as in `recurra.engines.open_engine`.

    Raises:
        ConfigError: there is no cluster at the address, or no node of it has processors for a run.
        DependencyError: Ray is not installed.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if "ray" in sys.modules and (ray := library()).is_initialized():  # by the program that calls
        return _joined(Cluster(ray, own=False), jobs)
    if address is None or address == "local":
        at_once = jobs or processors()
        threads = threads_each(at_once)
        return _started(at_once * threads), at_once, threads
    check_address(address)
    ray = library()  # after what its import may read was set
    with signals_kept():
        ray.init(address=address, **_QUIET)
    try:
        return _joined(Cluster(ray, own=True), jobs)
    except BaseException:
        ray.shutdown()
        raise


def _started(count: int) -> Cluster:
    """A cluster on this machine with so many processors."""
    use_own_token()
    ray = library()
    folder = Path(tempfile.mkdtemp(prefix="recurra-", dir=short_folder()))
    try:
        with signals_kept(), on_loopback():
            ray.init(
                address="local",
                num_cpus=count,
                include_dashboard=False,
                object_store_memory=_STORE,
                _temp_dir=str(folder),
                _node_ip_address="127.0.0.1",
                **_QUIET,
            )
        return Cluster(ray, own=True, folder=folder)
    except BaseException as error:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, Exception):
            raise RecurraError(f"Ray can't be started ({last_line(str(error))})") from error
        raise


def _joined(cluster: Cluster, jobs: int | None) -> tuple[Cluster, int, int]:
    """What `connect` returns, of the cluster that this process is connected with."""
    sizes = cluster.sizes()
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
    return cluster, jobs or max(1, all_of_them // threads), threads


def same_results() -> dict[str, str]:
    """Returns the environment variables of this process on which results of runs may depend."""
    return {name: os.environ[name] for name in _SAME_RESULTS if name in os.environ}


class Cluster:
    """A Ray cluster that this process is connected with.

    Files go to the object store once, and to each node that needs them once.

    Args:
        ray: the library, connected with the cluster.
        own: whether to disconnect when it is closed, which ends a cluster on this machine alone.
        folder: of such a cluster, which is then removed.

    Attributes:
        ray: the library.
        files: name of the folder of files on each node.
        alone: whether the cluster is on this machine alone, and ends with this process.
    """

    def __init__(self, ray: Any, *, own: bool, folder: Path | None = None) -> None:
        self.ray, self.alone = ray, folder is not None
        self.files = f"recurra-ray-{secrets.token_hex(8)}"
        self._own, self._folder = own, folder
        self._lock = threading.Lock()
        self._sent: dict[tuple[str, Any], node.SentPath] = {}
        self._mailbox: Any = None
        if own:
            let_speak(False)

    def sizes(self, resource: str = "CPU") -> list[int]:
        """Returns how many processors, or GPUs, each node has."""
        return [int(each["Resources"].get(resource, 0)) for each in self.ray.nodes() if each["Alive"]]

    def close(self) -> None:
        """Removes the files from the nodes, and disconnects. No run may be going on."""
        if not self.alone:
            self._leave_nothing()
        if self._own:
            self.ray.shutdown()
            let_speak(True)
        self._sent.clear()
        if self._folder is not None:
            node.forget(self.files)  # the nodes are this machine
            shutil.rmtree(self._folder, ignore_errors=True)

    def mailbox(self) -> Any:
        """Returns the actor for reports, on the node of this process; it is made when it is first needed."""
        ray = self.ray
        with self._lock:
            if self._mailbox is None:
                here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                    ray.get_runtime_context().get_node_id(), soft=False
                )
                options = {"num_cpus": 0, "scheduling_strategy": here, "max_concurrency": 10_000}
                self._mailbox = ray.remote(node.Mailbox).options(**options).remote()
            return self._mailbox

    def forget_mailbox(self) -> None:
        """Has another actor made when one is needed again: this one is lost."""
        self._mailbox = None

    def end_reports(self) -> None:
        """Ends the actor for reports, if there is one."""
        if self._mailbox is not None:
            self.ray.kill(self._mailbox)
            self._mailbox = None

    def sent(self, path: str) -> node.SentPath:
        """Returns a file or directory in the object store; it is put there unless it was before.

        Raises:
            DataError: it can't be read.
        """
        root = Path(path)
        with self._lock:
            try:
                files = (
                    [file for file in sorted(root.rglob("*")) if file.is_file()] if root.is_dir() else [root]
                )
                state = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
                if (path, state) not in self._sent:
                    self._sent[path, state] = self._put(path, root, files)
                return self._sent[path, state]
            except OSError as error:
                raise DataError(f"can't be read ({error.strerror})", where=path) from error

    def _put(self, path: str, root: Path, files: list[Path]) -> node.SentPath:
        digest = hashlib.sha256(root.name.encode("utf-8", "surrogatepass"))
        parts = []
        for file in files:
            within = "" if file == root else file.relative_to(root).as_posix()
            digest.update(f"\0{within}\0{file.stat().st_size}\0".encode("utf-8", "surrogatepass"))
            parts.append((within, node.put_pieces(file, digest)))
        return node.SentPath(path, digest.hexdigest(), parts)

    def _leave_nothing(self) -> None:
        """Removes what is left of the runs from the nodes of a cluster that goes on."""
        ray = self.ray
        with suppress(ray.exceptions.RayError):
            self.end_reports()
            forget, affinity = (
                ray.remote(num_cpus=0, max_retries=0)(node.forget),
                ray.util.scheduling_strategies,
            )
            alive = [each["NodeID"] for each in ray.nodes() if each["Alive"]]
            asked = [
                forget.options(
                    scheduling_strategy=affinity.NodeAffinitySchedulingStrategy(each, soft=False)
                ).remote(self.files)
                for each in (alive if self._sent else ())
            ]
            if asked:
                ray.wait(asked, num_returns=len(asked), timeout=10.0)
