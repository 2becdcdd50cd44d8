"""A look inside: a data file's defects, a public set's download, a model's layers, one answer's reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra import store
from recurra.config import Config
from recurra.io.check import check, table
from recurra.io.detect import detect
from recurra.io.fetch import fetch
from recurra.layers.summary import summarize
from recurra.store import ClassifierBundle
from recurra.tasks.classification.assess import explain_text
from recurra.tasks.classification.prepare import official_test
from recurra.tasks.reporter import Reporter, report_summary

__all__ = ["check_data", "explain", "fetch_data", "summary"]


def check_data(
    data: Path, config: Config, reporter: Reporter, *, valid: Path | None = None, test: Path | None = None
) -> dict[str, Any]:
    """What to know of a data file before training on it: `recurra data check`.

    Raises:
        DataError: a file can't be used.
    """
    reporter.step("Data check")
    data, test = official_test(data, test)
    source = detect(data, config.data)
    reporter.facts(source.describe())
    found = check(source, valid, test, config)
    reporter.table("", *table(found))
    for warning in found.warnings:
        reporter.warn(warning)
    if not found.warnings:
        reporter.note("nothing to complain of")
    return found.model_dump(mode="json")


def fetch_data(
    name: str, folder: Path, reporter: Reporter, *, url: str | None = None, local: Path | None = None
) -> dict[str, Any]:
    """Fetch a public data set by name into ``folder``: `recurra data fetch`.

    Raises:
        RecurraError: no such set, no connection, not the right file, or no room.
    """
    place = fetch(name, folder, url=url, local=local, progress=reporter.progress)
    reporter.note(f"{name} is in {place}")
    reporter.note(f"next: recurra fit {place}")
    return {"data_set": name, "folder": str(place)}


def summary(model: Path, reporter: Reporter) -> dict[str, Any]:
    """The layers of a saved model, with output shapes and parameters: `recurra inspect MODEL summary`."""
    found = summarize(store.load(model).model)
    report_summary(found, reporter)
    layers = [
        {
            "name": row.name,
            "layer": row.layer,
            "output_shape": row.output_shape,
            "parameters": row.parameters,
            "trainable": row.trainable,
        }
        for row in found.rows
    ]
    return {"layers": layers, "total": found.total, "trainable": found.trainable, "frozen": found.frozen}


def explain(model: Path, text: str, reporter: Reporter) -> dict[str, Any]:
    """Which words of a text a saved model's answer hangs on: `recurra inspect MODEL explain TEXT`."""
    found = explain_text(store.load_as(ClassifierBundle, model), text)
    reporter.explanation(found)
    return found.model_dump(mode="json")
