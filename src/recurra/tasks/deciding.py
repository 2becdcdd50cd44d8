"""Decisions of a saved classifier, fitted without training: thresholds, costs, and when not to answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurra import store
from recurra.config import updated
from recurra.errors import ConfigError, DataError
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import load, training_data

__all__ = ["decide_files"]

_PAGES = ("README.md", "report.html", "history.csv")
_FITTED = ("metric", "costs", "abstain", "risk")


def decide_files(
    model: str | Path,
    *,
    metric: str | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    abstain: float | None = None,
    risk: float | None = None,
    data: str | Path | None = None,
    train: str | Path | None = None,
    reset: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Fits how a saved classifier decides, on its validation rows, and saves it in the model's directory.

    Without a metric, costs, a confidence or a risk, nothing is changed, and the present decision is reported.

    Args:
        model: The model's directory.
        metric: As ``predict.metric``, such as ``macro_f1`` or ``precision>=0.95:spam``.
        costs: As ``predict.costs``, such as ``{"spam": {"ham": 5}}``.
        abstain: The confidence below which the answer is "unsure".
        risk: The share of wrong answers that ``abstain`` is fitted for.
        data: Labelled rows that were not trained on; None for the validation rows of the training.
        train: The training file, of which these are a part; None for the path that the model recorded.
        reset: Whether each text is to get its most probable class again.
        reporter: Receives what was fitted.

    Returns:
        The decision as JSON values, ``None`` for the most probable class, with the ``thresholds`` of several
        labels a row.

    Raises:
        BundleError: There is no model in the directory.
        ConfigError: The model is not a classifier, a setting is out of its range, or two exclude each other.
        DataError: The rows are not there.

    Example:
        >>> recurra.decide_files("my-model", risk=0.02)["decision"]["abstain"]  # doctest: +SKIP
        0.93
    """
    folder, reporter = Path(model), reporter or Reporter()
    bundle = load(folder)
    task = task_named(bundle.task)
    if task.decide is None or task.describe_decision is None:
        raise ConfigError(
            f"a model of task {bundle.task} has no decisions to fit", hint="give a model of task classify"
        )
    given = {"metric": metric, "costs": costs, "abstain": abstain, "risk": risk}
    if reset and any(value is not None for value in given.values()):
        raise ConfigError("--reset takes no other settings", hint="leave the others out")
    if not reset and all(value is None for value in given.values()):
        return task.describe_decision(bundle, reporter)
    part: Any = None
    if data is not None:
        part = task.open_file(bundle, Path(data), reporter)
    elif metric is not None or risk is not None or reset:
        prepared = training_data(task, bundle, None if train is None else Path(train))
        if prepared is not None:
            part = prepared.valid
        elif not reset:
            raise DataError(
                "the training file, whose validation rows are needed, is not there",
                where=bundle.metrics.get("training", {}).get("data"),
                hint="pass it with --train, or labelled rows that were not trained on with --data",
            )
    settings = updated(bundle.config, {"predict": {**dict.fromkeys(_FITTED), **given}})
    bundle.config = settings
    decided = task.decide(bundle, part, reporter)
    pages = {
        name: (folder / name).read_text(encoding="utf-8") for name in _PAGES if (folder / name).is_file()
    }
    store.save(decided, folder, pages)
    return task.describe_decision(decided, reporter)
