"""Experiment trackers as observers of the training loop: MLflow, and Weights & Biases.

Where they write is set by their own variables: ``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME``;
``WANDB_PROJECT`` and ``WANDB_MODE``, for example ``offline``.
"""

from __future__ import annotations

import importlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recurra.errors import DependencyError, OutputError
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord

__all__ = ["TRACKERS", "MlflowLog", "WandbLog", "flat", "trackers"]

_FILE = "{name}-run.txt"  # in the folder of the checkpoint: the run that a resumed training goes on with


class _Tracker(Observer):
    """A run of a tracker: begun with the training, or gone on with if the training is resumed.

    Args:
        folder: the directory of the checkpoint, where the number of the run is kept; None without one.
        title: the name of the run.
        settings: the settings, nested by section.

    Raises:
        DependencyError: the library is not installed.
    """

    name = ""
    _run: Any = None
    _failed = False

    def __init__(self, folder: Path | None, title: str, settings: Mapping[str, Any]) -> None:
        try:
            self._library: Any = importlib.import_module(self.name)
        except ImportError as error:
            raise DependencyError(
                f"{self.name} is not installed",
                where="train.trackers",
                hint=f"pip install 'recurra[{self.name}]', or remove it from train.trackers",
            ) from error
        self._file = None if folder is None else folder / _FILE.format(name=self.name)
        self._title, self._settings = title, flat(settings)

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Begins the run.

        Raises:
            OutputError: the tracker can't begin it.
        """
        known = None
        if resumed_from is not None and self._file is not None and self._file.is_file():
            known = self._file.read_text(encoding="utf-8").strip()
        try:
            number = self._begin(known)
        except Exception as error:  # the libraries raise nothing narrower
            reason = str(error).partition("\n")[0]
            raise OutputError(f"{self.name} can't begin a run ({reason})", where="train.trackers") from error
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(f"{number}\n", encoding="utf-8")

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Logs every number of the record, at its step."""
        row = {name: float(v) for name, v in record.row().items() if name not in ("epoch", "step")}
        values = {**row, "epoch": float(record.epoch)}
        self._go_on(lambda: self._log(values, record.step), "log an epoch")

    def on_end(self) -> None:
        """Ends the run."""
        if self._run is not None:
            self._go_on(self._end, "end the run")
            self._run = None

    def _go_on(self, do: Callable[[], object], what: str) -> None:
        """Does something; if that fails, a warning says so once, and the training goes on without it."""
        if self._failed:
            return
        try:
            do()
        except Exception as error:  # noqa: BLE001 - the libraries raise nothing narrower; a warning says it
            self._failed = True
            reason = str(error).partition("\n")[0]
            warnings.warn(f"{self.name} can't {what} ({reason}): nothing more is logged there", stacklevel=2)

    def _begin(self, known: str | None) -> str:
        """Begins a run, or goes on with a known one, and returns its number."""
        raise NotImplementedError

    def _log(self, values: Mapping[str, float], step: int) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError


class MlflowLog(_Tracker):
    """A run of MLflow: the settings as parameters, and the figures of each epoch as metrics."""

    name = "mlflow"

    def _begin(self, known: str | None) -> str:
        mlflow = self._library
        nested = mlflow.active_run() is not None
        self._run = mlflow.start_run(run_id=known, run_name=self._title, nested=nested)
        if known is None:
            mlflow.log_params(self._settings)
        return str(self._run.info.run_id)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        self._library.log_metrics(dict(values), step=step)

    def _end(self) -> None:
        self._library.end_run()


class WandbLog(_Tracker):
    """A run of Weights & Biases: the settings as its configuration, and the figures of each epoch."""

    name = "wandb"

    def _begin(self, known: str | None) -> str:
        self._run = self._library.init(
            project=os.environ.get("WANDB_PROJECT", "recurra"),
            name=self._title,
            config=self._settings,
            id=known,
            settings=self._library.Settings(console="off", disable_git=True),
            resume=None if known is None else "allow",
        )
        return str(self._run.id)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def _end(self) -> None:
        self._run.finish()


TRACKERS: dict[str, Callable[[Path | None, str, Mapping[str, Any]], Observer]] = {
    "mlflow": MlflowLog,
    "wandb": WandbLog,
}
"""The trackers by name."""


def trackers(
    names: Sequence[str], folder: Path | None, title: str, settings: Mapping[str, Any]
) -> list[Observer]:
    """Returns an observer for each of the names in ``train.trackers``.

    Raises:
        DependencyError: a library is not installed.
    """
    return [TRACKERS[name](folder, title, settings) for name in names]


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested settings by their full name; lists and dictionaries within a section as JSON.

    Example:
        >>> flat({"task": "classify", "model": {"units": [8, 4], "cell": "gru"}})
        {'task': 'classify', 'model.units': '[8, 4]', 'model.cell': 'gru'}
    """
    found: dict[str, Any] = {}
    for section, values in settings.items():
        named = values.items() if isinstance(values, Mapping) else [("", values)]
        for name, value in named:
            text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
            found[f"{section}.{name}" if name else section] = text
    return found
