"""Processes that train one model together, started by this one or all of them by torchrun."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.distributed

from recurra.engines.member import Member
from recurra.errors import ConfigError, DependencyError, RecurraError, TrainingError
from recurra.runtime import choose_device, loopback_interface, processors, threads, threads_asked
from recurra.train.distributed import ALONE, Group, World

__all__ = ["Join", "follower", "gathered", "joined_by_ray", "under_torchrun"]

Join: TypeAlias = Callable[[str], World]
"""Joins the processes when this one is ready to train on the device of the setting ``train.device``."""

_FOLLOWER = """
import sys
from recurra.runtime import end_with_parent
end_with_parent(int(sys.argv[1]))  # before the libraries are loaded, which takes seconds
from recurra.tasks.workers import main
main()
"""
_NO_LIMIT = datetime.timedelta(days=365)
"""Time that a process waits for another one, which may validate for hours. If one ends, none waits."""
_LEFT_ALONE = 3
"""Exit code of a process that ends because another one has ended."""
_HINT = "run the same command again, with --resume if steps were made"


@contextmanager
def gathered(workers: int, call: Mapping[str, Any]) -> Iterator[Join]:
    """Context in which ``workers`` processes are there; yields the function by which this one joins them.

    The others are new interpreters on this machine, or those of torchrun, which call the same function in
    the same way. They are connected by gloo over the loopback interface, or as torchrun says.

    Args:
        workers: the number of processes, with this one; under torchrun, 1 or that of torchrun.
        call: what the others are to train: the arguments of `recurra.tasks.fit.follow_files` as JSON values.

    Raises:
        ConfigError: ``workers`` is not the number of torchrun's processes, or below 1.
        TrainingError: by the function: a process has ended before it was ready.
    """
    size = under_torchrun()[1]
    if workers < 1 or (size > 1 and workers not in (1, size)):
        what = f"{workers} processes are asked for" + (f", torchrun has started {size}" if size > 1 else "")
        raise ConfigError(what, where="workers", hint="leave --workers out" if size > 1 else "give 1 or more")
    if size > 1:
        with _of_torchrun() as join:
            yield join
    elif workers == 1:
        yield lambda device: ALONE
    else:
        with _started(workers, call) as join:
            yield join


@contextmanager
def follower() -> Iterator[Join]:
    """Context of a process of torchrun that is not the first one; see `gathered`."""
    with _of_torchrun() as join:
        yield join


def joined_by_ray(member: Member) -> Join:
    """Returns what joins this process with the others that Ray Train has started, and connected."""

    def join(device: str) -> World:
        if member.size == 1:
            return ALONE
        choose_device(device)  # fails before the others wait for this one
        asked, together = threads_asked(), member.threads * member.local_size
        group = Group(
            member.lost,
            nccl=member.gpu,
            place=member.local_rank,
            threads=None if asked else member.threads,
            threads_alone=None if asked else together,
        )
        group.wait()  # the first process has read the files
        return group

    return join


def under_torchrun() -> tuple[int, int]:
    """Returns the rank of this process and the number of processes that torchrun has started, or 0 and 1.

    They are those of the variables that torchrun sets; another program that sets them will do.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return 0, 1
    return _number("RANK", 0), _number("WORLD_SIZE", 1)


def main() -> None:
    """Trains as one of the processes that `gathered` has started; its input says what, as JSON."""
    from recurra.tasks.fit import follow_files

    given = json.load(sys.stdin)
    folder, rank = Path(given["folder"]), int(given["rank"])

    def join(device: str) -> World:
        choose_device(device)  # fails before the first process waits for this one
        (folder / f"ready-{rank}").touch()
        return _joined(device, _left_alone, rank, given["size"], given["size"], rank, folder)

    try:
        with _left():
            follow_files(join, **given["call"])
    except RecurraError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


@contextmanager
def _started(workers: int, call: Mapping[str, Any]) -> Iterator[Join]:
    """Does what `gathered` does, for new interpreters."""
    _require_torch()
    alone = threads()
    share = max(1, alone // workers)
    folder = Path(tempfile.mkdtemp(prefix="recurra-workers-"))
    others = _Others(folder)
    try:
        for rank in range(1, workers):
            others.start({"call": dict(call), "rank": rank, "size": workers, "folder": str(folder)}, share)

        def join(device: str) -> World:
            others.wait()
            return _joined(
                device,
                others.lost,
                0,
                workers,
                workers,
                0,
                folder,
                None if threads_asked() else share,
                None if threads_asked() else alone,
                others.check,
            )

        with _left():
            yield join
    finally:
        others.end()
        shutil.rmtree(folder, ignore_errors=True)


class _Others:
    """The processes that this one has started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, given: Mapping[str, Any], share: int) -> None:
        """Starts a process with a number of threads, and gives it JSON values."""
        count = str(threads_asked() or share)
        path = os.pathsep.join(part or os.curdir for part in sys.path)
        variables = {"RECURRA_THREADS": count, "OMP_NUM_THREADS": count, "PYTHONPATH": path}
        with self._log(given["rank"]).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - this interpreter
                [sys.executable, "-P", "-c", _FOLLOWER, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
                encoding="utf-8",
                env={**os.environ, **variables},
                start_new_session=True,  # Ctrl-C is handled by the first process
            )
        self._processes.append(process)
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended, which is noticed when it is waited for
                json.dump(given, process.stdin)
                process.stdin.close()

    def wait(self) -> None:
        """Returns when all of them are ready.

        Raises:
            TrainingError: one has ended.
        """
        waiting = [self._folder / f"ready-{rank}" for rank in range(1, len(self._processes) + 1)]
        while not all(file.exists() for file in waiting):
            self.check()
            time.sleep(0.02)

    def check(self) -> None:
        """Raises TrainingError if one of them has ended."""
        if any(process.poll() is not None for process in self._processes):
            raise self.lost()

    def lost(self) -> TrainingError:
        """Returns the error of the process that has ended first, in one line."""
        for _ in range(100):  # the connection ends before the process does
            for rank, process in enumerate(self._processes, 1):
                code = process.poll()
                if code not in (None, 0, _LEFT_ALONE):
                    return TrainingError(f"process {rank} {self._reason(rank, code or 0)}", hint=_HINT)
            time.sleep(0.02)
        return TrainingError("a process of the training can't be reached", hint=_HINT)

    def end(self) -> None:
        """Ends all of them."""
        for process in self._processes:
            with suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            process.wait()

    def _log(self, rank: int) -> Path:
        return self._folder / f"errors-{rank}"

    def _reason(self, rank: int, code: int) -> str:
        if code < 0:
            memory = ", perhaps because memory ran out" if code == -9 else ""
            return f"of the training was ended by signal {-code}{memory}"
        lines = self._log(rank).read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), f"exit code {code}")
        return f"of the training has ended: {last}"


@contextmanager
def _of_torchrun() -> Iterator[Join]:
    """Does what `gathered` does, for the processes of torchrun."""
    _require_torch()
    rank, size = under_torchrun()
    place, local = _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", 1)
    all_threads = None if threads_asked() else processors()
    share = None if all_threads is None else max(1, all_threads // local)

    def lost() -> BaseException:
        return _left_alone() if rank else TrainingError("a process of the training has ended", hint=_HINT)

    with _left():
        yield lambda device: _joined(device, lost, rank, size, local, place, None, share, all_threads)


def _joined(
    device: str,
    lost: Callable[[], BaseException],
    rank: int,
    size: int,
    local: int,
    place: int,
    folder: Path | None,
    share: int | None = None,
    alone: int | None = None,
    check: Callable[[], None] | None = None,
) -> World:
    """Joins a group of ``size`` processes, ``local`` of them on this machine, this one in ``place``.

    They meet in a ``folder`` of this machine; if it is None, as the variables of torchrun say. While they are
    waited for, ``check`` is called again and again, which may raise an exception.
    """
    if torch.distributed.is_initialized():
        raise ConfigError("this process is in a process group of torch already", where="workers")
    gpu = choose_device(device).type == "cuda"
    nccl = gpu and local <= torch.cuda.device_count() and torch.distributed.is_nccl_available()
    store = None
    if folder is not None:
        store = torch.distributed.FileStore(str(folder / "store"), size)  # type: ignore[attr-defined]
    failed: list[Exception] = []

    def begin() -> None:
        try:
            torch.distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if nccl else "gloo",
                store=store,
                rank=rank if store is not None else -1,
                world_size=size if store is not None else -1,
                timeout=_NO_LIMIT,
            )
        except (RuntimeError, ValueError) as error:  # ValueError: of a variable of torchrun
            failed.append(error)

    with nullcontext() if folder is None else _on_loopback():
        # In a thread of its own, since torch waits without an end for a process that has died.
        thread = threading.Thread(target=begin, name="recurra-join", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.05)
            if check is not None:
                check()
    if failed:
        raise lost() from failed[0]
    return Group(lost, nccl=nccl, place=place, threads=share, threads_alone=alone)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Context in which gloo listens on the loopback interface only, if it has a usual name."""
    name = "GLOO_SOCKET_IFNAME"
    before = os.environ.get(name)
    if (interface := loopback_interface()) is not None:
        os.environ[name] = interface
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@contextmanager
def _left() -> Iterator[None]:
    """Context at whose end this process leaves the group that it has joined in it."""
    before = torch.distributed.is_initialized()
    try:
        yield
    finally:
        if torch.distributed.is_initialized() and not before:
            torch.distributed.destroy_process_group()


def _left_alone() -> BaseException:
    return SystemExit(_LEFT_ALONE)


def _require_torch() -> None:
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        raise DependencyError(
            "this torch can't train in several processes", where="workers", hint="leave --workers out"
        )


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else default
