"""A whole search: rows, trials within the time, a fair comparison, the final model, and the report."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from recurra.comparison.runs import DATA, append_line, files_read
from recurra.config import Config, merged_settings
from recurra.directories import locked
from recurra.engines import Call, Engine, RunError, open_engine
from recurra.errors import ConfigError, TrainingError
from recurra.files import replacing
from recurra.measure.study import Criterion
from recurra.tasks.fit import fit_files
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.study import StudyData, StudyFunctions
from recurra.tasks.training import compile_cell, may_use_kernels
from recurra.tuning.clock import MOST_SEEDS, Clock
from recurra.tuning.fairness import Fairness, compared, metric_criterion
from recurra.tuning.folder import BEST, MODEL, RUNS, forget, identity, open_folder, read_runs
from recurra.tuning.importance import importances
from recurra.tuning.pages import write_pages
from recurra.tuning.parts import split
from recurra.tuning.search import Search, Tried, require_optuna
from recurra.tuning.space import Space, changes, names_in, space_of
from recurra.tuning.tuned import Tuned
from recurra.tuning.worker import Result, TuneJob

__all__ = ["TuneRequest", "tune_files"]

WORKER = "recurra.tuning.worker"
_FEW = 5  # trials, with the recipe, below which nothing is searched


@dataclass(frozen=True)
class TuneRequest:
    """What to search for.

    Attributes:
        layers: layers of settings, those of the recipe first; settings of the others are not varied.
        metric: the figure to search for on the validation rows; empty for the criterion of the task.
        minutes: time of everything; None without a limit.
        trials: maximum number of trials; None without one.
        seeds: number of fresh seeds with which the winner is compared with the recipe: more if time is left,
            fewer if they do not suffice.
    """

    layers: Sequence[dict[str, Any]]
    metric: str = ""
    minutes: float | None = 10.0
    trials: int | None = None
    seeds: int = 3


@dataclass
class _Run:
    """What all steps of a search use."""

    request: TuneRequest
    config: Config
    functions: StudyFunctions[Any, Any]
    parts: StudyData
    space: Space
    search: Search
    clock: Clock
    engine: Engine
    folder: Path
    reporter: Reporter
    criterion: Criterion = field(init=False)

    def __post_init__(self) -> None:
        self.criterion = metric_criterion(self.request.metric, self.functions.criterion)

    def call(self, *settings: dict[str, Any], seed: int, minutes: float | None, measure: str) -> Call:
        parts = self.parts
        job = TuneJob.model_validate(
            {
                "settings": (*settings, parts.settings),
                "seed": seed,
                "train": parts.folder / parts.train,
                "valid": parts.path(parts.valid),
                "test": parts.path(parts.test),
                "minutes": minutes,
                "metric": self.request.metric,
                "measure": measure,
            }
        )
        files = files_read(job.settings, job.train, job.valid, job.test)
        return Call(f"{WORKER}:run", job.model_dump(mode="json"), files)


def tune_files(
    data: Path,
    request: TuneRequest,
    out: Path,
    *,
    valid: Path | None = None,
    test: Path | None = None,
    jobs: int | None = None,
    engine: str = "processes",
    address: str | None = None,
    command: str = "",
    begun: float | None = None,
    reporter: Reporter | None = None,
) -> Tuned:
    """Searches for better settings, compares the best with the recipe, and trains and tests the final model.

    What is finished is kept in ``out``: the same call continues an interrupted search.

    Args:
        data: training file.
        request: what to search for.
        out: directory of the search; the final model is in ``out / "model"``.
        valid: validation file, on which the trials are compared. If None, rows are held out.
        test: test file. If None, rows are held out, or those that the task tests on.
        jobs: number of parallel runs. If None, the number of processors.
        engine: what makes the runs: ``processes``, ``ray``, or ``inline`` for debugging.
        address: address of a Ray cluster. If None, one is started on this machine.
        command: the command line, for the report.
        begun: value of `time.monotonic` when the minutes began; None for now.
        reporter: receives the steps.

    Raises:
        RecurraError: data, settings or directory cannot be used, or no trial was finished.
    """
    require_optuna()
    reporter, started = reporter or Reporter(), time.monotonic() if begun is None else begun
    if request.minutes is None and request.trials is None:
        raise ConfigError(
            "the search would have no end", where="--minutes", hint="give --minutes or --trials"
        )
    if request.minutes is not None and request.minutes <= 0:
        raise ConfigError(
            f"{request.minutes:g} minutes are no time", where="--minutes", hint="give more than 0"
        )
    config = build_config(*request.layers)
    task = task_named(config.task)
    if task.study is None:
        raise ConfigError(f"models of task {config.task} can't be compared", where="recurra tune")
    fixed = [name for layer in request.layers[1:] for name in names_in(layer)]
    space = space_of(config.task, config, fixed)
    with locked(out), open_engine(engine, jobs, address=address, preload=[WORKER]) as runs:
        files = [path for path in (data, valid, test) if path is not None]
        created = open_folder(out, identity(config, space, request.metric, files))
        try:
            parts = split(task, task.study, data, config, out / DATA, reporter, valid=valid, test=test)
            search = Search(out, space, config.train.seed, _higher(request.metric, task.study.criterion))
            clock = Clock(
                request.minutes, started, search.remembered("seconds", 0.0), runs.at_once, request.seeds,
                search.remembered("run_minutes"),
            )  # fmt: skip
            search.remember("run_minutes", clock.run_minutes)
            run = _Run(request, config, task.study, parts, space, search, clock, runs, out, reporter)
            tuned = _tuned(run, command)
        except BaseException:
            if created and not (out / BEST).is_file():  # no trial was finished
                forget(out)
            raise
        reporter.step("Report")
        write_pages(tuned, parts, data, command)
        facts = {"best settings": str(out / BEST), "report": str(out / "report.html")}
        if tuned.fitted is not None:
            facts["model"] = f"{out / MODEL}/"
        reporter.step("Saved")
        reporter.facts(facts)
        return tuned


def _tuned(run: _Run, command: str) -> Tuned:
    """Makes all steps, or those before Ctrl-C."""
    search, clock = run.search, run.clock
    fair, fitted, interrupted = None, None, False
    try:
        _search(run)
        fair = _compare(run)
    except KeyboardInterrupt:
        if search.best() is None:
            raise
        interrupted = True
        run.reporter.warn("interrupted: finished trials are kept, and the same command goes on from there")
    finally:
        search.remember("seconds", clock.spent())
    best = search.best()
    if best is None:
        reasons = [trial.reason for trial in search.tried if trial.reason]
        raise TrainingError(f"not one trial was finished{f': {reasons[0]}' if reasons else ''}")
    run.engine.close()  # the final model has all processors and the memory
    if not interrupted:
        try:
            fitted = _final(run, best[1], command)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "the search is kept, and the same command trains the final model"
            ) from None
    return Tuned(
        folder=run.folder,
        task=run.config.task,
        criterion=run.criterion,
        trials=search.tried,
        best=best,
        space=run.space,
        importances=importances([(trial, result.value) for trial, result in search.complete], run.space),
        fairness=fair,
        fitted=fitted,
        seconds=clock.spent(),
        minutes=run.request.minutes,
        run_minutes=clock.run_minutes,
        interrupted=interrupted,
    )


def _higher(metric: str, criterion: Criterion) -> bool:
    """Whether a higher value of the metric is better."""
    return metric_criterion(metric, criterion).higher_is_better


def _search(run: _Run) -> None:
    """Makes trials until the time or their number is used up."""
    request, search, clock, reporter = run.request, run.search, run.clock, run.reporter
    seed = run.config.train.seed
    reporter.step("Searching")
    limit = "no limit" if clock.run_minutes is None else f"{60 * clock.run_minutes:.0f} s each"
    resumed = f"; {len(search.tried)} trials are done already" if search.tried else ""
    reporter.facts(
        {
            "varied": ", ".join(run.space),
            "chosen by": f"{run.criterion.name} on the validation rows",
            "runs": f"{run.engine.at_once} at a time, {limit}{resumed}",
        }
    )
    if may_use_kernels(run.config):  # not within the time of the first runs, which would be trained less
        cells = run.space["model.cell"].values if "model.cell" in run.space else None
        for cell in cells or (run.config.model.cell,):
            compile_cell(str(cell), reporter)
    if not search.tried:
        curve: dict[int, float] = {}

        def on_report(record: dict[str, Any]) -> bool:
            curve[record["epoch"]] = record["value"]
            return True

        call = run.call(*request.layers, seed=seed, minutes=clock.run_minutes, measure="valid")
        try:
            first = Result.model_validate(run.engine.submit(call, on_report).result())
        except RunError as error:
            raise TrainingError(
                f"the settings that the search begins with can't be trained: {error}"
            ) from error
        search.add_first(first, curve)
        _told(run, search.tried[0])
    waiting: dict[Future[Any], Any] = {}
    begun = len(search.tried)
    while True:
        while (
            len(waiting) < run.engine.at_once
            and clock.may_begin(search.tried)
            and begun < (request.trials or math.inf)
        ):
            trial = search.ask()
            layers = (*request.layers, changes(trial.params, run.config))
            call = run.call(*layers, seed=seed, minutes=clock.run_minutes, measure="valid")
            waiting[run.engine.submit(call, _pruner(search, trial))] = trial
            begun += 1
        if not waiting:
            if begun < min(_FEW, request.trials or _FEW):
                reporter.warn(f"the minutes sufficed for {len(search.tried)} trials: give more for a search")
            return
        for future in sorted(wait(waiting, return_when=FIRST_COMPLETED)[0], key=lambda f: waiting[f].number):
            trial = waiting.pop(future)
            try:
                answer = future.result()
            except RunError as error:
                answer = str(error)
            search.tell(trial, answer)
            search.remember("seconds", clock.spent())
            _told(run, next(each for each in search.tried if each.number == trial.number))


def _pruner(search: Search, trial: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda record: search.goes_on(trial, **record)


def _told(run: _Run, trial: Tried) -> None:
    """Reports a trial, and keeps the best settings so far."""
    number = "the recipe" if trial.number == 0 else f"trial {trial.number}"
    if trial.result is None:
        run.reporter.note(f"{number}: {trial.reason or 'ended early, behind the median'}")
        return
    best = run.search.best()
    if best is not None and best[0].number == trial.number:
        with replacing(run.folder / BEST) as draft:
            settings = _for_users(run, trial.result)
            draft.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    first = " (best so far)" if best is not None and best[0].number == trial.number else ""
    result = trial.result
    run.reporter.note(f"{number}: {run.criterion.value(result.value)}, {result.wall:.0f} s{first}")


def _for_users(run: _Run, result: Result) -> dict[str, Any]:
    """The settings of a trial for the user's file instead of the files of the search."""
    base = run.config.plain()
    of_files = {
        section: {key: base[section][key] for key in keys}
        for section, keys in run.parts.settings.items()
        if isinstance(keys, dict)
    }
    settings = merged_settings(result.config, of_files, {"data": base["data"]})
    settings.pop("set_by_rule", None)
    return settings


def _compare(run: _Run) -> Fairness | None:
    """Trains winner and recipe with fresh seeds, as many as the time suffices for, and compares them.

    How many seeds there are depends on the time and not on their results, so the interval is that of any
    number chosen beforehand.
    """
    best, reporter = run.search.best(), run.reporter
    trials = {trial.number: result for trial, result in run.search.complete}
    if best is None or best[0].number == 0 or 0 not in trials:
        return None
    winner, default = best[1], trials[0]
    if run.request.seeds < 2:  # asked for none
        return None
    first = run.config.train.seed + 1
    done = read_runs(run.folder, best[0].number)
    seeds: list[int] = []
    while True:
        walls = [winner.wall, default.wall, *(result.wall for result in done.values())]
        more = run.clock.seeds_left(max(walls), len(seeds))
        asked = range(first + len(seeds), first + max(run.request.seeds, len(seeds) + more))
        known = [seed for seed in asked if ("winner", seed) in done and ("default", seed) in done]
        chosen = [*known, *[seed for seed in asked if seed not in known][:more]]
        if len(seeds) + len(chosen) < 2:
            reporter.note("no time is left for a comparison with fresh seeds")
            return None
        if not chosen:
            break
        if not seeds:
            reporter.step("Comparing the winner with the recipe")
        _fresh_runs(run, best[0].number, {"winner": winner, "default": default}, chosen, done)
        seeds += chosen
    seeds = [seed for seed in seeds if ("winner", seed) in done and ("default", seed) in done]
    found = compared(
        seeds,
        [done["winner", seed] for seed in seeds],
        [done["default", seed] for seed in seeds],
        lead=winner.value - default.value,
        criterion=run.functions.criterion,
        metric=run.request.metric,
        measured=f"{run.parts.measured:,} test {run.criterion.rows}",
    )
    if found is not None:
        reporter.note(found.sentence)
    return found


def _fresh_runs(
    run: _Run,
    trial: int,
    arms: dict[str, Result],
    seeds: Sequence[int],
    done: dict[tuple[str, int], Result],
) -> None:
    """Adds the runs of both arms with these seeds that are missing to ``done`` and to the file of runs."""
    reporter, futures = run.reporter, {}
    for seed in seeds:
        for name, result in arms.items():
            if (name, seed) not in done:
                call = run.call(result.config, seed=seed, minutes=None, measure="test")
                futures[run.engine.submit(call)] = (name, seed)
    while futures:
        for future in wait(futures, return_when=FIRST_COMPLETED)[0]:
            name, seed = futures.pop(future)
            try:
                done[name, seed] = Result.model_validate(future.result())
            except RunError as error:
                reporter.warn(f"{name}, seed {seed}: {error}")
                continue
            record: dict[str, Any] = {"trial": trial, "arm": name, "seed": seed}
            record["result"] = done[name, seed].model_dump(mode="json")
            append_line(run.folder / RUNS, json.dumps(record))
            reporter.note(f"{name}, seed {seed}: {run.criterion.value(done[name, seed].value)}")


def _final(run: _Run, best: Result, command: str) -> Any:
    """Trains the winner with a seed of its own, tests it once, and saves it."""
    parts, limit = run.parts, run.clock.minutes_left()
    seed = run.config.train.seed + max(run.request.seeds, MOST_SEEDS) + 1  # of no run so far
    config = build_config(best.config, {"train": {"seed": seed, "minutes": limit}})
    return fit_files(
        parts.folder / parts.train,
        config,
        run.folder / MODEL,
        valid=parts.path(parts.valid),
        test=parts.path(parts.test),
        overwrite=True,
        command=command,
        reporter=run.reporter,
    )
