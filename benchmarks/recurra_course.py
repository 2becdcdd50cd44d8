"""`recurra fit` as a user types it, but that it takes turns with its peers after each epoch.

    python benchmarks/recurra_course.py fit DATA --recipe lstm --json ...

The arguments are the command line's own. The only thing added is an observer beside the one that shows
progress, through the interface that every observer has.
"""

from __future__ import annotations

import contextlib
import io
import json
from importlib import metadata

from turns import Turns

from recurra.runtime import facts, let_idle_threads_sleep

let_idle_threads_sleep()  # as the command does, before it imports torch

from recurra.cli.main import main  # noqa: E402
from recurra.cli.screen import Screen  # noqa: E402
from recurra.train.observer import Observer, Observers  # noqa: E402
from recurra.train.state import EpochRecord  # noqa: E402

turns = Turns()
shown = Screen.observer


class TakeTurns(Observer):
    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        turns.over("ready")

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        figures = {name: record.metrics[name] for name in ("valid_loss", "valid_accuracy")}
        turns.over("epoch", train_seconds=record.seconds, **figures)


def observer(screen: Screen) -> Observer:
    return Observers(shown(screen), TakeTurns())


def system() -> str:
    found = f"recurra {facts()['recurra']} / torch {facts()['torch']}"
    with contextlib.suppress(metadata.PackageNotFoundError):
        found += f" / numba {metadata.version('numba')}"
    return found


if __name__ == "__main__":
    Screen.observer = observer
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            main()
    except SystemExit as stop:
        if stop.code:
            raise
    result = json.loads(said.getvalue().splitlines()[-1])
    tested = result["evaluated_on"] == "test"
    turns.over(
        "done",
        system=system(),
        parameters=result["parameters"],
        test_accuracy=result["model"]["accuracy"] if tested else None,
    )
