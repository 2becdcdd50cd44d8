"""A saved model measured on a file, whatever its task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra import store
from recurra.errors import OutputError
from recurra.runtime import use_threads
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter

__all__ = ["evaluate_files"]


def evaluate_files(
    model: Path,
    data: Path,
    *,
    report: Path | None = None,
    train: Path | None = None,
    baseline: bool = True,
    reporter: Reporter,
) -> dict[str, Any]:
    """Figures of the model in ``model`` on ``data``, beside its baseline's; gives what ``--json`` prints.

    Args:
        model: a model's directory.
        data: rows with their answers.
        report: write an HTML page there too.
        train: the training file, for the baseline; where the model says it was, if None.
        baseline: whether to measure the baseline.
        reporter: receives the steps.

    Raises:
        RecurraError: no model there, or no usable data.
    """
    use_threads()
    bundle = store.load(model)
    if report is not None and not report.absolute().parent.is_dir():
        raise OutputError("there is no such folder", where=report.parent, hint="make it first")
    found = task_named(bundle.task).evaluate(
        bundle, data, train=train, baseline=baseline, report=report, reporter=reporter
    )
    return {"model_directory": str(model), "data": str(data), **found}
