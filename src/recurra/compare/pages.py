"""What a comparison leaves for its reader: figures as JSON, runs as CSV, and the report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from recurra.compare.arms import Arm
from recurra.compare.parts import StudyData
from recurra.compare.rounds import Study
from recurra.compare.runs import BASELINE, Run
from recurra.files import replacing
from recurra.measure.report import Part, ReportData, write_report
from recurra.measure.study_view import ArmFigures, StudyFigures, report_fields, verdicts
from recurra.runtime import facts
from recurra.tasks.settings import build_config

__all__ = ["Compared", "write_pages"]

_VERSIONS = ("recurra", "python", "torch", "numpy")


@dataclass(frozen=True)
class Compared:
    """A comparison that ended, and where it is kept."""

    folder: Path
    figures: StudyFigures
    runs: int
    seconds: float
    interrupted: bool

    def as_json(self) -> dict[str, Any]:
        """What ``comparison.json`` and ``--json`` hold."""
        found = self.figures
        return {
            "directory": str(self.folder),
            "report": str(self.folder / "report.html"),
            "against": found.against,
            "measured_on": found.measured,
            "interrupted": self.interrupted,
            "unfinished": found.unfinished,
            "runs": self.runs,
            "majority_accuracy": found.majority,
            "arms": [_as_json(arm) for arm in (*found.arms, *found.baselines.values())],
            "verdicts": {str(size or "all"): said for size, said in verdicts(found).items()},
        }


def _as_json(arm: ArmFigures) -> dict[str, Any]:
    judged = arm.judgement
    interval = list(arm.mean.interval()) if arm.mean else None
    told: dict[str, Any] = {
        "arm": arm.key,
        "name": arm.name,
        "training_rows": arm.rows,
        "all_rows": arm.size == 0,
        "seeds": len(arm.accuracies),
        "accuracy": arm.accuracy,
        "accuracy_interval": interval,
        "accuracies": arm.accuracies,
        "log_loss": fmean(arm.log_losses),
        "seconds": round(arm.seconds, 3),
        "cost": arm.cost,
        "parameters": arm.parameters,
        "memory_bytes": arm.memory,
        "epochs": arm.epochs,
        "best_epoch": arm.best_epoch,
    }
    if judged is not None:
        told |= {
            "difference": judged.difference.mean,
            "difference_interval": [judged.low, judged.high],
            "p_value": judged.p_value,
            "verdict": judged.kind,
            "from_seeds": judged.difference.from_seeds,
        }
    return told


def write_pages(
    compared: Compared, study: Study, study_data: StudyData, runs: Sequence[Run], data: Path, command: str
) -> None:
    """``comparison.json``, ``runs.csv`` and ``report.html``, each whole or not at all."""
    out = compared.folder
    with replacing(out / "comparison.json") as draft:
        told = json.dumps(compared.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
        draft.write_text(told + "\n", encoding="utf-8")
    table = io.StringIO()
    names = [name for name in Run.model_fields if name != "right"]
    writer = csv.DictWriter(table, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    order = [BASELINE, *(arm.key for arm in study.arms)]
    ordered = sorted(runs, key=lambda run: (run.size or float("inf"), run.seed, order.index(run.arm)))
    writer.writerows({**run.model_dump(), "size": run.size or "all"} for run in ordered)
    with replacing(out / "runs.csv") as draft:
        draft.write_text(table.getvalue(), encoding="utf-8")
    machine = facts()
    page = ReportData(
        title=f"{_together([arm.name for arm in study.arms])} on {data.name}",
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **report_fields(compared.figures),
        data={"file": str(data)},
        parts=[
            Part(name="train", rows=study_data.rows, source=str(data)),
            *(
                [Part(name="test", rows=study_data.measured, source="what the arms are compared on")]
                if study_data.tested
                else []
            ),
        ],
        warnings=_warnings(study_data),
        settings={arm.key: _differing(study, arm) for arm in study.arms},
        command=command,
        versions={name: machine[name] for name in _VERSIONS},
        hardware={name: value for name, value in machine.items() if name not in _VERSIONS},
    )
    write_report(out / "report.html", page)


def _together(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) < 4 else f"{len(names)} ways of training"


def _warnings(study_data: StudyData) -> list[str]:
    if not study_data.left_out:
        return []
    return [f"{study_data.left_out:,} test rows whose texts stand in the training file too are left out."]


def _differing(study: Study, arm: Arm) -> dict[str, Any]:
    """The settings of an arm that are not the defaults."""
    mine, default = build_config(*study.layers(arm)).plain(), build_config().plain()
    told: dict[str, Any] = {"recipe": arm.recipe}
    for name, section in mine.items():
        if isinstance(section, dict):
            differs = {
                key: value for key, value in section.items() if default.get(name, {}).get(key) != value
            }
            if differs:
                told[name] = differs
    return told
