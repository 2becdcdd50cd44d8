"""The parts of a search without training: trials on disk, pruning, time, importance, fairness, costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recurra.measure.study import Criterion
from recurra.tuning.clock import Clock
from recurra.tuning.fairness import compared
from recurra.tuning.importance import importances
from recurra.tuning.search import Search, Tried
from recurra.tuning.space import Dimension, Space
from recurra.tuning.tuned import front
from tests.tuning.results import result

SPACE: Space = {
    "model.cell": Dimension(values=("lstm", "gru"), why="cells"),
    "model.units": Dimension(low=16, high=128, step=16, why="width"),
    "model.dropout": Dimension(low=0.0, high=0.6, step=0.1, why="noise"),
    "train.learning_rate": Dimension(low=1e-4, high=1e-2, log=True, why="rate"),
}


def value_of(values: dict[str, Any]) -> float:
    return 0.9 - 0.1 * abs(np.log10(values["train.learning_rate"] / 1e-3))


def go(search: Search, until: int) -> None:
    if not search.tried:
        search.add_first(result(0.8), {1: 0.7})
    while len(search.tried) < until:
        trial = search.ask()
        search.tell(trial, result(value_of(trial.params)).model_dump(mode="json"))


def shown(search: Search) -> list[tuple[dict[str, Any], float | None]]:
    return [(trial.values, trial.result and trial.result.value) for trial in search.tried]


def test_the_first_trial_is_the_recipe_at_its_nearest_point(tmp_path: Path) -> None:
    search = Search(tmp_path, SPACE, 1, True)
    search.add_first(result(0.8), {})
    expected = {"model.cell": "lstm", "model.units": 64, "model.dropout": 0.5, "train.learning_rate": 0.001}
    assert search.tried[0].values == expected


def test_an_interrupted_search_goes_on_as_one_that_was_not(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    go(Search(whole, SPACE, 1, True), 12)
    first = Search(parts, SPACE, 1, True)
    go(first, 8)
    begun = first.ask()  # killed during this one
    again = Search(parts, SPACE, 1, True)
    assert len(again.tried) == 8
    go(again, 12)
    assert again.tried[8].values == begun.params
    assert shown(again) == shown(Search(whole, SPACE, 1, True))


def test_a_trial_behind_the_median_is_ended_but_not_after_its_last_epoch(tmp_path: Path) -> None:
    search = Search(tmp_path, SPACE, 1, True)
    search.add_first(result(0.8), {1: 0.7, 2: 0.8})
    for value in (0.6, 0.7, 0.8, 0.9):
        trial = search.ask()
        assert search.goes_on(trial, 1, value, False)
        search.tell(trial, result(value).model_dump(mode="json"))
    trial = search.ask()
    assert search.goes_on(trial, 1, 0.75, False)
    assert search.goes_on(trial, 1, 0.1, False)  # the run was made again: its first report counts
    trial = search.ask()
    assert not search.goes_on(trial, 1, 0.5, False)
    assert search.goes_on(trial, 1, 0.5, True)
    search.tell(trial, {"pruned": True})
    assert search.tried[-1].state == "pruned"


def test_a_failed_trial_has_its_reason_and_is_not_the_best(tmp_path: Path) -> None:
    search = Search(tmp_path, SPACE, 1, False)
    go(search, 3)
    search.tell(search.ask(), "the loss is nan")
    assert (search.tried[-1].state, search.tried[-1].reason) == ("failed", "the loss is nan")
    best = search.best()
    assert best is not None
    assert best[1].value == min(r.value for _, r in search.complete)
    assert Search(tmp_path, SPACE, 1, False).tried[-1].reason == "the loss is nan"


def test_the_setting_that_decides_is_the_most_important_one(tmp_path: Path) -> None:
    search = Search(tmp_path, SPACE, 1, True)
    go(search, 16)
    trials = [(trial, found.value) for trial, found in search.complete]
    found = importances(trials, SPACE)
    assert found[0].name == "train.learning_rate"
    assert found[0].share > 0.4 > max(each.share for each in found[1:])
    assert all(0 <= each.low <= each.share <= each.high <= 1 for each in found)
    assert importances(trials[:7], SPACE) == []
    assert importances([(trial, 0.5) for trial, _ in trials], SPACE) == []


def rows(share: float, seed: int) -> Any:
    return np.random.default_rng(seed).random(2000) < share


@pytest.mark.parametrize(
    ("gain", "kind", "words"),
    [
        (0.06, "better", "The winner is better than the recipe"),
        (-0.06, "worse", "by luck"),
        (0.0, "open", "not shown to be better"),
    ],
)
def test_a_winner_is_better_or_only_luckier(gain: float, kind: str, words: str) -> None:
    seeds = [2, 3, 4]
    default = [result(0.7, rows(0.7, seed)) for seed in seeds]
    winner = [result(0.7 + gain, rows(0.7 + gain, seed)) for seed in seeds]  # right where the recipe is
    if kind == "open":
        winner = [result(0.7, rows(0.7, 10 + seed)) for seed in seeds]
    found = compared(
        seeds, winner, default, lead=0.05, criterion=Criterion(), metric="", measured="2,000 test rows"
    )
    assert found is not None
    assert found.judgement.kind == kind
    assert words in found.sentence
    assert found.over_rows
    assert found.as_json()["seeds"] == seeds


def test_another_metric_is_compared_over_seeds_alone() -> None:
    seeds = [2, 3, 4]
    default, winner = ([result(value) for value in values] for values in ((0.5, 0.6, 0.7), (0.6, 0.71, 0.79)))
    found = compared(
        seeds, winner, default, lead=0.1, criterion=Criterion(), metric="macro_f1", measured="100 test rows"
    )
    assert found is not None
    assert not found.over_rows
    assert found.judgement.kind == "better"
    assert "+0.100" in found.sentence
    assert (
        compared([2], winner[:1], default[:1], lead=0, criterion=Criterion(), metric="", measured="") is None
    )


def tried(wall: float) -> Tried:
    class One:
        number, params, user_attrs = 0, {}, {"result": result(0.5, wall=wall).model_dump(mode="json")}

    return Tried(One())  # type: ignore[arg-type]


def test_the_time_is_kept_for_comparison_and_final_model() -> None:
    now = 0.0
    clock = Clock(10, 0.0, 0.0, 2, 3, clock=lambda: now)
    assert clock.run_minutes == 0.5
    trials = [tried(30.0)]
    while clock.may_begin(trials):
        now += 15.0  # two at a time
    # Three pairs on two processors and the final model still fit.
    assert 400 < now < 460
    now += 15.0  # the last two end 30 s after they began
    assert clock.seeds_left(30.0) >= 3
    assert clock.seeds_left(10.0) > clock.seeds_left(30.0)  # the time is used for more, if runs are short
    assert clock.seeds_left(1e-6, done=15) == 5  # but not for more than 20
    now = 520.0
    assert clock.seeds_left(30.0) < 2
    left = clock.minutes_left()
    assert left is not None
    assert 0 < left < 80 / 60
    now = 700.0
    assert clock.minutes_left() == 0.02
    assert not clock.may_begin(trials)


def test_a_first_run_that_was_held_up_does_not_end_the_search() -> None:
    clock = Clock(10, 0.0, 0.0, 2, 3, clock=lambda: 150.0)
    assert clock.may_begin([tried(120.0)])  # four times its limit


def test_the_time_before_an_interruption_counts_and_no_limit_has_no_end() -> None:
    assert Clock(10, 100.0, 60.0, 2, 3, clock=lambda: 110.0).spent() == 70.0
    clock = Clock(None, 0.0, 0.0, 2, 3, clock=lambda: 1e6)
    assert clock.may_begin([])
    assert (clock.seeds_left(5.0), clock.minutes_left(), clock.run_minutes) == (3, None, None)
    assert clock.seeds_left(5.0, done=3) == 0


def test_the_front_has_what_nothing_cheaper_beats() -> None:
    class One:
        def __init__(self, number: int) -> None:
            self.number = number

    costs = [(0.7, 10), (0.6, 20), (0.8, 30), (0.8, 40), (0.7, 5)]
    trials: Any = [
        (One(n), result(value, parameters=size, cpu_seconds=1.0)) for n, (value, size) in enumerate(costs)
    ]
    assert [trial.number for trial, _ in front(trials, "parameters")] == [4, 2]
    assert [trial.number for trial, _ in front(trials, "parameters", -1)] == [4, 1]
    assert [trial.number for trial, _ in front(trials, "cpu_seconds")] == [2]
