"""Runs `recurra fit`, taking turns with the other programs after each epoch.

    python benchmarks/recurra_course.py fit DATA --recipe lstm --json ...

The arguments are those of the command line. The only addition is a second training observer.
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
screen_observer = Screen.observer


class TakeTurns(Observer):
    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        turns.over("ready")

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        metrics = {name: record.metrics[name] for name in ("valid_loss", "valid_accuracy")}
        turns.over("epoch", train_seconds=record.seconds, **metrics)


def observer(screen: Screen) -> Observer:
    return Observers(screen_observer(screen), TakeTurns())


def system() -> str:
    versions = f"recurra {facts()['recurra']} / torch {facts()['torch']}"
    with contextlib.suppress(metadata.PackageNotFoundError):
        versions += f" / numba {metadata.version('numba')}"
    return versions


if __name__ == "__main__":
    Screen.observer = observer
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            main()
    except SystemExit as stop:
        if stop.code:
            raise
    result = json.loads(output.getvalue().splitlines()[-1])
    tested = result["evaluated_on"] == "test"
    turns.over(
        "done",
        system=system(),
        parameters=result["parameters"],
        test_accuracy=result["model"]["accuracy"] if tested else None,
    )
