"""Two saved models on the same labelled rows: the paired difference, and the rows where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from recurra.errors import ConfigError, DataError
from recurra.measure.bootstrap import Difference, ends, resampled_groups
from recurra.measure.comparison import Comparison, compare_accuracy, compare_macro_f1
from recurra.measure.formatting import sentence
from recurra.measure.study import Criterion, Scores
from recurra.printable import shortened
from recurra.runtime import use_threads
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import bundle_of, for_file

__all__ = ["Changed", "Versus", "compare_models", "compare_scores"]

_SHOWN = 5


@dataclass(frozen=True)
class Changed:
    """A row that the two models answer differently.

    Attributes:
        row: number in the file.
        true: the label, several joined by ``|``.
        first: the answer of the first model.
        second: the answer of the second model.
        text: the text.
    """

    row: int
    true: str
    first: str
    second: str
    text: str

    @property
    def kind(self) -> str:
        """``gained`` if only the second model is right, ``lost`` if only the first, else ``other``."""
        if self.second == self.true:
            return "gained"
        return "lost" if self.first == self.true else "other"

    def as_json(self) -> dict[str, Any]:
        """Returns the row as JSON values."""
        return {**self.__dict__, "kind": self.kind}


@dataclass(frozen=True)
class Versus:
    """The comparison of two models; differences are those of the first minus the second.

    Attributes:
        names: of both models.
        figure: what is compared, such as ``accuracy``.
        values: the figure of each model.
        comparison: of rows that are right or wrong, with Newcombe's interval and McNemar's exact test.
        difference: of other figures, with the interval of 2,000 paired bootstrap samples of the rows.
        macro_f1: the difference of the macro-F1, for one class a row.
        changed: the rows with other answers; empty for other tasks than classification.
        rows: number of rows.
    """

    names: tuple[str, str]
    figure: str
    values: tuple[float, float]
    comparison: Comparison | None
    difference: Difference | None
    macro_f1: Difference | None
    changed: list[Changed] = field(default_factory=list)
    rows: int = 0

    def as_json(self) -> dict[str, Any]:
        """What ``recurra compare MODEL_A MODEL_B --json`` prints, with at most 1,000 changed rows."""
        parts = {"comparison": self.comparison, "difference": self.difference, "macro_f1": self.macro_f1}
        return {
            "models": list(self.names),
            "rows": self.rows,
            "figure": self.figure,
            "values": list(self.values),
            **{name: None if part is None else part.model_dump(mode="json") for name, part in parts.items()},
            "changed_rows": len(self.changed),
            "changed": [row.as_json() for row in self.changed[:1_000]],
        }


def compare_models(
    first: Any,
    second: Any,
    data: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Versus:
    """Compares two models of one task on the same labelled rows, which neither should have been trained on.

    Args:
        first: A model's directory, a bundle or a fitted estimator.
        second: Another one, of the same task; of classification, with the same classes.
        data: Labelled rows, in any format that training reads.
        settings: Settings that describe ``data``, as a nested dictionary.
        reporter: Receives the steps and the result.

    Raises:
        ConfigError: The models are of different tasks, or measure something else.
        DataError: The rows can't be used, or their labels are not among those of a model.

    Example:
        >>> result = recurra.compare_models("old-model", "new-model", "test.csv")  # doctest: +SKIP
        >>> result.comparison.sentence, result.comparison.p_value  # doctest: +SKIP
        ('old-model is behind new-model by 1.2 points (0.4 to 2.0)', 0.003)
    """
    use_threads()
    reporter, data = reporter or Reporter(), Path(data)
    models = [for_file(bundle_of(model), settings or {}) for model in (first, second)]
    names = _names(first, second)
    tasks = [model.task for model in models]
    if tasks[0] != tasks[1]:
        raise ConfigError(
            f"the models are of different tasks, {tasks[0]} and {tasks[1]}", hint="give two of one task"
        )
    task = task_named(tasks[0])
    if task.study is None:
        raise ConfigError(f"models of task {tasks[0]} are not compared")
    reporter.step("Reading")
    parts = [task.open_file(models[0], data, reporter), task.open_file(models[1], data, Reporter())]
    reporter.step("Testing")
    answers = None
    if task.predicted is not None:
        answers = [task.predicted(model, part) for model, part in zip(models, parts, strict=True)]
    if answers is not None:
        truth, _, rows, texts = answers[0]
        pair = [found[1] for found in answers]
        scores = [Scores(np.array([a == t for a, t in zip(own, truth, strict=True)], bool)) for own in pair]
    else:
        scores = [task.study.score(model, part) for model, part in zip(models, parts, strict=True)]
    result = compare_scores(names, task.study.criterion, scores)
    if answers is not None:
        changed = [
            Changed(row, true, a, b, shortened(" ".join(text.split()), 300))
            for row, true, a, b, text in zip(rows, truth, *pair, texts, strict=True)
            if a != b
        ]
        known = sorted({*truth, *pair[0], *pair[1]})
        codes = {name: number for number, name in enumerate(known)}
        true, one, two = (np.array([codes[name] for name in column]) for column in (truth, *pair))
        one_each = not any(getattr(m.assets.labels, "label_kind", "") == "multilabel" for m in models)
        macro = compare_macro_f1(true, one, two, len(known), names) if one_each else None
        result = replace(result, changed=changed, macro_f1=macro)
    _report(result, task.study.criterion, reporter)
    return result


def _names(first: Any, second: Any) -> tuple[str, str]:
    found = [
        str(model) if isinstance(model, str | Path) else f"the {place} model"
        for place, model in (("first", first), ("second", second))
    ]
    return (found[0], found[1]) if found[0] != found[1] else (f"{found[0]} (first)", f"{found[1]} (second)")


def compare_scores(names: tuple[str, str], criterion: Criterion, scores: Sequence[Scores]) -> Versus:
    """Returns the comparison of two models by their scores on the same rows, without changed rows.

    Raises:
        ConfigError: the scores are of other units.
        DataError: there is no row.
    """
    a, b = scores
    if len(a.values) != len(b.values) or (
        a.sizes is not None and b.sizes is not None and not np.array_equal(a.sizes, b.sizes)
    ):
        raise ConfigError(
            "the models read the rows in different units, such as other words",
            hint="give two models with the same tokenizer settings",
        )
    rows = len(a.values)
    if not rows:
        raise DataError("there is no row to compare on")
    values = a.mean, b.mean
    comparison = difference = None
    if a.sizes is None and a.values.dtype == bool:
        comparison = compare_accuracy(a.values.astype(bool), b.values.astype(bool), *names)
    else:
        sizes = np.ones(rows) if a.sizes is None else a.sizes
        counts = csr_matrix(np.stack([a.values, b.values, sizes], axis=1).astype(np.float64))
        samples = np.concatenate([(s[:, 0] - s[:, 1]) / s[:, 2] for s in resampled_groups(counts)])
        low, high = ends(samples)
        shown, gap = low > 0 or high < 0, values[0] - values[1]
        better = (gap > 0) == criterion.higher_is_better
        unit = f" {criterion.unit}" if criterion.unit else ""
        span = f"{criterion.number(gap)}{unit} ({criterion.number(low)} to {criterion.number(high)})"
        said = f"no difference shown between {names[0]} and {names[1]}: {span}"
        if shown:
            said = f"{names[0]} is {'better' if better else 'worse'} than {names[1]}: {span}"
        difference = Difference(
            first=names[0], second=names[1], difference=gap, low=low, high=high, shown=shown, sentence=said
        )
    return Versus(names, criterion.name, values, comparison, difference, None, rows=rows)


def _report(result: Versus, criterion: Criterion, reporter: Reporter) -> None:
    header = (f"{result.rows:,} {criterion.rows}", *result.names)
    rows = [[criterion.name, *(criterion.value(value) for value in result.values)]]
    comparison = result.comparison
    if comparison is not None:
        rows.append(["right only there", f"{comparison.only_first:,}", f"{comparison.only_second:,}"])
    reporter.table("", header, rows)
    if comparison is not None:
        reporter.note(f"{sentence(comparison.sentence)}. McNemar's exact test: p = {comparison.p_value:.3g}.")
    if result.difference is not None:
        reporter.note(f"{sentence(result.difference.sentence)} (95% interval, paired bootstrap of the rows).")
    if result.macro_f1 is not None:
        reporter.note(f"Macro-F1: {result.macro_f1.sentence}.")
    if comparison is None or not result.changed:
        return
    kinds = {kind: sum(row.kind == kind for row in result.changed) for kind in ("gained", "lost", "other")}
    reporter.note(
        f"{len(result.changed):,} rows have another answer: {kinds['gained']:,} are right now, "
        f"{kinds['lost']:,} are no longer, {kinds['other']:,} are wrong in both."
    )
    for kind, title in (("lost", "right only with the first"), ("gained", "right only with the second")):
        some = [row for row in result.changed if row.kind == kind][:_SHOWN]
        if some:
            cells = [
                [f"row {row.row:,}: {shortened(row.text, 60)}", row.true, row.first, row.second]
                for row in some
            ]
            reporter.table(title, ("text", "true", "first", "second"), cells)
