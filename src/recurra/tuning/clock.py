"""The time of a search: how long a run may take, when the last trial may begin, what is left for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import ceil, floor

from recurra.tuning.search import Tried

__all__ = ["MOST_SEEDS", "Clock"]

_RUNS = 20
"""Runs one after another that would fill the time: more are shorter, fewer leave nothing to choose from."""
_FINAL = 1.6
"""Time of the final model with its baseline, test and report, in runs."""
_SPARE = 1.1
"""Runs of the comparison take a bit longer than those of the search if other programs run."""
_HELD_UP = 1.5
"""Longest time of a run that is expected of others, as a multiple of its limit."""
MOST_SEEDS = 20
"""Fresh seeds, unless more are asked for, after which the time is not used up."""
_REPORT = 0.02
"""Share of the time for importances and the report."""


class Clock:
    """Divides the minutes of a search among trials, comparison and final model.

    Args:
        minutes: of everything; None without a limit.
        begun: value of ``clock`` at the beginning.
        before: seconds that the search took before it was interrupted.
        at_once: number of parallel runs.
        seeds: fresh seeds of the comparison.
        run_minutes: minutes of a run, if an interrupted search had chosen them.
        clock: seconds since some time.

    Example:
        >>> clock = Clock(10, 0.0, 0.0, at_once=2, seeds=3, clock=lambda: 60.0)
        >>> clock.run_minutes, clock.spent(), clock.seeds_left(30.0)
        (0.5, 60.0, 14)
    """

    def __init__(
        self,
        minutes: float | None,
        begun: float,
        before: float,
        at_once: int,
        seeds: int,
        run_minutes: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._minutes, self._begun, self._clock = minutes, begun - before, clock
        self._at_once, self._seeds = at_once, seeds
        self.run_minutes = run_minutes or (None if minutes is None else minutes / _RUNS)

    def spent(self) -> float:
        """Returns the seconds since the beginning, without the time between two sessions."""
        return self._clock() - self._begun

    def minutes_left(self) -> float | None:
        """Returns the minutes for the final model, with its test and report; None without a limit."""
        if self._minutes is None:
            return None
        return max(0.02, self._minutes * (1 - _REPORT) - self.spent() / 60)

    def may_begin(self, trials: Sequence[Tried]) -> bool:
        """Returns whether another trial would be finished in time, judged by those before."""
        if self._minutes is None or self.run_minutes is None:
            return True
        walls = [trial.result.wall for trial in trials if trial.result is not None]
        # A run that took longer was held up once, e.g. by the loading of libraries, not by its settings.
        longest = min(max(walls, default=60 * self.run_minutes), _HELD_UP * 60 * self.run_minutes)
        rounds = ceil(2 * self._seeds / self._at_once)
        rest = (_SPARE * rounds + _FINAL) * longest + _REPORT * 60 * self._minutes
        usual = min(sum(walls) / len(walls), longest) if walls else longest
        return self.spent() + usual + rest <= 60 * self._minutes

    def seeds_left(self, longest: float, done: int = 0) -> int:
        """Returns the number of further fresh seeds for which the time suffices.

        With a limit it may be more than were asked for: the time is used.

        Args:
            longest: seconds of a run.
            done: fresh seeds so far.
        """
        if self._minutes is None:
            return max(0, self._seeds - done)
        left = 60 * self._minutes * (1 - _REPORT) - self.spent() - _FINAL * longest
        rounds = floor(left / (_SPARE * max(longest, 1e-3)))
        return max(0, min(max(self._seeds, MOST_SEEDS) - done, rounds * self._at_once // 2))
