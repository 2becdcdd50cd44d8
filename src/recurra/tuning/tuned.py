"""The result of a search: its trials, the winner, the comparison, the final model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.measure.report import framed
from recurra.measure.study import Criterion
from recurra.tasks.fit import Fitted
from recurra.tuning.fairness import Fairness
from recurra.tuning.folder import BEST, MODEL
from recurra.tuning.importance import Importance
from recurra.tuning.search import Tried
from recurra.tuning.space import Space
from recurra.tuning.worker import Result

__all__ = ["Tuned", "front"]


@dataclass(frozen=True)
class Tuned:
    """A finished or interrupted search.

    Attributes:
        folder: its directory.
        task: name of the task.
        criterion: how the metric is written.
        trials: the trials that have ended, by number; 0 has the settings of the recipe.
        best: the best of them and its result.
        space: what was varied.
        importances: what mattered, the largest share first; empty with too few trials.
        fairness: the comparison with the recipe; None if it was not made, since the recipe itself is the
            best, the time was up, or the search was interrupted.
        fitted: the final model with its test; None if the search was interrupted.
        seconds: time of everything, without that between sessions.
        minutes: the limit; None without one.
        run_minutes: time of a run; None without a limit.
        interrupted: whether it was interrupted.
    """

    folder: Path
    task: str
    criterion: Criterion
    trials: list[Tried]
    best: tuple[Tried, Result]
    space: Space
    importances: list[Importance]
    fairness: Fairness | None
    fitted: Fitted | None
    seconds: float
    minutes: float | None
    run_minutes: float | None
    interrupted: bool

    @property
    def complete(self) -> list[tuple[Tried, Result]]:
        """The trials with a result."""
        return [(trial, trial.result) for trial in self.trials if trial.result is not None]

    @property
    def best_settings(self) -> dict[str, Any]:
        """The settings that were varied, with the values of the best trial."""
        return {name: self.best[1].setting(name) for name in self.space}

    @property
    def verdict(self) -> str:
        """Whether the winner is better than the recipe, in words."""
        if self.best[0].number == 0:
            return "No trial was better than the recipe that the search began with."
        if self.fairness is None:
            return "The winner was not compared with the recipe on other rows: its lead may be luck."
        return self.fairness.sentence

    def as_json(self) -> dict[str, Any]:
        """Returns the contents of ``tune.json`` and ``--json``."""
        states = [trial.state for trial in self.trials]
        return {
            "directory": str(self.folder),
            "report": str(self.folder / "report.html"),
            "best_settings_file": str(self.folder / BEST),
            "model_directory": None if self.fitted is None else str(self.folder / MODEL),
            "task": self.task,
            "interrupted": self.interrupted,
            "metric": self.criterion.name,
            "trials": {name: states.count(name) for name in ("complete", "pruned", "failed")},
            "best": {
                "trial": self.best[0].number,
                "validation": self.best[1].value,
                "settings": self.best_settings,
                "parameters": self.best[1].parameters,
                "cpu_seconds": round(self.best[1].cpu_seconds, 3),
            },
            "recipe_validation": next((r.value for t, r in self.complete if t.number == 0), None),
            "importances": [vars(each) for each in self.importances],
            "front": {
                cost: [trial.number for trial, _ in front(self.complete, cost, self.sign)]
                for cost in ("cpu_seconds", "parameters")
            },
            "comparison": None if self.fairness is None else self.fairness.as_json(),
            "verdict": self.verdict,
            "test": None if self.fitted is None else self.fitted.assessment.as_json()["model"],
            "seconds": round(self.seconds, 2),
        }

    @property
    def sign(self) -> int:
        """1 if a higher value is better, otherwise -1."""
        return 1 if self.criterion.higher_is_better else -1

    def _repr_html_(self) -> str:
        """Returns the report, for notebooks."""
        return framed(self.folder / "report.html")


def front(trials: Sequence[tuple[Tried, Result]], cost: str, sign: int = 1) -> list[tuple[Tried, Result]]:
    """Returns the trials that none is better than at the same or a lower cost, the cheapest first.

    Args:
        trials: trials with their results.
        cost: ``cpu_seconds`` or ``parameters``.
        sign: 1 if a higher value is better, otherwise -1.
    """
    kept: list[tuple[Tried, Result]] = []
    for trial, result in sorted(trials, key=lambda pair: (getattr(pair[1], cost), -sign * pair[1].value)):
        if not kept or sign * result.value > sign * kept[-1][1].value:
            kept.append((trial, result))
    return kept
