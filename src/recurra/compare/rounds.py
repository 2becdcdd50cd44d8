"""The runs of a study in rounds: which to make next, and what those that are made say."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.compare.arms import Arm
from recurra.compare.parts import StudyData
from recurra.compare.pool import Failed
from recurra.compare.runs import BASELINE, Job, Run, unpack
from recurra.errors import TrainingError
from recurra.measure.study import Judgement, Mean, crossed_mean, judge, looks
from recurra.measure.study_view import ArmFigures, StudyFigures
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import recipe_under

__all__ = ["Rounds", "Study"]

Place = tuple[str, int, int]


@dataclass(frozen=True)
class Study:
    """What to compare, and how far to go.

    Attributes:
        arms: the ways of training.
        against: the key of the one that the others are compared to.
        seeds: runs of an arm at most.
        sizes: training rows, smallest first; 0 stands for all there are.
        settings: layers of settings for every arm, below what an arm sets itself.
        enough: a difference this small does not matter, as a share.
        adaptive: whether an arm gets no more seeds when its verdict is clear.
        baseline: whether the n-gram baseline is measured beside them.
    """

    arms: Sequence[Arm]
    against: str
    seeds: int = 5
    sizes: Sequence[int] = (0,)
    settings: Sequence[dict[str, Any]] = ()
    enough: float = 0.005
    adaptive: bool = True
    baseline: bool = True

    def layers(self, arm: Arm) -> tuple[dict[str, Any], ...]:
        """The layers of settings of an arm: its recipe, everybody's, its own."""
        return (recipe_under(arm.recipe, *self.settings, *arm.settings), *self.settings, *arm.settings)


@dataclass
class Rounds:
    """The runs of a study, round by round: which to make next, and what those that are made say.

    Everything is decided from the runs alone, so a study that goes on decides as one that was never stopped.
    """

    study: Study
    study_data: StudyData
    done: dict[Place, Run]
    failed: list[Failed] = field(default_factory=list)
    judged: dict[int, dict[str, Judgement]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A size that asks for as many rows as there are, or more, asks for all.
        sizes = [size if size < self.study_data.rows else 0 for size in self.study.sizes]
        self.sizes = list(dict.fromkeys(sizes))
        self.looks = looks(self.study.seeds, self.study.adaptive)
        self.others = [arm.key for arm in self.study.arms if arm.key != self.study.against]

    @property
    def most(self) -> int:
        """How many runs there may be at most, the baseline's left out."""
        return len(self.study.arms) * self.study.seeds * len(self.sizes)

    @property
    def measured(self) -> str:
        """The rows that are measured on, in words."""
        return f"{self.study_data.measured:,} {'test' if self.study_data.tested else 'validation'} rows"

    def go(
        self,
        run: Callable[[Sequence[Job]], Generator[Run | Failed]],
        keep: Callable[[Run], None],
        reporter: Reporter,
    ) -> None:
        """Make all runs that are needed, looking at what they say after each round."""
        for look in self.looks:
            jobs = list(self._missing(look))
            begun = time.perf_counter()
            with closing(run(jobs)) as results:
                for number, result in enumerate(results, start=1):
                    if isinstance(result, Failed):
                        self.failed.append(result)
                        reporter.warn(f"{_place(result.job)}: {result.reason}")
                        continue
                    keep(result)
                    self.done[result.place] = result
                    left = (time.perf_counter() - begun) / number * (len(jobs) - number)
                    reporter.note(
                        f"{_place(result)}: {100 * result.accuracy:.1f}%, {result.seconds:.0f} s"
                        f" ({number} of {len(jobs)} in this round{_left(left)})"
                    )
            self.judged = {size: self._judge(size, look) for size in self.sizes}
            if not any(self._active(size) for size in self.sizes):
                break

    def figures(self, interrupted: bool) -> StudyFigures:
        """All that the runs say so far.

        Raises:
            TrainingError: there is not one run.
        """
        networks = [run for run in self.done.values() if run.arm != BASELINE]
        if not networks:
            reasons = f": {self.failed[0].reason}" if self.failed else ""
            raise TrainingError(f"not one run was finished{reasons}")
        names = {arm.key: arm.name for arm in self.study.arms}
        unfinished = [f"{_place(fail.job)} came to nothing: {fail.reason}." for fail in self.failed]
        if interrupted:
            unfinished.append(f"The study was interrupted after {len(networks)} of at most {self.most} runs.")
        arms = [self._figures(key, name, size) for size in self.sizes for key, name in names.items()]
        baselines = [self._figures(BASELINE, "n-gram baseline", size) for size in self.sizes]
        return StudyFigures(
            against=names[self.study.against],
            measured=self.measured,
            tested=self.study_data.tested,
            enough=self.study.enough,
            seeds=self.study.seeds,
            arms=[arm for arm in arms if arm is not None],
            baselines={arm.size: arm for arm in baselines if arm is not None},
            majority=self.study_data.majority,
            unfinished=unfinished,
        )

    def _missing(self, look: int) -> Iterator[Job]:
        """The runs to make before the look after ``look`` seeds, seed by seed."""
        for seed in range(1, look + 1):
            for size in self.sizes:
                active = self._active(size)
                wanted = [
                    arm for arm in self.study.arms if arm.key in {*active, self.study.against} and active
                ]
                if self.study.baseline and (size or seed == 1) and active:
                    layers = self.study.layers(self.study.arms[0])
                    yield from self._job(BASELINE, size, seed, layers)
                for arm in wanted:
                    yield from self._job(arm.key, size, seed, self.study.layers(arm))

    def _job(self, arm: str, size: int, seed: int, layers: tuple[dict[str, Any], ...]) -> Iterator[Job]:
        failed = {(fail.job.arm, fail.job.size, fail.job.seed) for fail in self.failed}
        if (arm, size, seed) in self.done or (arm, size, seed) in failed:
            return
        if arm == BASELINE:  # begins from nothing, whatever the networks begin from
            layers = tuple({**layer, "train": {}} for layer in layers)
        settings = (*layers, {"data": self.study_data.settings})
        train = self.study_data.train(size, seed)
        yield Job(
            arm=arm,
            size=size,
            seed=seed,
            settings=settings,
            train=train,
            valid=self.study_data.valid,
            test=self.study_data.test,
        )

    def _active(self, size: int) -> list[str]:
        """The arms whose verdict more seeds may change."""
        judged = self.judged.get(size, {})
        return [key for key in self.others if key not in judged or not judged[key].clear]

    def _judge(self, size: int, look: int) -> dict[str, Judgement]:
        """Verdicts from the first ``look`` seeds; what was clear at a former look stays as it was."""
        former = {key: found for key, found in self.judged.get(size, {}).items() if found.clear}
        found: dict[str, tuple[Mean, float]] = {}
        for key in self.others:
            if key in former:
                found[key] = former[key].difference, former[key].share
                continue
            pairs = [
                (self._right(key, size, seed), self._right(self.study.against, size, seed))
                for seed in range(1, look + 1)
            ]
            gains = [np.subtract(a, b, dtype=np.float64) for a, b in pairs if a is not None and b is not None]
            if len(gains) > 1:
                found[key] = crossed_mean(np.stack(gains)), self.looks[look]
        return judge(found, enough=self.study.enough, family=len(self.others))

    def _right(self, key: str, size: int, seed: int) -> NDArray[np.bool_] | None:
        run = self.done.get((key, size, seed))
        return None if run is None else unpack(run.right, run.rows)

    def _runs(self, key: str, size: int) -> list[Run]:
        seeds = range(1, self.study.seeds + 1)
        return [run for seed in seeds if (run := self.done.get((key, size, seed))) is not None]

    def _figures(self, key: str, name: str, size: int) -> ArmFigures | None:
        runs = self._runs(key, size)
        if not runs:
            return None
        cost = None
        if key in self.others:
            beside = {run.seed: run.cpu_seconds for run in self._runs(self.study.against, size)}
            ratios = [run.cpu_seconds / beside[run.seed] for run in runs if beside.get(run.seed)]
            cost = float(np.exp(np.mean(np.log(ratios)))) if ratios else None
        memories = [run.memory for run in runs if run.memory is not None]
        right = [unpack(run.right, run.rows) for run in runs]
        return ArmFigures(
            key=key,
            name=name,
            size=size,
            rows=runs[0].train_rows,
            accuracies=[run.accuracy for run in runs],
            log_losses=[run.log_loss for run in runs],
            seconds=_mean(run.seconds for run in runs),
            memory=max(memories, default=None),
            parameters=round(_mean(run.parameters for run in runs)),
            epochs=_mean(run.epochs for run in runs),
            best_epoch=_mean(run.best_epoch for run in runs),
            cost=cost,
            mean=crossed_mean(np.stack(right).astype(np.float64)) if len(runs) > 1 else None,
            judgement=self.judged.get(size, {}).get(key),
            beside=key in self.others,
        )


def _left(seconds: float) -> str:
    return f", {seconds / 60:.0f} min left" if seconds > 60 else ""


def _place(of: Run | Job) -> str:
    rows = f"{of.size:,} rows, " if of.size else ""
    return f"{of.arm}, {rows}seed {of.seed}"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
