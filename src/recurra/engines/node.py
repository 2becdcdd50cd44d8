"""What the nodes of a Ray cluster do for the engine: they take files, make runs, and pass reports on.

Ray moves three kinds of values: JSON as text, bytes of files, and references to these bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recurra.engines.base import Call
from recurra.engines.workers import WorkerProcess, thread_variables

__all__ = ["Mailbox", "SentPath", "Setup", "forget", "make", "replaced"]


@dataclass(frozen=True)
class Setup:
    """What all runs of an engine have in common.

    Attributes:
        folder: name of the folder of files on each node.
        threads: number of threads of a run.
        variables: further environment variables of a run.
        preload, lasting: as in `WorkerProcess`.
        version: version of recurra.
    """

    folder: str
    threads: int
    variables: dict[str, str]
    preload: Sequence[str]
    lasting: bool
    version: str

    def to_json(self) -> str:
        """Returns it as text, which `make` reads."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class SentPath:
    """A file or a directory in the object store of Ray.

    Attributes:
        path: its path where the run was submitted.
        key: hash of its contents, and of the names in it.
        parts: the files: path within the directory, empty for a file, and references to the bytes of pieces.
    """

    path: str
    key: str
    parts: list[tuple[str, list[Any]]]


class Mailbox:
    """Holds the reports of runs until the process that submitted them has replied; an actor of Ray."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._said: dict[str, asyncio.Queue[tuple[int, str]]] = {}
        self._replies: dict[int, asyncio.Future[bool]] = {}

    def _of(self, run: str) -> asyncio.Queue[tuple[int, str]]:
        return self._said.setdefault(run, asyncio.Queue())

    async def ask(self, run: str, record: str) -> bool:
        """Returns the reply to a report of a run."""
        number, replied = next(self._numbers), asyncio.get_running_loop().create_future()
        self._replies[number] = replied
        await self._of(run).put((number, record))
        return bool(await replied)

    async def next(self, run: str) -> tuple[int, str]:
        """Returns the next report of a run with its number, which is -1 if the run has ended."""
        return await self._of(run).get()

    async def reply(self, number: int, goes_on: bool) -> None:
        """Replies to a report."""
        self._replies.pop(number).set_result(goes_on)

    async def end(self, run: str) -> None:
        """Ends the waiting for reports of a run."""
        await self._said.pop(run, asyncio.Queue()).put((-1, "{}"))


_worker: tuple[str, WorkerProcess] | None = None
"""In a process of Ray: the worker process that it has started, and for which setup."""


def make(setup: str, call: str, sent: list[SentPath], mailbox: Any, run: str) -> str:
    """Makes a run in a worker process and returns its answer, for `recurra.engines.base.result_of`.

    Args:
        setup: a `Setup` as JSON.
        call: function and argument as JSON.
        sent: the files of the call.
        mailbox: the `Mailbox` for its reports; None if nobody reads them.
        run: the name of the run there.
    """
    import ray

    wanted = Setup(**json.loads(setup))
    installed = version("recurra")
    if installed != wanted.version:
        what = f"a node of the cluster has recurra {installed}, and this machine {wanted.version}"
        return json.dumps({"error": f"{what}; install the same version", "kind": "ConfigError"})
    try:
        places = {each.path: str(_place(each, _folder(wanted.folder))) for each in sent}
    except OSError as error:
        return json.dumps({"failed": f"a node can't store the files of the run ({error.strerror or error})"})
    origins = {place: path for path, place in places.items()}

    def on_report(record: dict[str, Any]) -> bool:
        return bool(ray.get(mailbox.ask.remote(run, json.dumps(replaced(record, origins)))))

    asked = json.loads(call)
    worker = _worker_for(setup, wanted)
    answer = worker.ask(
        Call(asked["function"], replaced(asked["argument"], places)), None if mailbox is None else on_report
    )
    if "died" in answer:
        worker.kill()
    return json.dumps(_restored(answer, origins))


def forget(folder: str) -> None:
    """Removes the files of an engine from this node."""
    shutil.rmtree(_path(folder), ignore_errors=True)


def replaced(value: Any, names: Mapping[str, str]) -> Any:
    """Returns JSON values in which each text that is a key of ``names`` is replaced.

    Example:
        >>> replaced({"train": "/a/b.csv", "rows": [1, "b.csv"]}, {"/a/b.csv": "/tmp/b.csv"})
        {'train': '/tmp/b.csv', 'rows': [1, 'b.csv']}
    """
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {key: replaced(each, names) for key, each in value.items()}
    return [replaced(each, names) for each in value] if isinstance(value, list) else value


def _restored(answer: dict[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """The answer with the paths of the user, also within the texts of errors."""
    for name in {"error", "failed", "died"} & answer.keys():
        for place, path in origins.items():
            answer[name] = answer[name].replace(place, path)
    return dict(replaced(answer, origins))


def _worker_for(setup: str, wanted: Setup) -> WorkerProcess:
    """The worker process of this process of Ray; a new one if it has ended."""
    global _worker
    if _worker is not None:
        if _worker[0] == setup and not _worker[1].has_ended:
            return _worker[1]
        _worker[1].kill()
        _worker[1].close()
    environment = {**os.environ, **wanted.variables, **thread_variables(wanted.threads)}
    _worker = setup, WorkerProcess(environment, wanted.preload, wanted.lasting)
    return _worker[1]


def _path(folder: str) -> Path:
    return Path(tempfile.gettempdir()) / folder


def _folder(folder: str) -> Path:
    path = _path(folder)
    path.mkdir(mode=0o700, exist_ok=True)  # its name is random
    return path


def _place(sent: SentPath, folder: Path) -> Path:
    """Where the file or directory is on this node, after writing it if it is not there."""
    import ray

    held = folder / sent.key
    if not held.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{sent.key}.", dir=folder))
        for within, pieces in sent.parts:
            path = draft / Path(sent.path).name / within
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(ray.get(piece))
        try:
            draft.rename(held)
        except OSError:
            if not held.exists():  # another run has not been faster
                raise
            shutil.rmtree(draft, ignore_errors=True)
    return held / Path(sent.path).name
