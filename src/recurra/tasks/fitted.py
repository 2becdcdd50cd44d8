"""A model that was trained, tested and saved: what fits return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.layers.summary import summarize
from recurra.measure.report import framed
from recurra.store import AnyBundle
from recurra.tasks.base import Assessment
from recurra.tasks.minutes import Plan
from recurra.train.loop import Outcome

__all__ = ["Figures", "Fitted"]


@dataclass(frozen=True)
class Fitted:
    """A model that was trained, tested and saved.

    Attributes:
        bundle: the model.
        folder: its directory.
        outcome: what the training loop returned.
        assessment: the figures of the test.
        seconds: the time of everything: reading, training, testing.
        plan: what was chosen for a budget of minutes; None without one.
    """

    bundle: AnyBundle
    folder: Path
    outcome: Outcome
    assessment: Assessment
    seconds: float
    plan: Plan | None = None

    def as_json(self) -> dict[str, Any]:
        """What ``recurra fit --json`` prints."""
        return {
            "model_directory": str(self.folder),
            "report": str(self.folder / "report.html"),
            "task": self.bundle.task,
            "stopped": self.outcome.stopped,
            "best_epoch": self.outcome.best_epoch,
            "epochs": len(self.outcome.history),
            "plan": None if self.plan is None else self.plan.model_dump(),
            "parameters": summarize(self.bundle.model).total,
            "pretrained": self.bundle.pretrained,
            "unlabeled": self.bundle.metrics["training"].get("unlabeled"),
            "seconds": round(self.seconds, 2),
            **self.assessment.as_json(),
        }

    def _repr_html_(self) -> str:
        """Returns the report, for notebooks."""
        return framed(self.folder / "report.html")


@dataclass(frozen=True)
class Figures:
    """The figures of a test that another process has made.

    Attributes:
        values: as JSON values.
    """

    values: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Returns the figures for ``metrics.json`` and ``--json``."""
        return self.values
