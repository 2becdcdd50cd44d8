"""A training on a Ray cluster, for the user's process (docs/decisions/0053-ray-train.md).

This process repeats what the first one of the training reports, and writes the model and the checkpoints that
it sends into the user's directory.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from recurra import store
from recurra.config import Config
from recurra.directories import Claim
from recurra.engines import Call
from recurra.engines.node import Parts, get_pieces, shown
from recurra.errors import ConfigError
from recurra.files import replacing
from recurra.store import AnyBundle
from recurra.tasks.fitted import Figures, Fitted
from recurra.tasks.minutes import Budget, Plan
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.training_files import TrainingFiles
from recurra.tasks.use import built
from recurra.tasks.workers import under_torchrun
from recurra.train.loop import Outcome
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord

__all__ = ["Remote", "on_ray"]

_SAME = ("step", "facts", "note", "warn", "table", "progress")  # events that are methods of a reporter


def on_ray(engine: str, workers: int, address: str | None) -> bool:
    """Returns whether a training is on a Ray cluster.

    Raises:
        ConfigError: the engine can't train, or the address or the number of processes is not for it.
    """
    if engine not in ("processes", "ray"):
        raise ConfigError(f"{engine!r} can't train", where="--engine", hint="choose processes or ray")
    if engine == "processes":
        if address is not None:
            hint = "leave it out, or add --engine ray"
            raise ConfigError("is only for --engine ray", where="--address", hint=hint)
        return False
    if under_torchrun()[1] > 1:
        raise ConfigError("torchrun has started the processes already", where="--engine", hint="leave it out")
    if workers < 1:
        raise ConfigError(f"{workers} processes are asked for", where="workers", hint="give 1 or more")
    return True


class Remote:
    """A training whose processes are on the nodes of a Ray cluster.

    Args:
        claim: the claim on the model's directory.
        out: the directory, as the user has named it.
        resume: whether to continue from the checkpoint there.
        budget: the time since the fit began.
        reporter: receives the steps.
    """

    def __init__(self, claim: Claim, out: Path, resume: bool, budget: Budget, reporter: Reporter) -> None:
        self._claim, self._out, self._budget, self._reporter = claim, out, budget, reporter
        self._kept = resume  # whether the checkpoint there is of this training
        self._bundle: AnyBundle | None = None
        self._observer = Observer()
        self._ticks: dict[int, tuple[ExitStack, Tick]] = {}

    def train(
        self,
        verb: str,
        files: TrainingFiles,
        config: Config,
        workers: int,
        address: str | None,
        options: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Trains, and returns what the first process returned.

        Args:
            verb: ``fit`` or ``pretrain``.
            files: what to train on.
            config: all settings.
            workers: number of processes.
            address: of the cluster, as in `recurra.engines.open_engine`.
            options: further arguments of the verb.

        Raises:
            RecurraError: as of `recurra.tasks.fit.fit_files`; or the cluster can't be used.
        """
        from recurra.engines.ray_train import call_together

        paths, checkpoint = files.paths(config), None
        if self._kept:
            checkpoint = str(self._claim.folder / store.TRAINING)
            paths.append(checkpoint)
        argument = {
            "verb": verb,
            "call": files.call(config, self._kept),
            "out": str(self._out),
            "checkpoint": checkpoint,
            "options": dict(options),
        }
        call = Call("recurra.tasks.on_node:train", argument, paths)
        try:
            found: dict[str, Any] = call_together(
                call, workers, address, config.train.device, self._told, self._waits
            )
        finally:
            for stack, _ in self._ticks.values():
                stack.close()
        return found

    def fitted(self, answer: dict[str, Any]) -> Fitted:
        """Returns the model that was fitted, given what `train` returned."""
        if self._bundle is None:
            raise ValueError("no model was sent")
        history = [EpochRecord.from_row(row) for row in answer["history"]]
        outcome = Outcome(history, answer["best_epoch"], answer["stopped"])
        plan = None if answer["plan"] is None else Plan.model_validate(answer["plan"])
        figures = Figures(answer["assessment"])
        return Fitted(self._bundle, self._out, outcome, figures, self._budget.spent(), plan)

    def _waits(self) -> None:
        self._reporter.note("Waiting for processors of the cluster, which others use.")

    def _told(self, told: dict[str, Any], files: Parts) -> Any:
        """Does what an event asks for, and returns the reply."""
        event, values = told["event"], told["values"]
        if event in _SAME:
            getattr(self._reporter, event)(*values)
        elif event == "spent":
            return self._budget.spent()
        elif event == "training":
            self._keep_training(files)
        elif event == "saved":
            self._keep_model(files, *values)
        elif event.startswith("count"):
            self._count(event, *values)
        elif event == "explanation":
            from recurra.measure.explain import Explanation

            self._reporter.explanation(Explanation.model_validate(values[0]))
        else:
            self._observe(event, *values)
        return None

    def _observe(self, event: str, *values: Any) -> None:
        if event == "on_start":
            self._observer = self._reporter.observer()
            self._observer.on_start(*values)
        elif event == "on_batches":
            for batch in values[0]:
                self._observer.on_batch(*batch)
        elif event == "on_epoch":
            self._observer.on_epoch(EpochRecord.from_row(values[0]), values[1])
        elif event == "on_end":
            self._observer.on_end()

    def _count(self, event: str, number: int, *values: Any) -> None:
        if event == "counting":
            stack = ExitStack()
            self._ticks[number] = stack, stack.enter_context(self._reporter.counting(*values))
        elif event == "counted":
            self._ticks[number][1](*values)
        else:
            self._ticks.pop(number)[0].close()

    def _keep_training(self, files: Parts) -> None:
        """Writes files of the training; those of a former one are removed."""
        folder = self._claim.folder / store.TRAINING
        if not self._kept and folder.is_dir():
            shutil.rmtree(folder)
        self._kept = True
        for within, pieces in files:
            with replacing(folder / within) as temporary:
                get_pieces(pieces, temporary)

    def _keep_model(self, files: Parts, users: Mapping[str, str]) -> None:
        """Saves the model, with the paths of the user in place of those of the node."""
        with tempfile.TemporaryDirectory(prefix="recurra-model-") as folder:
            for within, pieces in files:
                get_pieces(pieces, Path(folder, within))
            saved, pages = store.read(Path(folder)), store.pages(Path(folder))
        saved = replace(
            saved,
            settings=shown(saved.settings, users),
            files={name: _of_user(name, file, users) for name, file in saved.files.items()},
            metrics=shown(saved.metrics, {place: str(Path(users[place]).absolute()) for place in users}),
        )
        self._bundle = built(saved)
        store.save(self._bundle, self._claim, shown(pages, users))


def _of_user(name: str, file: Any, users: Mapping[str, str]) -> Any:
    """A file of the assets with the paths of the user; only JSON has some."""
    if not name.endswith(".json") or not any(place in file for place in users):
        return file
    return json.dumps(shown(json.loads(file), users), ensure_ascii=False)
