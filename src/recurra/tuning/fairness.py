"""Whether the winner of a search is better, or only luckier: fresh seeds on rows that chose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.comparison.runs import unpack
from recurra.measure.study import Criterion, Judgement, Scores, crossed_mean, judge, ratio_values
from recurra.tuning.worker import Result, higher_is_better

__all__ = ["Fairness", "compared"]

ENOUGH = 0.005
"""Largest difference of shares that does not matter; of figures in other units, none is known."""


@dataclass(frozen=True)
class Fairness:
    """The winner and the recipe that the search began with, each trained with the same fresh seeds.

    Attributes:
        seeds: the seeds.
        winner: values of the metric, by seed.
        default: those of the recipe.
        lead: by how much the winner was ahead in the search, on the validation rows that chose it.
        judgement: the verdict on the difference.
        criterion: how the metric is written.
        measured: number and kind of the rows.
        over_rows: whether the interval accounts for the rows too; otherwise for seeds alone.
    """

    seeds: list[int]
    winner: list[float]
    default: list[float]
    lead: float
    judgement: Judgement
    criterion: Criterion
    measured: str
    over_rows: bool

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        j, c = self.judgement, self.criterion
        number = f"{c.number(j.difference.mean)} ({c.number(j.low)} to {c.number(j.high)}) {c.unit}".strip()
        runs = f"{number} over {len(self.seeds)} fresh seeds on {self.measured}"
        searched = f"in the search, on the rows that chose it, it was {c.number(self.lead)}"
        if j.kind == "better":
            return f"The winner is better than the recipe: {runs}; {searched}."
        if j.kind == "worse":
            return f"The winner is worse than the recipe: {runs}; {searched}, by luck."
        if j.kind == "same":
            return f"The winner makes no difference that matters: {runs}; {searched}."
        return f"The winner is not shown to be better than the recipe: {runs}; {searched}, perhaps by luck."

    def as_json(self) -> dict[str, Any]:
        """Returns the figures for ``tune.json``."""
        j = self.judgement
        return {
            "verdict": j.kind,
            "seeds": self.seeds,
            "winner": self.winner,
            "default": self.default,
            "difference": j.difference.mean,
            "difference_interval": [j.low, j.high],
            "p_value": j.p_value,
            "difference_in_search": self.lead,
            "measured_on": self.measured,
            "interval_over_rows": self.over_rows,
        }


def compared(
    seeds: Sequence[int],
    winner: Sequence[Result],
    default: Sequence[Result],
    *,
    lead: float,
    criterion: Criterion,
    metric: str,
    measured: str,
) -> Fairness | None:
    """Compares two ways of training with the same seeds on the same rows.

    The interval is that of `recurra.measure.study.crossed_mean` over seeds and rows. Of another metric than
    the criterion there are no values of rows: it is Student's paired interval over seeds.

    Args:
        seeds: the seeds.
        winner: the results of one, by seed.
        default: those of the other.
        lead: the difference in the search.
        criterion: the criterion of the task.
        metric: the figure that was searched for; empty for the criterion.
        measured: number and kind of the rows.

    Returns:
        The comparison; None with fewer than two seeds.
    """
    if len(seeds) < 2:
        return None
    over_rows = metric in ("", criterion.name)
    if over_rows:
        first, second = [_scores(run) for run in winner], [_scores(run) for run in default]
        values = np.stack(
            [
                a.values.astype(np.float64) - b.values.astype(np.float64)
                for a, b in zip(first, second, strict=True)
            ]
        )
        sizes = [run.sizes for run in first if run.sizes is not None]
        mean = crossed_mean(ratio_values(values, np.stack(sizes) if sizes else None), shares=criterion.shares)
        written = criterion
    else:
        column = [[a.value - b.value] for a, b in zip(winner, default, strict=True)]
        mean = crossed_mean(np.array(column), shares=False)
        written = metric_criterion(metric, criterion)
    shares = criterion.shares if over_rows else written.higher_is_better
    judged = judge(
        {"winner": (mean, 1.0)}, enough=ENOUGH if shares else 0.0, higher_is_better=written.higher_is_better
    )
    return Fairness(
        seeds=[*seeds],
        winner=[run.value for run in winner],
        default=[run.value for run in default],
        lead=lead,
        judgement=judged["winner"],
        criterion=written,
        measured=measured,
        over_rows=over_rows,
    )


def metric_criterion(metric: str, criterion: Criterion) -> Criterion:
    """Returns how a metric is written; the criterion of the task if ``metric`` is empty or its name."""
    if metric in ("", criterion.name):
        return criterion
    return Criterion(
        metric,
        f"{metric}s",
        criterion.rows,
        "",
        shares=False,
        higher_is_better=higher_is_better(metric),
        majority="",
    )


def _scores(run: Result) -> Scores:
    sizes = None if run.sizes is None else unpack(run.sizes, run.rows).astype(np.float64)
    return Scores(unpack(run.scores, run.rows), sizes)
