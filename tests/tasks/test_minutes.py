"""A budget of minutes: what is chosen for it, what is kept of it, and that it can be repeated and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recurra import TextClassifier
from recurra.config import Config, TrainConfig, load_recipe
from recurra.errors import BundleError
from recurra.tasks import minutes
from recurra.tasks.fit import fit_files
from recurra.tasks.minutes import Budget, Plan, TimeLeft, choose, resumed_plan
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.training import train_bundle
from recurra.tasks.use import load
from tests.conftest import Files

TIMES = {
    "seconds": st.floats(-10, 10_000),
    "epoch": st.floats(1e-3, 5_000),
    "validation": st.floats(0, 100),
    "steps": st.integers(1, 5_000),
    "epochs": st.integers(1, 50),
}


def needed(epoch: float, validation: float, steps: int, chosen: tuple[int, int]) -> float:
    epochs, part = chosen
    return epochs * (epoch * part / steps + validation)


@given(**TIMES)
def test_what_is_chosen_fits_into_the_time(
    seconds: float, epoch: float, validation: float, steps: int, epochs: int
) -> None:
    chosen = choose(seconds, epoch, validation, steps, epochs)
    assert 1 <= chosen[0] <= epochs
    assert 1 <= chosen[1] <= steps
    takes = needed(epoch, validation, steps, chosen)
    assert takes <= seconds * (1 + 1e-9) or chosen[1] == 1
    if chosen != (epochs, steps) and chosen[1] > 1:
        assert takes >= 0.75 * seconds - chosen[0] * epoch / steps - 1e-6  # at most a quarter is left


@given(**TIMES, more=st.floats(1, 3))
def test_more_time_is_more_training(
    seconds: float, epoch: float, validation: float, steps: int, epochs: int, more: float
) -> None:
    less, further = (choose(time, epoch, 0.0, steps, epochs) for time in (seconds, abs(seconds) * more))
    assert further[0] * further[1] >= less[0] * less[1] - further[0]


def test_the_time_left_leaves_time_for_the_rest() -> None:
    now = [100.0]
    budget = Budget(2.0, 90.0, clock=lambda: now[0])
    assert budget.left() == 110
    left = TimeLeft(budget, epoch=30.0, steps=10, validation=2.0, predictions=5, others=3.0)
    assert left() == 110 - (3 + 5 * 2) - 2
    left.on_batch(1, 10, 0.5, 100, 1.0)
    now[0] += 4.0
    left.on_epoch(None, True)  # type: ignore[arg-type]
    assert left() == 106 - (3 + 5 * 4) - 4  # a validation takes longer than expected, and so does the test
    assert Budget(None).left() == float("inf")


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    warn = note


def planned(seconds_an_epoch: float, minutes: float | None, **train: Any) -> tuple[Config, Plan | None, str]:
    config, notes = Config(train=TrainConfig(minutes=minutes, **train)), Notes()
    budget = Budget(minutes, 0.0, clock=lambda: 10.0)
    left = TimeLeft(budget, epoch=seconds_an_epoch, steps=350, validation=2.0, others=3.0)
    return *left.planned(config, notes), "; ".join(notes.said)


def test_the_duration_is_said_with_and_without_a_limit() -> None:
    config, plan, said = planned(38.0, None)
    assert (config.train.epochs, plan) == (10, None)
    assert said == "about 7 minutes from now: at most 10 epochs of 40 s, then 5 s for testing and the report"

    config, plan, said = planned(38.0, 4.0)
    assert (config.train.epochs, config.train.steps_per_epoch, config.train.minutes) == (5, None, None)
    assert (
        "chosen for 4 minutes: 5 epochs instead of 10; all would take about 7 minutes (--minutes 8)" in said
    )

    config, plan, said = planned(38.0, 0.6)
    assert config.train.epochs == 1
    assert config.train.steps_per_epoch is not None
    assert f"1 epoch instead of 10, of {100 * config.train.steps_per_epoch / 350:.0f}% of the rows" in said

    config, plan, said = planned(38.0, 60.0)
    assert (config.train.epochs, plan is not None and plan.reduces) == (10, False)
    assert "chosen" not in said
    assert "too short" in planned(38.0, 0.2)[2]


def test_the_warm_up_is_a_part_of_the_training() -> None:
    assert planned(38.0, 60.0, warmup_steps=300)[0].train.warmup_steps == 300
    config, _, _ = planned(38.0, 0.6, warmup_steps=300)
    assert config.train.warmup_steps == (config.train.steps_per_epoch or 0) // 10


def test_steps_that_are_set_are_at_most_what_is_chosen() -> None:
    config, _, _ = planned(38.0, 4.0, steps_per_epoch=35)
    assert (config.train.epochs, config.train.steps_per_epoch) == (10, 35)
    config, _, _ = planned(3_800.0, 4.0, steps_per_epoch=35)
    assert config.train.epochs * (config.train.steps_per_epoch or 0) < 35


class Speed:
    """Replaces the trial and the clock: an epoch takes as long as the test says, and everything else 10 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.seconds, self.calls = seconds, 0
        monkeypatch.setattr(Budget, "spent", lambda budget: 10.0)
        monkeypatch.setattr(minutes, "seconds_per_epoch", self)

    def __call__(self, *_: Any, **__: Any) -> float:
        self.calls += 1
        return self.seconds


def same_weights(one: Path, other: Path) -> None:
    first, second = load(one).model.state_dict(), load(other).model.state_dict()
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


@pytest.mark.parametrize("baseline", [True, False])
def test_ngrams_are_fitted_before_the_speed_is_measured_and_their_test_has_its_time(
    sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, baseline: bool
) -> None:
    events: list[str] = []
    speed = Speed(monkeypatch, 1.0)

    class Counted(Reporter):
        def counting(self, what: str, total: int | None = None) -> Any:
            events.append(what)
            return super().counting(what, total)

    others: list[float] = []
    kept = TimeLeft.__init__

    def remember(self: TimeLeft, *arguments: Any, **options: Any) -> None:
        kept(self, *arguments, **options)
        others.append(self.others)

    monkeypatch.setattr(TimeLeft, "__init__", remember)
    small = {"units": 4, "embedding": 4, "experts": ["ngrams", "recurrent"]}
    config = build_config(load_recipe("lstm"), {"model": small, "train": {"epochs": 1, "minutes": 10}})
    out = tmp_path / "model"
    fit_files(
        sample.train, config, out, valid=sample.valid, baseline=baseline, explained=0, reporter=Counted()
    )
    assert speed.calls == 1
    assert events.index("calibrating the n-grams") < events.index("measuring the speed")
    assert others[0] > minutes._FINISH


def test_the_settings_chosen_are_saved_and_give_the_same_model(
    sample: Files, small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = Speed(monkeypatch, 200.0)
    limited = build_config(small_config.plain(), {"train": {"minutes": 5, "epochs": 3, "schedule": "linear"}})
    files = {"valid": sample.valid, "baseline": False}
    fitted = fit_files(sample.train, limited, tmp_path / "a", **files)
    saved = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text(encoding="utf-8"))
    plan = fitted.plan
    assert plan is not None
    assert (plan.epochs, plan.of_epochs, plan.minutes) == (2, 3, 5)
    assert {name: saved["train"][name] for name in ("epochs", "steps_per_epoch", "minutes")} == {
        "epochs": 2, "steps_per_epoch": plan.steps_per_epoch, "minutes": None,
    }  # fmt: skip
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training"]["plan"] == json.loads(plan.model_dump_json())
    assert "2 epochs instead of 3" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")

    fit_files(sample.train, build_config(saved), tmp_path / "b", **files)
    same_weights(tmp_path / "a", tmp_path / "b")

    speed.seconds = 1.0  # a trial at another speed changes no training that has begun
    again = fit_files(sample.train, limited, tmp_path / "a", resume=True, **files)
    assert (again.plan, len(again.outcome.history)) == (plan, 2)
    same_weights(tmp_path / "a", tmp_path / "b")


def test_a_training_cut_by_time_says_so_and_resumes_with_its_plan(
    sample: Files, small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Speed(monkeypatch, 1.0)
    limited = build_config(small_config.plain(), {"train": {"minutes": 5}})
    files = {"valid": sample.valid, "baseline": False}
    with monkeypatch.context() as patch:
        patch.setattr(TimeLeft, "__call__", lambda self: 0.0)
        notes = Notes()
        cut = fit_files(sample.train, limited, tmp_path / "a", reporter=notes, **files)
    assert cut.outcome.stopped == "time"
    assert any("the minutes are up" in said for said in notes.said)
    assert "stopped when the minutes were up" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    fit_files(sample.train, limited, tmp_path / "a", resume=True, **files)
    fit_files(sample.train, small_config, tmp_path / "b", **files)
    same_weights(tmp_path / "a", tmp_path / "b")


def test_a_raised_setting_is_kept_when_a_plan_is_resumed(tmp_path: Path) -> None:
    _, plan, _ = planned(38.0, 4.0)
    assert plan is not None
    plan.save(tmp_path)
    assert resumed_plan(tmp_path) == plan
    assert resumed_plan(tmp_path / "none") is None
    assert plan.applied(Config()).train.epochs == 5
    assert plan.applied(Config(train=TrainConfig(epochs=20))).train.epochs == 20
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(BundleError, match="the plan is damaged"):
        resumed_plan(tmp_path)


def test_who_only_trains_has_no_trial(
    sample: Files, small_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = Speed(monkeypatch, 1e6)
    limited = build_config(small_config.plain(), {"train": {"minutes": 5, "epochs": 1}})
    task = task_named("classify")
    prepared = task.prepare(sample.train, limited, Reporter(), valid=sample.valid)
    assert len(train_bundle(task, prepared).outcome.history) == 1
    assert speed.calls == 0


def test_an_estimator_has_a_limit_only_if_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = Speed(monkeypatch, 1e6)
    quick = {"units": 3, "embedding": 2, "epochs": 2, "batch_size": 4, "vocab_size": 20}
    texts, labels = ["good film", "bad plot"] * 10, [1, 0] * 10
    model = TextClassifier(**quick, minutes=0.5).fit(texts, labels)
    assert (speed.calls, len(model.history_), model.bundle_.config.train.steps_per_epoch) == (1, 1, 1)
    assert model.get_params()["minutes"] == 0.5
    TextClassifier(**quick, settings={"train": {"patience": 1}}).fit(texts, labels)
    assert speed.calls == 1
