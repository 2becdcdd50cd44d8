"""One of the processes of a training on a Ray cluster: it trains as one of several processes does anywhere.

The first one reports, and sends its model and its checkpoints, to the process that the user has begun, which
is in `recurra.tasks.remote`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra import store
from recurra.engines.member import Member
from recurra.engines.node import replaced, shown
from recurra.runtime import computing_with
from recurra.tasks.fit import fit_files, follow_files, pretrain_files
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.training_files import opened
from recurra.tasks.workers import joined_by_ray
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord

if TYPE_CHECKING:
    from recurra.measure.explain import Explanation

__all__ = ["train"]

_EVERY = 0.5  # seconds between two reports on batches or rows


def train(argument: dict[str, Any], member: Member) -> dict[str, Any] | None:
    """Trains as one of the processes; the first one returns what `recurra.tasks.remote.Remote` needs.

    Args:
        argument: ``verb`` (fit or pretrain), ``call`` (of `TrainingFiles.call`), ``out`` (the user's
            directory of the model), ``checkpoint`` (its directory of the checkpoint, to resume from, or
            None), ``options`` (further arguments of the verb).
        member: this process.
    """
    checkpoint = argument["checkpoint"]
    places = member.places([] if member.rank == 0 or checkpoint is None else [checkpoint])
    call, join = _placed(argument["call"], places), joined_by_ray(member)
    if member.rank:
        follow_files(join, **call)
        return None
    named = argument["out"]
    out = member.folder() / Path(named).name
    if checkpoint is not None:
        shutil.copytree(places[checkpoint], out / store.TRAINING)
    resume = call.pop("resume")
    files, config = opened(**call)
    if files.continued is not None:  # where the rows are that the model was trained on
        before = files.continued[1]
        before.metrics = replaced(before.metrics, places)
    member.users[f"{out.parent}/"] = named[: len(named) - len(out.name)]
    reporter = _Forwarding(member, out)
    common: dict[str, Any] = {
        "valid": files.valid,
        "resume": resume,
        "overwrite": True,
        "begun": time.monotonic() - float(reporter.tell("spent")),
        "join": join,
        "reporter": reporter,
    }
    with computing_with(member.threads * member.local_size):
        if argument["verb"] == "pretrain":
            return pretrain_files(files.data, config, out, **common)
        more: dict[str, Any] = {
            "test": files.test,
            "unlabeled": files.unlabeled,
            "continued": files.continued,
        }
        fitted = fit_files(files.data, config, out, **common, **more, **argument["options"])
    outcome = fitted.outcome
    return {
        "history": [record.row() for record in outcome.history],
        "best_epoch": outcome.best_epoch,
        "stopped": outcome.stopped,
        "assessment": fitted.assessment.as_json(),
        "plan": None if fitted.plan is None else fitted.plan.model_dump(),
    }


def _placed(call: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """The call with paths of this node; a text of a setting that is spelled like a path is left."""
    here = {
        name: places[call[name]]
        for name in ("data", "valid", "test", "unlabeled", "continued")
        if name in call
    }
    config = dict(call["config"])
    begins = config.get("train", {}).get("pretrained")
    if begins is not None:
        config["train"] = {**config["train"], "pretrained": places[begins]}
    return {**call, **here, "config": config}


class _Forwarding(Reporter):
    """Sends every report, with the paths of the user, and what is written.

    Args:
        member: this process.
        out: the directory of the model on this node.
    """

    def __init__(self, member: Member, out: Path) -> None:
        self._member, self._out = member, out
        self._sent: dict[str, tuple[int, int]] = {}
        self._counts = 0

    def tell(self, event: str, *values: Any, files: Mapping[str, Path] | None = None) -> Any:
        """Sends an event with JSON values and files; returns the reply."""
        return self._member.tell({"event": event, "values": shown(list(values), self._member.users)}, files)

    def step(self, title: str) -> None:
        """Sends the start of a step."""
        self.tell("step", title)

    def facts(self, facts: Mapping[str, str]) -> None:
        """Sends facts."""
        self.tell("facts", dict(facts))

    def note(self, text: str) -> None:
        """Sends a note."""
        self.tell("note", text)

    def warn(self, text: str) -> None:
        """Sends a warning."""
        self.tell("warn", text)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Sends a table."""
        self.tell("table", title, list(header), [list(row) for row in rows])

    def explanation(self, explanation: Explanation) -> None:
        """Sends an explanation."""
        self.tell("explanation", explanation.model_dump(mode="json"))

    def progress(self, what: str, done: int, total: int) -> None:
        """Sends the progress of a step over bytes."""
        self.tell("progress", what, done, total)

    def counting(self, what: str, total: int | None = None) -> AbstractContextManager[Tick]:
        """Returns a context whose progress is sent twice a second."""
        return self._counting(what, total)

    @contextmanager
    def _counting(self, what: str, total: int | None) -> Iterator[Tick]:
        self._counts += 1
        number, rows, sent = self._counts, 0, time.monotonic()
        self.tell("counting", number, what, total)

        def tick(more: int) -> None:
            nonlocal rows, sent
            rows += more
            if time.monotonic() - sent >= _EVERY:
                self.tell("counted", number, rows)
                rows, sent = 0, time.monotonic()

        yield tick
        self.tell("counted", number, rows)
        self.tell("counting_ends", number)

    def saved(self, folder: Path) -> None:
        """Sends the model."""
        self.keep()
        files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
        self._member.tell({"event": "saved", "values": [self._member.users]}, files)

    def observer(self) -> Observer:
        """Returns an observer that sends what it observes, and the checkpoints."""
        return _Sending(self)

    def keep(self) -> None:
        """Sends the files of the training that have changed, the checkpoint last."""
        folder = self._out / store.TRAINING
        changed: dict[str, Path] = {}
        for path in sorted(folder.rglob("*"), key=lambda path: path.suffix == ".safetensors"):
            if path.is_file() and not path.name.startswith("."):
                state, name = path.stat(), path.relative_to(folder).as_posix()
                if self._sent.get(name) != (state.st_mtime_ns, state.st_size):
                    changed[name] = path
                    self._sent[name] = state.st_mtime_ns, state.st_size
        if changed:
            self.tell("training", files=changed)


class _Sending(Observer):
    """Sends the events of the training loop, those of batches twice a second."""

    def __init__(self, reporter: _Forwarding) -> None:
        self._reporter = reporter
        self._batches: list[list[float]] = []
        self._told = 0.0

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Sends the start."""
        self._reporter.tell("on_start", total_epochs, batches_per_epoch, resumed_from)

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Sends batches, if half a second has passed."""
        self._batches.append([epoch, batch, loss, tokens, seconds])
        if time.monotonic() - self._told >= _EVERY:
            self._tell_batches()

    def _tell_batches(self) -> None:
        if self._batches:
            self._reporter.tell("on_batches", self._batches)
        self._batches, self._told = [], time.monotonic()

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Sends the record of an epoch, and its files."""
        self._tell_batches()
        self._reporter.keep()
        self._reporter.tell("on_epoch", record.row(), improved)

    def on_checkpoint(self) -> None:
        """Sends the checkpoint."""
        self._reporter.keep()

    def on_end(self) -> None:
        """Sends the end."""
        self._tell_batches()
        self._reporter.tell("on_end")
