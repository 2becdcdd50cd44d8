"""The files that a search writes: figures as JSON, trials as CSV, and the report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from recurra.files import replacing
from recurra.measure.formatting import plain
from recurra.measure.report import Part, ReportData, write_report
from recurra.tasks.card import made_by, now
from recurra.tasks.study import StudyData
from recurra.tuning.folder import FINISHED
from recurra.tuning.sections import bars, bars_label, sections
from recurra.tuning.tuned import Tuned

__all__ = ["write_pages"]


def write_pages(tuned: Tuned, parts: StudyData, source: Path, command: str) -> None:
    """Writes ``report.html``, ``trials.csv`` and ``tune.json``, each atomically, the last one at the end.

    Args:
        tuned: the search.
        parts: its rows.
        source: the training file.
        command: the command line, for the report.
    """
    out, fair = tuned.folder, tuned.fairness
    with replacing(out / "trials.csv") as draft:
        draft.write_text(_table(tuned), encoding="utf-8")
    states = [trial.state for trial in tuned.trials]
    best = tuned.criterion.value(tuned.best[1].value)
    ended = f", {states.count('pruned')} ended early" if "pruned" in states else ""
    failed = f", {states.count('failed')} failed" if "failed" in states else ""
    caution = "The search was interrupted; the same command goes on. " if tuned.interrupted else ""
    page = ReportData(
        title=f"Search on {source.name}",
        created=now(),
        lead=f"The best of {len(states)} trials has {plain(tuned.criterion.name)} {best} on the validation "
        f"rows{ended}{failed}.",
        verdict=tuned.verdict,
        verdict_kind="good" if fair is not None and fair.judgement.kind == "better" else "",
        caution=f"{caution}The validation rows chose the winner, so that its figure on them is too high; "
        "that of the test rows is not.",
        bars=bars(tuned),
        bars_label=bars_label(tuned),
        bars_top=100.0 if tuned.criterion.shares else None,
        sections=sections(tuned),
        data={"file": str(source)},
        parts=[
            Part(name="train", rows=parts.rows, source=str(source)),
            Part(name="test", rows=parts.measured, source="rows that neither training nor search sees"),
        ],
        settings=tuned.best_settings,
        **made_by(command),
    )
    write_report(out / "report.html", page)
    with replacing(out / FINISHED) as draft:
        text = json.dumps(tuned.as_json(), indent=1, ensure_ascii=False, allow_nan=False, default=str)
        draft.write_text(text + "\n", encoding="utf-8")


def _table(tuned: Tuned) -> str:
    """The trials as CSV."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    figures = ("value", "score", "wall", "seconds", "cpu_seconds", "parameters", "epochs", "best_epoch")
    writer.writerow(["trial", "state", *tuned.space, *figures, "reason"])
    for trial in tuned.trials:
        found = (
            [""] * len(figures) if trial.result is None else [getattr(trial.result, name) for name in figures]
        )
        values = [trial.values.get(name, "") for name in tuned.space]
        writer.writerow([trial.number, trial.state, *values, *found, trial.reason])
    return table.getvalue()
