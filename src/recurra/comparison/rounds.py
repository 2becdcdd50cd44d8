"""The rounds of a study: the runs to make next, and the results of the runs made so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from recurra.comparison.arms import Arm
from recurra.comparison.pool import Failed
from recurra.comparison.runs import Job, Run
from recurra.errors import ConfigError, DataError, TrainingError
from recurra.measure.study import Judgement, Mean, Scores, crossed_mean, judge, looks, ratio_values
from recurra.measure.study_view import ArmFigures, StudyFigures
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import recipe_under
from recurra.tasks.study import StudyData, StudyFunctions

__all__ = ["Rounds", "Study"]


@dataclass(frozen=True)
class Study:
    """The description of a study.

    Attributes:
        arms: The ways of training to compare.
        against: Key of the arm that the others are compared with.
        seeds: Maximum number of runs of an arm.
        sizes: Numbers of training rows in ascending order; 0 for all.
        settings: Layers of settings for all arms, overridden by the settings of an arm.
        enough: Largest difference that does not matter.
        adaptive: Whether an arm gets no more seeds once its verdict is clear.
        baseline: Whether to measure the baseline too.
        imports: Modules that each run imports first: they register cells.
        path: Directories from which runs in other processes import modules, besides their own.
    """

    arms: Sequence[Arm]
    against: str
    seeds: int = 5
    sizes: Sequence[int] = (0,)
    settings: Sequence[dict[str, Any]] = ()
    enough: float = 0.005
    adaptive: bool = True
    baseline: bool = True
    imports: tuple[str, ...] = ()
    path: tuple[str, ...] = ()

    def layers(self, arm: Arm) -> tuple[dict[str, Any], ...]:
        """Returns the layers of settings of an arm: its recipe, those of all arms, its own."""
        return (recipe_under(arm.recipe, *self.settings, *arm.settings), *self.settings, *arm.settings)


@dataclass
class Rounds:
    """The runs of a study, round by round.

    All decisions depend only on the runs, so a resumed study decides as one that was not interrupted.

    Attributes:
        study: The description of the study.
        data: The rows of the study.
        task: The functions of the task.
        done: Finished runs, by arm, size and seed.
        failed: Failed runs.
        judged: Results of the comparisons, by size and arm.
    """

    study: Study
    data: StudyData
    task: StudyFunctions[Any, Any]
    done: dict[tuple[str, int, int], Run]
    failed: list[Failed] = field(default_factory=list)
    judged: dict[int, dict[str, Judgement]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task.baseline in (arm.key for arm in self.study.arms):
            raise ConfigError(
                f"an arm has the name of the baseline, {self.task.baseline!r}", hint="give it another name"
            )
        # A size of at least the number of rows is the whole training set.
        sizes = [size if size < self.data.rows else 0 for size in self.study.sizes]
        self.sizes = list(dict.fromkeys(sizes))
        if any(self.sizes) and self.task.draw is None and self.task.smaller is None:
            raise ConfigError(
                f"{self.task.criterion.rows} of this task can't be drawn",
                where="--sizes",
                hint="leave it out",
            )
        self.looks = looks(self.study.seeds, self.study.adaptive)
        self.others = [arm.key for arm in self.study.arms if arm.key != self.study.against]

    @property
    def most(self) -> int:
        """Maximum number of runs, without those of the baseline."""
        return len(self.study.arms) * self.study.seeds * len(self.sizes)

    @property
    def networks(self) -> int:
        """Number of finished runs, without those of the baseline."""
        return sum(run.arm != self.task.baseline for run in self.done.values())

    @property
    def measured(self) -> str:
        """Number and kind of the rows measured on."""
        kind = "test" if self.data.tested else "validation"
        return f"{self.data.measured:,} {kind} {self.task.criterion.rows}"

    def go(
        self,
        run: Callable[[Sequence[Job]], Generator[Run | Failed]],
        keep: Callable[[Run], None],
        reporter: Reporter,
    ) -> None:
        """Makes all runs that are needed, and looks at the results after each round."""
        for look in self.looks:
            jobs = list(self._missing(look))
            begun = time.perf_counter()
            with closing(run(jobs)) as results:
                for number, result in enumerate(results, start=1):
                    if isinstance(result, Failed):
                        self.failed.append(result)
                        reporter.warn(f"{result.job}: {result.reason}")
                        continue
                    keep(result)
                    self.done[result.place] = result
                    left = (time.perf_counter() - begun) / number * (len(jobs) - number)
                    until = f", {left / 60:.0f} min left" if left > 60 else ""
                    reporter.note(
                        f"{result}: {self.task.criterion.value(result.score)}, {result.seconds:.0f} s"
                        f" ({number} of {len(jobs)} in this round{until})"
                    )
            self.judged = {size: self._judge(size, look) for size in self.sizes}
            if not any(self._active(size) for size in self.sizes):
                break

    def figures(self, interrupted: bool) -> StudyFigures:
        """Returns the results of the runs so far.

        Raises:
            TrainingError: If no run was finished.
        """
        if not self.networks:
            reasons = f": {self.failed[0].reason}" if self.failed else ""
            raise TrainingError(f"not one run was finished{reasons}")
        names = {arm.key: arm.name for arm in self.study.arms}
        unfinished = [f"{failed.job} failed: {failed.reason}." for failed in self.failed]
        if interrupted:
            unfinished.append(f"The study was interrupted after {self.networks} of at most {self.most} runs.")
        arms = [self._figures(key, name, size) for size in self.sizes for key, name in names.items()]
        baselines = [self._figures(self.task.baseline, self.task.baseline_name, size) for size in self.sizes]
        return StudyFigures(
            against=names[self.study.against],
            measured=self.measured,
            tested=self.data.tested,
            enough=self.study.enough,
            arms=[arm for arm in arms if arm is not None],
            baselines={arm.size: arm for arm in baselines if arm is not None},
            majority=self.data.majority,
            unfinished=unfinished,
            criterion=self.task.criterion,
        )

    def _missing(self, look: int) -> Iterator[Job]:
        """The runs to make before the look after ``look`` seeds, seed by seed."""
        for seed in range(1, look + 1):
            for size in self.sizes:
                active = self._active(size)
                if not active:
                    continue
                if self.study.baseline and (size or seed == 1):
                    # The baseline has no pretrained weights, even if the first arm has.
                    layers = tuple({**layer, "train": {}} for layer in self.study.layers(self.study.arms[0]))
                    yield from self._job(self.task.baseline, size, seed, layers, baseline=True)
                for arm in self.study.arms:
                    if arm.key in {*active, self.study.against}:
                        other = arm.estimator.name if arm.estimator else None
                        yield from self._job(arm.key, size, seed, self.study.layers(arm), estimator=other)

    def _job(
        self, arm: str, size: int, seed: int, layers: tuple[dict[str, Any], ...], **kind: Any
    ) -> Iterator[Job]:
        if (arm, size, seed) in {*self.done, *(failure.job.place for failure in self.failed)}:
            return
        smaller = self.task.smaller(self.data, size) if size and self.task.smaller is not None else {}
        yield Job(
            arm=arm,
            size=size,
            rows=size or self.data.rows,
            seed=seed,
            settings=(*layers, self.data.settings, smaller),
            train=self._training_file(size, seed),
            valid=self.data.path(self.data.valid),
            test=self.data.path(self.data.test),
            imports=self.study.imports,
            path=self.study.path,
            **kind,
        )

    def _training_file(self, size: int, seed: int) -> Path:
        """All training rows, or ``size`` of them drawn by the seed."""
        whole = self.data.folder / self.data.train
        if not size or self.task.draw is None:
            return whole
        path = self.data.folder / f"{whole.stem}-{size}-{seed}{whole.suffix}"
        if not path.is_file():
            self.task.draw(self.data, size, seed, path)
        return path

    def _active(self, size: int) -> list[str]:
        """The arms whose verdict could change with more seeds."""
        judged = self.judged.get(size, {})
        return [key for key in self.others if key not in judged or not judged[key].clear]

    def _judge(self, size: int, look: int) -> dict[str, Judgement]:
        """Verdicts from the first ``look`` seeds; verdicts that were clear at an earlier look are kept."""
        earlier = {key: verdict for key, verdict in self.judged.get(size, {}).items() if verdict.clear}
        differences: dict[str, tuple[Mean, float]] = {}
        for key in self.others:
            if key in earlier:
                differences[key] = earlier[key].difference, earlier[key].share
                continue
            reference = {run.seed: run.row_scores for run in self._runs(self.study.against, size)}
            paired = [
                _difference(key, run.row_scores, reference[run.seed])
                for run in self._runs(key, size)
                if run.seed <= look and run.seed in reference
            ]
            if len(paired) > 1:
                differences[key] = self._mean(paired), self.looks[look]
        return judge(
            differences,
            enough=self.study.enough,
            family=len(self.others),
            higher_is_better=self.task.criterion.higher_is_better,
        )

    def _mean(self, scores: Sequence[Scores]) -> Mean:
        """The mean over seeds and rows with its error."""
        values = np.stack([run.values.astype(np.float64) for run in scores])
        sizes = [run.sizes for run in scores if run.sizes is not None]
        return crossed_mean(
            ratio_values(values, np.stack(sizes) if sizes else None), shares=self.task.criterion.shares
        )

    def _runs(self, key: str, size: int) -> list[Run]:
        seeds = range(1, self.study.seeds + 1)
        return [run for seed in seeds if (run := self.done.get((key, size, seed))) is not None]

    def _figures(self, key: str, name: str, size: int) -> ArmFigures | None:
        runs = self._runs(key, size)
        if not runs:
            return None
        cost = None
        if key in self.others:
            reference = {run.seed: run.cpu_seconds for run in self._runs(self.study.against, size)}
            ratios = [run.cpu_seconds / reference[run.seed] for run in runs if reference.get(run.seed)]
            cost = float(np.exp(np.mean(np.log(ratios)))) if ratios else None
        memories = [run.memory for run in runs if run.memory is not None]
        return ArmFigures(
            key=key,
            name=name,
            size=size,
            rows=runs[0].train_rows,
            scores=[run.score for run in runs],
            log_losses=[run.log_loss for run in runs if run.log_loss is not None],
            seconds=fmean(run.seconds for run in runs),
            memory=max(memories, default=None),
            parameters=round(fmean(run.parameters for run in runs)),
            epochs=fmean(run.epochs for run in runs),
            best_epoch=fmean(run.best_epoch for run in runs),
            cost=cost,
            mean=self._mean([run.row_scores for run in runs]) if len(runs) > 1 else None,
            judgement=self.judged.get(size, {}).get(key),
            compared=key in self.others,
        )


def _difference(key: str, first: Scores, second: Scores) -> Scores:
    """The difference of two runs on each row.

    Raises:
        DataError: If the runs were measured on different rows.
    """
    a, b = (np.ones(len(run.values)) if run.sizes is None else run.sizes for run in (first, second))
    if not np.array_equal(a, b):
        raise DataError(
            f"{key} was measured on other rows",
            where="--recipes",
            hint="compare arms with the same data settings",
        )
    return Scores(np.subtract(first.values, second.values, dtype=np.float64), first.sizes)
