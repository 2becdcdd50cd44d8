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
from typing import Any, TypeAlias

from recurra.engines.base import Call
from recurra.engines.workers import WorkerProcess, thread_variables

__all__ = [
    "Mailbox", "Parts", "SentPath", "Setup", "folder_of", "forget", "get_pieces", "make", "other_version",
    "place", "put_pieces", "replaced", "restored", "shown",
]  # fmt: skip

_PIECE = 32 << 20  # bytes of a file that are one object


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


Parts: TypeAlias = Sequence[tuple[str, list[Any]]]
"""Files in the object store of Ray: path within their directory, and references to the bytes of pieces."""
_Said: TypeAlias = tuple[int, str, Parts]


@dataclass(frozen=True)
class SentPath:
    """A file or a directory in the object store of Ray.

    Attributes:
        path: its path where the run was submitted.
        key: hash of its contents, and of the names in it.
        parts: the files; the path of a file that is not in a directory is empty.
    """

    path: str
    key: str
    parts: Parts


class Mailbox:
    """Holds the reports of runs until the process that submitted them has replied; an actor of Ray."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._said: dict[str, asyncio.Queue[_Said]] = {}
        self._replies: dict[int, asyncio.Future[Any]] = {}

    def _of(self, run: str) -> asyncio.Queue[_Said]:
        return self._said.setdefault(run, asyncio.Queue())

    async def ask(self, run: str, record: str, files: Parts = ()) -> Any:
        """Returns the reply to a report of a run, which may have files."""
        number, replied = next(self._numbers), asyncio.get_running_loop().create_future()
        self._replies[number] = replied
        await self._of(run).put((number, record, files))
        return await replied

    async def next(self, run: str) -> _Said:
        """Returns the next report of a run, its number and its files; it is -1 if the run has ended."""
        return await self._of(run).get()

    async def reply(self, number: int, value: Any) -> None:
        """Replies to a report with a JSON value."""
        self._replies.pop(number).set_result(value)

    async def end(self, run: str) -> None:
        """Ends the waiting for reports of a run."""
        await self._said.pop(run, asyncio.Queue()).put((-1, "{}", ()))

    async def forever(self) -> None:
        """Never returns: who waits for it is told by Ray when this actor has ended."""
        await asyncio.Event().wait()


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
    if refused := other_version(wanted.version):
        return json.dumps(refused)
    try:
        places = {each.path: str(place(each, wanted.folder)) for each in sent}
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
    return json.dumps(restored(answer, origins))


def other_version(wanted: str) -> dict[str, Any] | None:
    """Returns the answer of a node whose version of recurra is not ``wanted``; None if it is."""
    installed = version("recurra")
    if installed == wanted:
        return None
    what = f"a node of the cluster has recurra {installed}, and this machine {wanted}"
    return {"error": f"{what}; install the same version", "kind": "ConfigError"}


def forget(folder: str) -> None:
    """Removes the files of an engine from this node."""
    shutil.rmtree(_path(folder), ignore_errors=True)


def put_pieces(file: Path, digest: Any = None) -> list[Any]:
    """Puts the bytes of a file into the object store; returns references to its pieces.

    Args:
        file: the file.
        digest: a hash that is updated with the bytes; None for none.
    """
    import ray

    pieces = []
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            if digest is not None:
                digest.update(piece)
            pieces.append(ray.put(piece))
    return pieces


def get_pieces(pieces: Sequence[Any], path: Path) -> None:
    """Writes a file of which `put_pieces` has returned the pieces."""
    import ray

    with path.open("wb") as file:
        for piece in pieces:
            file.write(ray.get(piece))


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


def shown(value: Any, names: Mapping[str, str]) -> Any:
    """Returns JSON values in which each key of ``names`` is replaced, also within texts.

    Example:
        >>> shown(["in /tmp/x/b.csv: row 3", 1], {"/tmp/x/b.csv": "b.csv"})
        ['in b.csv: row 3', 1]
    """
    if isinstance(value, str):
        for place in sorted(names, key=len, reverse=True):  # a longer path may begin with a shorter one
            value = value.replace(place, names[place])
        return value
    if isinstance(value, dict):
        return {key: shown(each, names) for key, each in value.items()}
    return [shown(each, names) for each in value] if isinstance(value, list) else value


def restored(answer: dict[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Returns an answer with the paths of the user, also within the texts of errors."""
    for name in {"error", "failed", "died"} & answer.keys():
        answer[name] = shown(answer[name], origins)
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


def folder_of(folder: str) -> Path:
    """Returns the folder of the files of an engine on this node; it is made if it is not there."""
    path = _path(folder)
    path.mkdir(mode=0o700, exist_ok=True)  # its name is random
    return path


def place(sent: SentPath, folder: str) -> Path:
    """Returns where a file or directory is on this node, in the folder of an engine; it is written once.

    Raises:
        OSError: it can't be written.
    """
    return _place(sent, folder_of(folder))


def _place(sent: SentPath, folder: Path) -> Path:
    held = folder / sent.key
    if not held.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{sent.key}.", dir=folder))
        for within, pieces in sent.parts:
            path = draft / Path(sent.path).name / within
            path.parent.mkdir(parents=True, exist_ok=True)
            get_pieces(pieces, path)
        try:
            draft.rename(held)
        except OSError:
            if not held.exists():  # another run has not been faster
                raise
            shutil.rmtree(draft, ignore_errors=True)
    return held / Path(sent.path).name
