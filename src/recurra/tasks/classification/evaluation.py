"""A saved model measured on a file of labelled texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.measure.report import write_report
from recurra.store import ClassifierBundle
from recurra.tasks.classification.assess import assess, fit_baseline, report_assessment
from recurra.tasks.classification.prepare import open_part, prepare
from recurra.tasks.classification.report import evaluation_report
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

__all__ = ["evaluate_file"]


def evaluate_file(
    fitted: ClassifierBundle,
    data: Path,
    *,
    report: Path | None,
    train: Path | None,
    baseline: bool,
    reporter: Reporter,
) -> dict[str, Any]:
    """Figures of the model on ``data``, beside the baseline trained on its training file.

    Args:
        fitted: the model.
        data: labelled texts.
        report: write an HTML page there too.
        train: the training file; where the model says it was, if None.
        baseline: whether to train the baseline.
        reporter: receives the steps.

    Raises:
        RecurraError: no usable data.
    """
    reporter.step("Reading")
    part = open_part(
        "test", data, fitted.config, fitted.labels, fitted.tokenizer, reporter, like=fitted.source
    )
    reporter.step("Testing")
    training = _training_part(fitted, train, reporter) if baseline else None
    ngrams = fit_baseline(training, fitted, reporter) if training else None
    found = assess(fitted, part, baseline=ngrams, training=training, explained=3 if report else 0)
    report_assessment(found, reporter)
    if report is not None:
        write_report(report, evaluation_report(fitted, found, data.name))
        reporter.note(f"report: {report}")
    return found.as_json()


def _training_part(fitted: ClassifierBundle, given: Path | None, reporter: Reporter) -> Part | None:
    """The rows the model was trained on, if their file can still be read."""
    recorded = fitted.metrics.get("training", {}).get("data")
    path = given or (Path(recorded) if recorded else None)
    if path is None or not path.exists():
        reporter.warn(f"no baseline: the training file {path or ''} is not there; pass it with --train")
        return None
    # Whether a validation file was given or rows were held out, the split comes out as it did in the fit.
    valid = fitted.metrics.get("training", {}).get("valid")
    return prepare(path, fitted.config, Reporter(), valid=Path(valid) if valid else None).train
