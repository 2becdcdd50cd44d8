"""The whole path of a comparison: rows laid out, runs made in rounds, verdicts, and a report of them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recurra.compare.pages import Compared, write_pages
from recurra.compare.parts import prepare_study_data
from recurra.compare.pool import cores, run_all
from recurra.compare.rounds import Rounds, Study
from recurra.compare.runs import DATA, Store
from recurra.config import Config
from recurra.errors import ConfigError
from recurra.io.cache import content_key
from recurra.measure.study import looks
from recurra.measure.study_view import StudyFigures, arms_table, size_name, verdicts
from recurra.runtime import threads_asked
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config

__all__ = ["compare_files", "parse_sizes"]


def parse_sizes(typed: str) -> list[int]:
    """Training-set sizes, ascending, 0 for ``all``.

    Raises:
        ConfigError: one is neither a number nor ``all``.

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
    command: str = "",
    reporter: Reporter | None = None,
) -> Compared:
    """Train every arm with every seed, compare them on the same rows, and write the report to ``out``.

    What is done stays in ``out``: the same call goes on where a former one ended.

    Args:
        data: labelled texts.
        study: what to compare.
        out: the study's directory.
        valid: rows that choose the epochs; some of ``data`` are held out if None.
        test: rows to compare on; the validation rows if None.
        jobs: runs side by side; as many as there are processors if None. They share the processors' threads,
            or have as many each as ``RECURRA_THREADS`` says.
        command: what was typed, for the report.
        reporter: receives the steps.

    Raises:
        RecurraError: bad input, settings or place.
    """
    reporter = reporter or Reporter()
    begun = time.perf_counter()
    if all(arm.key != study.against for arm in study.arms):
        named = ", ".join(arm.key for arm in study.arms)
        raise ConfigError(
            f"{study.against!r} is not compared", where="--against", hint=f"name one of {named}"
        )
    if study.seeds < 2:
        raise ConfigError(
            f"{study.seeds} seed can't tell chance from technique", where="--seeds", hint="give at least 2"
        )
    for arm in study.arms:
        config = build_config(*study.layers(arm))
        if config.recipe != arm.recipe:
            raise ConfigError(
                f"setting recipe is {config.recipe}, and {arm.key} begins from {arm.recipe}",
                hint="name the recipes to compare in --recipes",
            )
        if config.task != "classify":
            raise ConfigError(
                f"{arm.key} is no classifier", where="--recipes", hint="name recipes of classifiers"
            )
    store = Store(out)
    base: Any = build_config(*study.layers(study.arms[0]))
    done = store.open(_identity(study, base, [path for path in (data, valid, test) if path is not None]))
    try:
        study_data = prepare_study_data(data, base, out / DATA, reporter, valid=valid, test=test)
    except BaseException:
        store.forget()
        raise
    rounds = Rounds(study, study_data, done)
    at_once = jobs or cores()
    threads = threads_asked() or max(1, cores() // at_once)
    reporter.step("Comparing")
    reporter.facts(
        {
            "arms": ", ".join(arm.name for arm in study.arms),
            "seeds": f"up to {study.seeds}"
            if len(looks(study.seeds, study.adaptive)) > 1
            else str(study.seeds),
            "measured on": rounds.measured,
            "runs": f"at most {rounds.most:,}, {at_once} at a time with {threads} "
            f"{'thread' if threads == 1 else 'threads'} each; {len(done)} are done already",
        }
    )
    interrupted = False
    try:
        rounds.go(lambda wanted: run_all(wanted, at_once, threads), store.add, reporter)
    except KeyboardInterrupt:
        interrupted = True
        reporter.warn("interrupted: finished runs are kept, the same command goes on")
    found = rounds.figures(interrupted)
    compared = Compared(out, found, len(rounds.done), time.perf_counter() - begun, interrupted)
    _tell(found, reporter)
    write_pages(compared, study, study_data, list(rounds.done.values()), data, command)
    reporter.step("Saved")
    reporter.facts({"report": str(out / "report.html"), "runs": str(out / "runs.csv")})
    return compared


def _identity(study: Study, base: Config, files: Sequence[Path]) -> dict[str, Any]:
    """What a study is a study of: a directory with another one is refused."""
    arms = {arm.key: build_config(*study.layers(arm)).plain() for arm in study.arms}
    begun_from = {arms[key]["train"]["pretrained"] for key in arms} - {None}
    return {
        "data": content_key(files, base.data.model_dump_json()),
        "arms": json.loads(json.dumps(arms)),
        "pretrained_vectors": content_key([Path(path) for path in sorted(begun_from)])
        if begun_from
        else None,
        "against": study.against,
        "seeds": study.seeds,
        "sizes": list(study.sizes),
        "enough": study.enough,
        "adaptive": study.adaptive,
        "baseline": study.baseline,
        "version_of_recurra": version("recurra"),
    }


def _tell(found: StudyFigures, reporter: Reporter) -> None:
    for size, said in verdicts(found).items():
        arms = [arm for arm in found.arms if arm.size == size]
        reporter.step(f"Trained on {size_name(size, arms[0].rows)}, measured on {found.measured}")
        reporter.table("", *arms_table(found, arms))
        for line in said:
            reporter.note(line)
    for line in found.unfinished:
        reporter.warn(line)
