"""A whole comparison: rows written to files, runs made in rounds, results, and a report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

from recurra.comparison.pages import Compared, write_pages
from recurra.comparison.pool import WORKER, run_all
from recurra.comparison.rounds import Rounds, Study
from recurra.comparison.runs import DATA, Store
from recurra.config import Config
from recurra.directories import locked
from recurra.engines import open_engine
from recurra.errors import ConfigError
from recurra.files import replacing
from recurra.io.cache import content_key
from recurra.measure.study_view import StudyFigures, arms_table, baseline_sentence, verdicts
from recurra.tasks.base import Task
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.study import StudyData, StudyFunctions

__all__ = ["compare_files", "parse_sizes", "prepare_study_data"]


def parse_sizes(typed: str) -> list[int]:
    """Returns sizes of training sets in ascending order, with 0 for ``all``.

    Raises:
        ConfigError: If one is neither a number nor ``all``.

    Example:
        >>> parse_sizes("1000,all,250")
        [250, 1000, 0]
    """
    sizes = set()
    for part in (part.strip() for part in typed.split(",")):
        if part != "all" and not (part.isascii() and part.isdigit() and int(part) > 1):
            raise ConfigError(f"{part!r} is no number of rows", where="--sizes", hint="write 250,1000,all")
        sizes.add(0 if part == "all" else int(part))
    return sorted(sizes, key=lambda size: size or float("inf"))


def compare_files(
    data: Path,
    study: Study,
    out: Path,
    *,
    valid: Path | None = None,
    test: Path | None = None,
    jobs: int | None = None,
    engine: str = "processes",
    address: str | None = None,
    command: str = "",
    reporter: Reporter | None = None,
) -> Compared:
    """Trains each arm with each seed, compares them on the same rows, and writes the report to ``out``.

    Finished runs are kept in ``out``: the same call resumes an interrupted study.

    Args:
        data: Training file.
        study: Description of the study.
        out: Directory of the study.
        valid: File that chooses the epochs. If None, a part of ``data`` is held out.
        test: File to compare on. If None, the test part of ``data``, or the validation rows.
        jobs: Number of parallel runs. If None, the number of processors. The runs share the threads of the
            processors, or have as many each as ``RECURRA_THREADS``.
        engine: What makes the runs: ``processes``, ``ray``, or ``inline`` for debugging.
        address: Address of a Ray cluster. If None, one is started on this machine.
        command: The command line, for the report.
        reporter: Receives the steps.

    Raises:
        RecurraError: If data, settings or directory cannot be used.
        KeyboardInterrupt: On Ctrl-C before the first run of an arm is finished.
    """
    reporter = reporter or Reporter()
    begun = time.perf_counter()
    configs, task, functions = _checked(study)
    with locked(out), open_engine(engine, jobs, address=address, preload=[WORKER]) as runs:
        store = Store(out)
        files = [path for path in (data, valid, test) if path is not None]
        done = store.open(_identity(study, configs, files))
        try:
            config = configs[study.arms[0].key]
            study_data = prepare_study_data(
                task, functions, data, config, out / DATA, reporter, valid=valid, test=test
            )
            rounds = Rounds(study, study_data, functions, done)
        except KeyboardInterrupt:
            store.forget()
            raise KeyboardInterrupt(_kept(len(done))) from None
        except BaseException:
            store.forget()
            raise
        reporter.step("Comparing")
        reporter.facts(
            {
                "arms": ", ".join(arm.name for arm in study.arms),
                "seeds": f"{'up to ' if len(rounds.looks) > 1 else ''}{study.seeds}",
                "measured on": rounds.measured,
                "runs": f"at most {rounds.most:,}, {runs.at_once} at a time with {runs.threads} "
                f"{'thread' if runs.threads == 1 else 'threads'} each"
                + (f"; {len(done)} are done already" if done else ""),
            }
        )
        interrupted = False
        try:
            rounds.go(lambda missing: run_all(missing, runs), store.add, reporter)
        except KeyboardInterrupt:
            interrupted = True
            rounds.done.update(store.finished())  # one may have been written, and not yet added here
            if not rounds.networks:
                raise KeyboardInterrupt(_kept(len(rounds.done))) from None
            reporter.warn("interrupted: finished runs are kept, the same command resumes")
        runs.close()
        figures = rounds.figures(interrupted)
        compared = Compared(out, figures, len(rounds.done), time.perf_counter() - begun, interrupted)
        _report(figures, reporter)
        write_pages(compared, rounds, data, command)
        reporter.step("Saved")
        reporter.facts({"report": str(out / "report.html"), "runs": str(out / "runs.csv")})
        return compared


def prepare_study_data(
    task: Task[Any, Any],
    functions: StudyFunctions[Any, Any],
    data: Path,
    config: Config,
    folder: Path,
    reporter: Reporter,
    *,
    valid: Path | None,
    test: Path | None,
) -> StudyData:
    """Reads, splits and writes the rows of a study to ``folder``, unless this was done before.

    Raises:
        DataError: If a file cannot be used, or no test row is left.
    """
    record = folder / "parts.json"
    if not record.is_file():
        prepared = task.prepare(data, config, reporter, valid=valid, test=test)
        fields = {k: v for k, v in vars(functions.write(prepared, folder)).items() if k != "folder"}
        with replacing(record) as draft:
            draft.write_text(json.dumps(fields), encoding="utf-8")
    study_data = StudyData(folder, **json.loads(record.read_text(encoding="utf-8")))
    if study_data.left_out:
        reporter.warn(
            f"{study_data.left_out:,} of {study_data.left_out + study_data.measured:,} test texts occur in "
            "the training file too: they are left out"
        )
    return study_data


def _checked(study: Study) -> tuple[dict[str, Config], Task[Any, Any], StudyFunctions[Any, Any]]:
    """The settings of each arm, and the functions of their task.

    Raises:
        ConfigError: If the study cannot be made.
    """
    keys = [arm.key for arm in study.arms]
    if study.against not in keys:
        raise ConfigError(
            f"{study.against!r} is not compared", where="--against", hint=f"name one of {', '.join(keys)}"
        )
    if study.seeds < 2:
        raise ConfigError(
            f"{study.seeds} seed can't separate chance from technique",
            where="--seeds",
            hint="give at least 2",
        )
    configs = {arm.key: build_config(*study.layers(arm)) for arm in study.arms}
    for arm in study.arms:
        recipe = configs[arm.key].recipe
        if recipe != arm.recipe:
            raise ConfigError(
                f"setting recipe is {recipe}, and the recipe of {arm.key} is {arm.recipe}",
                hint="name the recipes to compare in --recipes",
            )
    first = configs[keys[0]]
    for key, config in configs.items():
        if config.task != first.task:
            raise ConfigError(
                f"{key} is of task {config.task} and {keys[0]} of task {first.task}",
                where="--recipes",
                hint="name recipes of one task, or give --task",
            )
    task = task_named(first.task)
    if task.study is None:
        raise ConfigError(f"models of task {first.task} can't be compared", where="--recipes")
    if task.study.others is None and any(arm.estimator for arm in study.arms):
        raise ConfigError(f"estimators of other libraries can't be compared in task {first.task}")
    for name in task.study.shared:
        setting = attrgetter(name)
        for key, config in configs.items():
            if setting(config) != setting(first):
                raise ConfigError(
                    f"{key} and {keys[0]} differ in {name}, which decides what is measured",
                    where="--recipes",
                    hint="set it for all arms with --set, in Python with settings=",
                )
    return configs, task, task.study


def _identity(study: Study, configs: dict[str, Config], files: Sequence[Path]) -> dict[str, Any]:
    """The description by which a study is recognized when it is resumed."""
    arms: dict[str, Any] = {key: config.plain() for key, config in configs.items()}
    pretrained = {settings["train"]["pretrained"] for settings in arms.values()} - {None}
    data = configs[study.arms[0].key].data
    others = {arm.key: arm.estimator.shown for arm in study.arms if arm.estimator is not None}
    vectors = content_key(map(Path, sorted(pretrained))) if pretrained else None
    return {
        "data": content_key(files, data.model_dump_json()),
        "arms": json.loads(json.dumps(arms)),
        "pretrained_vectors": vectors,
        **({"estimators": others} if others else {}),
        "sizes": list(study.sizes),
        **{name: getattr(study, name) for name in ("against", "seeds", "enough", "adaptive", "baseline")},
        "version_of_recurra": version("recurra"),
    }


def _kept(runs: int) -> str:
    """What Ctrl-C leaves if there is nothing to report."""
    if not runs:
        return "no run was finished"
    return f"{runs} finished {'run is' if runs == 1 else 'runs are'} kept: the same command resumes"


def _report(figures: StudyFigures, reporter: Reporter) -> None:
    for size, lines in verdicts(figures).items():
        arms = [arm for arm in figures.arms if arm.size == size]
        reporter.step(f"Trained on {figures.size_name(arms[0])}, measured on {figures.measured}")
        reporter.table("", *arms_table(figures, arms))
        for line in lines:
            reporter.note(line)
    if stands := baseline_sentence(figures):
        reporter.note(stands)
    for line in figures.unfinished:
        reporter.warn(line)
