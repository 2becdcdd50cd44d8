"""New rows beside those of the training, without labels: lengths, unknown words, answers and confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError, DataError
from recurra.measure.shift import LEAST_ROWS, Profile, Shift, shifts
from recurra.runtime import use_threads
from recurra.tasks.base import PredictRequest
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import bundle_of, for_file, training_data

__all__ = ["Monitoring", "monitor_files"]


@dataclass(frozen=True)
class Monitoring:
    """How new rows differ from those of the training.

    Attributes:
        before: what is known of the rows of the training: those that were held out for validation.
        after: the same of the new rows.
        shifts: the difference of each figure.
    """

    before: Profile
    after: Profile
    shifts: list[Shift]

    @property
    def shifted(self) -> bool:
        """Whether a difference is shown."""
        return any(shift.shown for shift in self.shifts)

    def sentence(self) -> str:
        """Returns the result in words."""
        if min(self.before.rows, self.after.rows) < LEAST_ROWS:
            return (
                f"{self.after.rows:,} new rows and {self.before.rows:,} of the training are too few to tell: "
                f"{LEAST_ROWS} of each are needed."
            )
        shown = [shift for shift in self.shifts if shift.shown]
        if not shown:
            return f"No shift is shown on {self.after.rows:,} rows."
        size = "large" if any(shift.large for shift in shown) else "moderate"
        names = ", ".join(shift.name for shift in sorted(shown, key=lambda shift: -shift.effect))
        return (
            f"The rows differ from those of the training ({size}): {names}. The figures of the model may not "
            "hold for them: label some rows, and run recurra evaluate."
        )

    def as_json(self) -> dict[str, Any]:
        """What ``recurra monitor --json`` prints."""
        return {
            "rows": self.after.rows,
            "training_rows": self.before.rows,
            "shifted": self.shifted,
            "sentence": self.sentence(),
            "shifts": [shift.model_dump(mode="json") for shift in self.shifts],
        }


def monitor_files(
    model: Any,
    data: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Monitoring:
    """Compares the rows of a file, which need no labels, with those of a model's training.

    Those of the training are its validation rows: words and confidence of rows that were trained on are
    unlike those of any new rows.

    Args:
        model: A model's directory, a bundle or a fitted estimator of texts or sentences.
        data: The new rows, in any format that ``recurra predict`` reads.
        settings: Settings that describe ``data``, as a nested dictionary.
        reporter: Receives the result as a table.

    Raises:
        BundleError: There is no model in the directory.
        ConfigError: Rows of the model's task can't be monitored.
        DataError: ``data`` can't be used, or the model has no statistics and its training file is gone.

    Example:
        >>> found = recurra.monitor_files("my-model", "march.csv")  # doctest: +SKIP
        >>> [(shift.name, round(shift.effect, 2)) for shift in found.shifts if shift.shown]  # doctest: +SKIP
        [('unknown words', 0.31), ('confidence', 0.18)]
    """
    use_threads()
    reporter, data = reporter or Reporter(), Path(data)
    bundle = for_file(bundle_of(model), settings or {})
    task = task_named(bundle.task)
    if task.profile is None or task.profile_file is None:
        raise ConfigError(
            f"rows of task {bundle.task} can't be monitored", hint="give a model of texts or sentences"
        )
    before = bundle.assets.profile
    if before is None:  # made before statistics were saved
        prepared = training_data(task, bundle, None)
        if prepared is None:
            raise DataError(
                "the model has no statistics of its training, and the training file is gone",
                hint="fit it anew",
            )
        with reporter.counting("statistics of the validation rows") as tick:
            before = task.profile(bundle, prepared.valid, tick)
    after = task.profile_file(bundle, PredictRequest(data, settings=dict(settings or {}), keep=False))
    found = Monitoring(before, after, shifts(before, after))
    header = (f"{after.rows:,} rows", "training", "here", "effect", "p", "")
    rows = [
        [
            shift.name,
            shift.before,
            shift.after,
            f"{shift.effect:.2f}",
            f"{shift.p_value:.2g}",
            "large" if shift.large else "moderate" if shift.shown else "",
        ]
        for shift in found.shifts
    ]
    reporter.table("", header, rows)
    (reporter.warn if found.shifted else reporter.note)(found.sentence())
    return found
