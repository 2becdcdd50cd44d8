"""What the processes do that Ray Train has placed on the nodes of a cluster: each calls one function."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recurra.engines.base import Call, answer_of
from recurra.engines.node import SentPath, folder_of, other_version, place, put_pieces, restored
from recurra.errors import TrainingError

__all__ = ["Common", "Member", "take_part"]

_PATIENCE = 20.0  # seconds in which Ray tells which process has ended


@dataclass(frozen=True)
class Common:
    """What the processes of a training have in common, besides files and reports.

    Attributes:
        function: ``package.module:name`` of the function that each calls with the argument and a `Member`.
        argument: JSON values.
        run: name of the training in the mailbox.
        folder: name of the folder of files on each node.
        version: version of recurra.
        threads: number of threads of each process.
        gpu: whether each has a GPU.
    """

    function: str
    argument: dict[str, Any]
    run: str
    folder: str
    version: str
    threads: int
    gpu: bool

    def to_json(self) -> str:
        """Returns it as text."""
        return json.dumps(asdict(self))


class Member:
    """One of the processes, as the function that it calls sees it.

    Args:
        common: what all of them have in common.
        sent: the files of the call.
        mailbox: the `recurra.engines.node.Mailbox` for reports.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: its number among those of its node.
        local_size: their number.
        threads: number of threads of each process.
        gpu: whether each has a GPU.
        unreachable: whether another process could not be reached.
        users: by paths on this node, those of the user, for messages; `places` adds those of the files.
    """

    def __init__(self, common: Common, sent: Sequence[SentPath], mailbox: Any) -> None:
        import ray.train

        context = ray.train.get_context()
        self.rank, self.size = context.get_world_rank(), context.get_world_size()
        self.local_rank, self.local_size = context.get_local_rank(), context.get_local_world_size()
        self.threads, self.gpu, self.unreachable = common.threads, common.gpu, False
        self._common, self._mailbox = common, mailbox
        self._sent = {each.path: each for each in sent}
        self.users: dict[str, str] = {}

    def places(self, leave_out: Sequence[str] = ()) -> dict[str, str]:
        """Returns where the files of the call are on this node, by their paths in the argument.

        Args:
            leave_out: those that this process does not need.

        Raises:
            TrainingError: the node can't store them.
        """
        wanted = {path: sent for path, sent in self._sent.items() if path not in leave_out}
        found = {}
        for path, sent in wanted.items():
            try:
                found[path] = str(place(sent, self._common.folder))
            except OSError as error:
                what = f"a node can't store the files of the training ({error.strerror or error})"
                raise TrainingError(what) from error
        self.users |= {place: path for path, place in found.items()}
        return found

    def folder(self) -> Path:
        """Returns a folder on this node for what this process writes; it is removed at the end."""
        own = folder_of(self._common.folder) / f"process-{self.rank}"
        own.mkdir(exist_ok=True)
        return own

    def tell(self, record: dict[str, Any], files: Mapping[str, Path] | None = None) -> Any:
        """Sends JSON values, and files, to the process that has begun the training; returns its reply.

        Args:
            record: JSON values.
            files: files to send, by their path there.
        """
        import ray

        sent = [(name, put_pieces(path)) for name, path in (files or {}).items()]
        return ray.get(self._mailbox.ask.remote(self._common.run, json.dumps(record), sent))

    def lost(self) -> TrainingError:
        """Returns the error to raise if another process can't be reached; Ray will tell which has ended."""
        self.unreachable = True
        return TrainingError("a process of the training can't be reached")


def take_part(given: dict[str, Any]) -> None:
    """Is one of the processes: calls the function, and tells its answer if it is that of all.

    Args:
        given: ``common`` (a `Common` as JSON), ``sent`` (the files) and ``mailbox``.
    """
    common = Common(**json.loads(given["common"]))
    if refused := other_version(common.version):
        _send(given["mailbox"], common.run, refused)
        raise RuntimeError("another version of recurra")
    ended = threading.Event()
    threading.Thread(target=_end_with, args=(given["mailbox"], ended), daemon=True).start()
    member = Member(common, given["sent"], given["mailbox"])
    answer = restored(answer_of(Call(common.function, common.argument), member), member.users)
    ended.set()
    if member.unreachable:
        _send(given["mailbox"], common.run, {"unreachable": True})
        time.sleep(_PATIENCE)  # Ray ends this process when it has found out which has ended
    elif "result" not in answer or member.rank == 0:
        _send(given["mailbox"], common.run, answer)
    if "result" not in answer:
        raise RuntimeError("the training has failed, and Ray is to end the other processes")


def _send(mailbox: Any, run: str, answer: dict[str, Any]) -> None:
    import ray

    ray.get(mailbox.ask.remote(run, json.dumps({"answer": answer})))


def _end_with(mailbox: Any, ended: threading.Event) -> None:
    """Ends this process when the mailbox has ended, which happens when nobody waits for the training."""
    import ray

    try:
        ray.get(mailbox.forever.remote())
    except ray.exceptions.RayError:
        if not ended.is_set():
            os._exit(1)
