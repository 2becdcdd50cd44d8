"""Rounds of a study: what is clear gets no more seeds; one that goes on decides as one never stopped."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest

from recurra.comparison.arms import parse_arms
from recurra.comparison.pool import Failed
from recurra.comparison.rounds import Rounds, Study
from recurra.comparison.runs import Job, Run, pack
from recurra.errors import DataError, TrainingError
from recurra.measure.study_view import StudyFigures
from recurra.tasks.classification.study import STUDY
from recurra.tasks.language.study import STUDY as LANGUAGE
from recurra.tasks.reporter import Reporter
from recurra.tasks.study import StudyData

ROWS = 2000
BASELINE = STUDY.baseline
CHANCES = {BASELINE: 0.7, "lstm": 0.8, "gru": 0.9, "simple-rnn": 0.8, "bi-lstm": 0.8}


def learned(job: Job) -> Run:
    """A run as if it had been made: how well an arm does is `CHANCES`."""
    shared = np.random.default_rng([job.seed, job.size]).random(ROWS)
    alike = "lstm" if job.arm == "bi-lstm" else job.arm  # but for two rows
    own = np.random.default_rng([job.seed, job.size, len(alike)]).random(ROWS)
    # Most rows are correct or wrong for all arms.
    right = np.where(shared < 0.9, shared, own) < CHANCES[alike]
    if job.arm == "bi-lstm":
        right[:2] = ~right[:2]
    return Run(
        arm=job.arm, size=job.size, seed=job.seed, train_rows=job.size or 900, rows=ROWS,
        score=float(right.mean()), log_loss=0.4, scores=pack(right), seconds=2.0,
        cpu_seconds=3.0 if job.arm == "gru" else 1.0, memory=None,
    )  # fmt: skip


class Runner:
    """Makes runs, records them, and stops or fails at a given run."""

    def __init__(
        self, stop_after: int | None = None, failing: frozenset[tuple[str, int]] = frozenset()
    ) -> None:
        self.made: list[tuple[str, int, int]] = []
        self.stop_after, self.failing = stop_after, failing

    def __call__(self, jobs: Sequence[Job]) -> Generator[Run | Failed]:
        for job in jobs:
            if len(self.made) == self.stop_after:
                raise KeyboardInterrupt
            if (job.arm, job.seed) in self.failing:
                yield Failed(job, "the loss is nan")
                continue
            self.made.append((job.arm, job.size, job.seed))
            yield learned(job)


def rounds(folder: Path, done: list[Run] | None = None, **more: object) -> Rounds:
    arms = parse_arms("lstm,gru,simple-rnn,bi-lstm")
    study = Study(arms, "lstm", **{"seeds": 5, **more})  # type: ignore[arg-type]
    np.save(folder / "strata.npy", np.arange(900) % 2)
    settings = {"data": {"format": "parquet", "text": ["text"], "label": "label"}}
    study_data = StudyData(
        folder, 900, ROWS, "train.parquet", "valid.parquet", "test.parquet", True, 0, 0.5, settings
    )
    return Rounds(study, study_data, STUDY, {run.place: run for run in done or []})


def found(of: Rounds) -> dict[str, str]:
    return {a.key: a.judgement.kind for a in of.figures(False).arms if a.judgement}


def test_what_is_clear_gets_no_more_seeds(tmp_path: Path) -> None:
    study, run = rounds(tmp_path), Runner()
    kept: list[Run] = []
    study.go(run, kept.append, Reporter())
    seeds = {arm: sum(place[0] == arm for place in run.made) for arm in CHANCES}
    assert seeds == {BASELINE: 1, "lstm": 5, "gru": 3, "simple-rnn": 5, "bi-lstm": 3}
    assert found(study) == {"gru": "better", "simple-rnn": "open", "bi-lstm": "same"}
    assert [run.place for run in kept] == run.made
    figures = {arm.key: arm for arm in study.figures(False).arms}
    assert figures["gru"].cost == pytest.approx(3)
    assert figures["lstm"].cost is None


def test_without_early_stops_all_seeds_are_made(tmp_path: Path) -> None:
    study, run = rounds(tmp_path, adaptive=False, baseline=False), Runner()
    study.go(run, lambda _: None, Reporter())
    assert sorted(run.made) == sorted(
        (arm, 0, seed) for arm in CHANCES if arm != BASELINE for seed in range(1, 6)
    )


@pytest.mark.parametrize("stop_after", [0, 1, 7, 14, 16])
def test_a_study_that_goes_on_makes_the_missing_runs_alone(tmp_path: Path, stop_after: int) -> None:
    whole, all_runs = rounds(tmp_path), Runner()
    whole.go(all_runs, lambda _: None, Reporter())
    first, before = rounds(tmp_path), Runner(stop_after)
    with pytest.raises(KeyboardInterrupt):
        first.go(before, lambda _: None, Reporter())
    second, after = rounds(tmp_path, list(first.done.values())), Runner()
    second.go(after, lambda _: None, Reporter())
    assert before.made + after.made == all_runs.made
    assert second.figures(False) == whole.figures(False)


def test_an_interrupted_study_has_figures_and_says_so(tmp_path: Path) -> None:
    study = rounds(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.go(Runner(4), lambda _: None, Reporter())
    figures: StudyFigures = study.figures(True)
    assert "interrupted after 3 of at most 20 runs" in figures.unfinished[0]
    assert all(arm.judgement is None for arm in figures.arms)
    empty = rounds(tmp_path)
    with pytest.raises(TrainingError, match="not one run"):
        empty.figures(True)


def test_a_run_that_fails_removes_its_pair_and_is_reported(tmp_path: Path) -> None:
    study = rounds(tmp_path, adaptive=False)
    run = Runner(failing=frozenset({("gru", 2), ("lstm", 4)}))
    study.go(run, lambda _: None, Reporter())
    figures = study.figures(False)
    judged = {arm.key: arm.judgement for arm in figures.arms}
    assert judged["gru"] is not None
    assert judged["gru"].difference.seeds == 3
    assert judged["simple-rnn"] is not None
    assert judged["simple-rnn"].difference.seeds == 4
    assert figures.unfinished == [
        "gru, seed 2 failed: the loss is nan.",
        "lstm, seed 4 failed: the loss is nan.",
    ]


def test_every_size_is_judged_by_itself(tmp_path: Path) -> None:
    study, run = rounds(tmp_path, sizes=(100, 900, 5000, 0)), Runner()
    study.data.folder.joinpath("train-100-1.parquet").touch()
    for seed in range(1, 6):
        study.data.folder.joinpath(f"train-100-{seed}.parquet").touch()
    study.go(run, lambda _: None, Reporter())
    assert {size for _, size, _ in run.made} == {100, 0}  # 900 and 5,000 are all there are
    assert [seed for arm, size, seed in run.made if (arm, size) == (BASELINE, 100)] == [1, 2, 3, 4, 5]
    assert [arm.size for arm in study.figures(False).arms] == [100] * 4 + [0] * 4


LOSSES = {"n-grams": 4.0, "lstm": 5.0, "gru": 4.8, "simple-rnn": 5.2, "bi-lstm": 5.0}
BLOCKS = 100


def losses(jobs: Sequence[Job]) -> Generator[Run | Failed]:
    """Runs of a language model on blocks of 50 to 150 tokens, which are alike but for the arm's loss."""
    sizes = np.random.default_rng(0).integers(50, 150, BLOCKS).astype(float)
    for job in jobs:
        shared = np.random.default_rng(job.seed).normal(0, 0.5, BLOCKS)
        own = np.random.default_rng([job.seed, len(job.arm)]).normal(0, 0.05, BLOCKS)
        nats = sizes * (LOSSES[job.arm] + shared + own)
        yield Run(
            arm=job.arm, size=0, seed=job.seed, train_rows=900, rows=BLOCKS, score=nats.sum() / sizes.sum(),
            log_loss=None, scores=pack(nats), sizes=pack(sizes), seconds=2.0, cpu_seconds=1.0, memory=None,
        )  # fmt: skip


def test_a_lower_loss_is_better(tmp_path: Path) -> None:
    study = rounds(tmp_path, adaptive=False)
    study.task = LANGUAGE
    study.go(losses, lambda _: None, Reporter())
    assert found(study) == {"gru": "better", "simple-rnn": "worse", "bi-lstm": "open"}
    figures = {arm.key: arm for arm in study.figures(False).arms}
    judged = figures["gru"].judgement
    assert judged is not None
    assert judged.low < -0.2 < judged.high
    assert judged.difference.mean == pytest.approx(figures["gru"].score - figures["lstm"].score, abs=1e-9)
    assert figures["gru"].log_losses == []


def test_runs_on_other_rows_are_refused(tmp_path: Path) -> None:
    study = rounds(tmp_path)
    study.task = LANGUAGE

    def fewer(jobs: Sequence[Job]) -> Generator[Run | Failed]:
        for run in losses(jobs):
            assert isinstance(run, Run)
            if run.arm == "gru":
                cut = pack(run.row_scores.values[1:]), pack(np.ones(BLOCKS - 1))
                yield run.model_copy(update={"rows": BLOCKS - 1, "scores": cut[0], "sizes": cut[1]})
            else:
                yield run

    with pytest.raises(DataError, match="gru was measured on other rows"):
        study.go(fewer, lambda _: None, Reporter())
