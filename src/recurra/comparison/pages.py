"""The files that a comparison writes: figures as JSON, runs as CSV, and the report."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from recurra.comparison.arms import Arm
from recurra.comparison.rounds import Rounds, Study
from recurra.comparison.runs import Run
from recurra.files import replacing
from recurra.measure.report import Part, ReportData, framed, write_report
from recurra.measure.study import Criterion
from recurra.measure.study_view import ArmFigures, StudyFigures, report_fields, verdicts
from recurra.tasks.card import made_by, now
from recurra.tasks.settings import build_config

__all__ = ["Compared", "write_pages"]


@dataclass(frozen=True)
class Compared:
    """A finished or interrupted comparison.

    Attributes:
        folder: Its directory.
        figures: Its results.
        runs: Number of finished runs.
        seconds: Wall-clock time of the whole comparison.
        interrupted: Whether it was interrupted.
    """

    folder: Path
    figures: StudyFigures
    runs: int
    seconds: float
    interrupted: bool

    def as_json(self) -> dict[str, Any]:
        """Returns the contents of ``comparison.json`` and ``--json``."""
        figures = self.figures
        arms = (*figures.arms, *figures.baselines.values())
        return {
            "directory": str(self.folder),
            "report": str(self.folder / "report.html"),
            "against": figures.against,
            "measured_on": figures.measured,
            "interrupted": self.interrupted,
            "unfinished": figures.unfinished,
            "runs": self.runs,
            f"majority_{figures.criterion.name}": figures.majority,
            "arms": [_as_json(arm, figures.criterion) for arm in arms],
            "verdicts": {str(size or "all"): lines for size, lines in verdicts(figures).items()},
        }

    def _repr_html_(self) -> str:
        """Returns the report, for notebooks."""
        return framed(self.folder / "report.html")


def _as_json(arm: ArmFigures, criterion: Criterion) -> dict[str, Any]:
    record: dict[str, Any] = {
        "arm": arm.key,
        "name": arm.name,
        "training_rows": arm.rows,
        "all_rows": arm.size == 0,
        "seeds": len(arm.scores),
        criterion.name: arm.score,
        f"{criterion.name}_interval": list(arm.mean.interval()) if arm.mean else None,
        criterion.plural: arm.scores,
        "log_loss": fmean(arm.log_losses) if arm.log_losses else None,
        "seconds": round(arm.seconds, 3),
        "cost": arm.cost,
        "parameters": arm.parameters,
        "memory_bytes": arm.memory,
        "epochs": arm.epochs,
        "best_epoch": arm.best_epoch,
    }
    judgement = arm.judgement
    if judgement is not None:
        record |= {
            "difference": judgement.difference.mean,
            "difference_interval": [judgement.low, judgement.high],
            "p_value": judgement.p_value,
            "verdict": judgement.kind,
            "from_seeds": judgement.difference.from_seeds,
        }
    return record


def write_pages(compared: Compared, rounds: Rounds, source: Path, command: str) -> None:
    """Writes ``comparison.json``, ``runs.csv`` and ``report.html``, each atomically.

    Args:
        compared: The comparison.
        rounds: Its runs.
        source: The training file.
        command: The command line, for the report.
    """
    out, study, data = compared.folder, rounds.study, rounds.data
    with replacing(out / "comparison.json") as draft:
        text = json.dumps(compared.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
        draft.write_text(text + "\n", encoding="utf-8")
    with replacing(out / "runs.csv") as draft:
        draft.write_text(_runs_table(rounds), encoding="utf-8")
    names = [arm.name for arm in study.arms]
    title = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) < 4 else f"{len(names)} ways of training"
    left_out = f"{data.left_out:,} test rows are left out because their texts occur in the training file."
    parts = [Part(name="train", rows=data.rows, source=str(source))]
    if data.tested:
        parts.append(Part(name="test", rows=data.measured, source="the rows that the arms are compared on"))
    page = ReportData(
        title=f"{title} on {source.name}",
        created=now(),
        **report_fields(compared.figures),
        data={"file": str(source)},
        parts=parts,
        warnings=[left_out] if data.left_out else [],
        settings={arm.key: _changed_settings(study, arm) for arm in study.arms},
        **made_by(command),
    )
    write_report(out / "report.html", page)


def _runs_table(rounds: Rounds) -> str:
    """The runs as CSV, the score under the name of the criterion."""
    criterion = rounds.task.criterion
    names = [name for name in Run.model_fields if name not in ("scores", "sizes")]
    order = [rounds.task.baseline, *(arm.key for arm in rounds.study.arms)]

    def position(run: Run) -> tuple[float, int, int]:
        return run.size or float("inf"), run.seed, order.index(run.arm)

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([criterion.name if name == "score" else name for name in names])
    for run in sorted(rounds.done.values(), key=position):
        values = {**run.model_dump(), "size": run.size or "all"}
        writer.writerow([values[name] for name in names])
    return table.getvalue()


def _changed_settings(study: Study, arm: Arm) -> dict[str, Any]:
    """The settings of an arm that differ from the defaults of its task."""
    config = build_config(*study.layers(arm))
    default = build_config({"task": config.task}).plain()
    if arm.estimator is not None:
        return {"estimator": arm.estimator.shown}
    changed: dict[str, Any] = {"recipe": arm.recipe}
    for name, section in config.plain().items():
        if isinstance(section, dict):
            values = {key: value for key, value in section.items() if default.get(name, {}).get(key) != value}
            if values:
                changed[name] = values
    return changed
