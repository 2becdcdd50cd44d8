"""Evaluates a classifier, the baseline and the majority class on one part of the data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.calibration import Reliability, probabilities, reliability
from recurra.measure.comparison import Comparison, compare_predictions
from recurra.measure.explain import Explanation
from recurra.measure.formatting import percent, percents, three
from recurra.measure.headline import Figure, chosen_figure, figure_of
from recurra.measure.metrics import Metrics, classification_metrics, predicted_labels
from recurra.tasks.base import AssessOptions
from recurra.tasks.card import network_name, report_comparison
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.decision_view import Decisions, decisions_of
from recurra.tasks.classification.experts import cross_fit
from recurra.tasks.classification.experts_view import COMBINED, NGRAMS, experts_sentence
from recurra.tasks.classification.explaining import explain_text
from recurra.tasks.classification.fitted import FittedExperts, fit_ngrams
from recurra.tasks.classification.mistakes import Mistake, worst_mistakes
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.classification.outputs import outputs_of_part, together
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.reporter import Counting, Reporter
from recurra.tasks.texts import Part, counted

__all__ = ["Assessment", "ExpertFigures", "assess", "fit_baseline", "report_assessment"]


@dataclass(frozen=True)
class ExpertFigures:
    """The experts of a model that has n-grams.

    Attributes:
        fitted: their weights.
        network_name: the name of the network, such as ``the bidirectional LSTM``.
        network: metrics of the network alone, with its own temperature.
        ngrams: metrics of the n-grams alone, with their own temperature.
    """

    fitted: FittedExperts
    network_name: str
    network: Metrics
    ngrams: Metrics

    @property
    def columns(self) -> list[tuple[str, Metrics]]:
        """The name and the metrics of each expert alone."""
        return [(f"{self.network_name.removeprefix('the ')} alone", self.network), (NGRAMS, self.ngrams)]


_SILENT = Reporter().counting


@dataclass(frozen=True)
class Assessment:
    """Metrics on one part of the data.

    ``before`` and ``after`` are the reliability curves without and with the fitted temperature, or of the
    plain average of two experts and with fitted weights. If texts of some rows occur in the training file,
    ``unseen`` and ``baseline_unseen`` are the metrics of the other rows. ``thresholds`` (C,), for
    multi-label, are the probabilities from which on labels are predicted. ``experts`` is None for a network
    alone. ``headline`` is the first figure of the report (``predict.headline``). ``baseline_note`` says on
    how many of the training texts the n-grams were trained, if not on all.
    """

    part: str
    model_name: str
    metrics: Metrics
    majority: float | None
    baseline: Metrics | None
    comparison: Comparison | None
    before: Reliability
    after: Reliability
    mistakes: list[Mistake]
    explanations: list[Explanation] = field(default_factory=list)
    unseen: Metrics | None = None
    baseline_unseen: Metrics | None = None
    thresholds: NDArray[np.float64] | None = None
    experts: ExpertFigures | None = None
    headline: Figure | None = None
    decisions: Decisions | None = None
    baseline_note: str = ""

    @property
    def columns(self) -> list[tuple[str, Metrics]]:
        """The name and the metrics of the model, of each expert alone, and of the baseline."""
        columns = [(self.model_name.removeprefix("the "), self.metrics)]
        if self.experts is not None:  # its n-grams are the baseline
            return columns + self.experts.columns
        return columns + ([] if self.baseline is None else [(self.baseline_name, self.baseline)])

    @property
    def baseline_name(self) -> str:
        """The name of the baseline: if the model has n-grams, they are it."""
        return "n-gram baseline" if self.experts is None else NGRAMS

    def as_json(self) -> dict[str, Any]:
        """Returns the metrics for ``metrics.json`` and ``--json``."""
        experts = {}
        if self.experts is not None:
            alone = {"recurrent": self.experts.network, "ngrams": self.experts.ngrams}
            figures = {name: metrics.model_dump(mode="json") for name, metrics in alone.items()}
            experts = {"experts": {**self.experts.fitted.as_json(), **figures}}
        return {
            "evaluated_on": self.part,
            "model": self.metrics.model_dump(mode="json"),
            "baseline": self.baseline.model_dump(mode="json") if self.baseline else None,
            "majority_accuracy": self.majority,
            "comparison": self.comparison.model_dump(mode="json") if self.comparison else None,
            "ece_before_temperature": self.before.ece,
            "ece_by_chance": self.after.ece_by_chance,
            "ece_by_chance_high": self.after.ece_by_chance_high,
            "model_unseen": self.unseen.model_dump(mode="json") if self.unseen else None,
            "baseline_unseen": self.baseline_unseen.model_dump(mode="json") if self.baseline_unseen else None,
            "headline": self.headline.model_dump(mode="json") if self.headline else None,
            "decisions": self.decisions.as_json() if self.decisions else None,
            **experts,
        }

    def f1_sentence(self) -> str | None:
        """Returns a sentence on micro- and macro-F1, with those of the baseline; None unless multi-label."""
        m, baseline = self.metrics, self.baseline
        if m.micro_f1 is None:
            return None
        micro, macro = (
            "" if value is None else f" ({self.baseline_name} {value:.3f})"
            for value in ((baseline.micro_f1, baseline.macro_f1) if baseline else (None, None))
        )
        rows = f"{m.rows:,} {self.part} {'row' if m.rows == 1 else 'rows'}"
        return (
            f"On the labels of {rows}, {self.model_name} has a "
            f"micro-F1 of {m.micro_f1:.3f}{micro} and a macro-F1 of {m.macro_f1:.3f}{macro}."
        )

    def leak_sentence(self) -> str | None:
        """Returns a sentence on rows whose texts occur in the training file; None if there are none."""
        if self.unseen is None:
            return None
        known = self.metrics.rows - self.unseen.rows
        baseline = self.baseline_unseen
        text = f", the {self.baseline_name} {baseline.accuracy_text}" if baseline else ""
        return (
            f"{known:,} of {self.metrics.rows:,} {self.part} texts occur in the training file; "
            f"on the other {self.unseen.rows:,} {self.model_name} has {self.unseen.accuracy_text}{text}"
        )


def fit_baseline(prepared: ClassifierData, reporter: Reporter) -> NgramModel:
    """Trains the n-gram baseline on the rows that the network was trained on, unless it is there already.

    As those of the network, its probabilities are calibrated on the validation rows, and for multi-label its
    thresholds are fitted there.
    """
    return fit_ngrams(prepared, reporter, cached=False)


def assess(bundle: ClassifierBundle, part: Part, options: AssessOptions) -> Assessment:
    """Evaluates ``bundle`` on ``part``.

    Args:
        bundle: the model, with a fitted temperature.
        part: labelled rows.
        options: the fitted baseline, if any; the training part, for the accuracy of its largest class and for
            the metrics of rows that are not in it; the number of predictions to explain.
    """
    baseline: NgramModel | None = options.fitted
    training: Part | None = options.train
    names, label_kind = bundle.assets.labels.names, bundle.assets.labels.label_kind
    experts, labels = bundle.assets.experts, part.labels
    ngrams = baseline if experts is None else experts.ngrams
    network = network_name(bundle.config.model)
    name = network if experts is None else f"the {COMBINED}"
    outputs = outputs_of_part(bundle, part, options.counting, every=True)
    recurrent_logits, ngram_logits = map(np.asarray, outputs)
    calibrated = together(bundle, outputs)
    if experts is None:
        before = reliability(together(replace(bundle, temperature=None), outputs), labels, label_kind)
    else:
        average = experts.average.logits(*outputs)
        before = reliability(probabilities(average, label_kind), labels, label_kind)
        if part.name == "validation":  # the weights were fitted on these rows
            logits = recurrent_logits, ngram_logits
            fair = cross_fit(experts.combination, *logits, labels, label_kind).logits(*logits)
            calibrated = probabilities(fair, label_kind)
    new = None if training is None else unseen_rows(part, training, options.counting)

    def metrics_of(
        proba: NDArray[np.float64], limits: NDArray[np.float64] | None
    ) -> tuple[Metrics, Metrics | None]:
        """Returns the metrics of all rows and of the unseen rows."""
        whole = classification_metrics(labels, proba, names, label_kind, limits)
        if new is None:
            return whole, None
        return whole, classification_metrics(labels[new], proba[new], names, label_kind, limits)

    limits = bundle.assets.limits
    metrics, unseen = metrics_of(calibrated, limits)
    chosen = predicted_labels(calibrated, label_kind, limits)
    shares = np.empty(0)
    if training is not None and label_kind != "multilabel":
        shares = np.bincount(training.labels.astype(np.int64), minlength=len(names)) / max(1, len(training))
    elif label_kind != "multilabel":
        shares = np.bincount(labels.astype(np.int64), minlength=len(names)) / len(labels)
    headline = chosen_figure(bundle.config.predict.headline, names, label_kind, shares)
    baseline_metrics = comparison = baseline_unseen = majority = None
    alone = None
    if experts is not None:
        network_p = probabilities(recurrent_logits, label_kind, bundle.temperature)
        limits_alone = np.array(experts.network_thresholds) if experts.network_thresholds else None
        ngrams_p = probabilities(ngram_logits, label_kind, experts.ngrams.temperature)
        alone = ExpertFigures(
            experts,
            network,
            metrics_of(network_p, limits_alone)[0],
            metrics_of(ngrams_p, experts.ngrams.thresholds)[0],
        )
    if baseline is not None:
        if experts is not None and baseline is experts.ngrams:
            baseline_proba = ngrams_p
        else:
            with options.counting("testing the baseline", len(part)) as tick:
                baseline_proba = baseline.predict_proba(part.texts(part.rows), tick)
        baseline_metrics, baseline_unseen = metrics_of(baseline_proba, baseline.thresholds)
        baseline_chosen = predicted_labels(baseline_proba, label_kind, baseline.thresholds)
        pair = name, "the n-gram baseline" if experts is None else f"its {NGRAMS}"
        comparison = compare_predictions(labels, chosen, baseline_chosen, len(names), pair)
    if label_kind != "multilabel" and training is not None:
        largest = int(np.bincount(training.labels.astype(np.int64), minlength=len(names)).argmax())
        majority = float((labels == largest).mean())
    numbers = part.examples.numbers[part.rows]
    explanations, texts = [], dict[int, str]()
    rows = _worth_explaining(labels, calibrated, chosen, label_kind, options.explained)
    for row in rows:
        texts = texts or _texts_of(part, rows, options.counting)
        explanation = explain_text(bundle, texts[row])
        true = names[int(labels[row])] if label_kind != "multilabel" else None
        further = {"true": true, "row": int(numbers[row])}
        explanations.append(Explanation.model_validate({**dict(explanation), **further}))
    return Assessment(
        part=part.name,
        model_name=name,
        metrics=metrics,
        majority=majority,
        baseline=baseline_metrics,
        comparison=comparison,
        before=before,
        after=reliability(calibrated, labels, label_kind),
        mistakes=worst_mistakes(
            labels,
            calibrated,
            names,
            label_kind,
            lambda rows: list(_texts_of(part, rows.tolist(), options.counting).values()),
            numbers=numbers,
            thresholds=limits,
        ),
        explanations=explanations,
        unseen=unseen,
        baseline_unseen=baseline_unseen,
        thresholds=limits if label_kind == "multilabel" else None,
        experts=alone,
        headline=figure_of(headline, metrics, labels, chosen, calibrated),
        decisions=decisions_of(bundle.assets.decision, labels, calibrated, chosen, names),
        baseline_note=ngrams.note if ngrams is not None else "",
    )


def unseen_rows(part: Part, training: Part, counting: Counting = _SILENT) -> NDArray[np.bool_] | None:
    """Returns `new_rows`, or None if all rows or no rows are new."""
    new = new_rows(part, training, counting)
    return None if new.all() or not new.any() else new


def new_rows(part: Part, training: Part, counting: Counting = _SILENT) -> NDArray[np.bool_]:
    """Returns whether the text of each row of ``part`` does not occur in the training file, of shape (n,)."""
    same_file = part.examples is training.examples
    rows = training.rows if same_file else np.arange(len(training.examples))
    with counting("looking for training texts", len(rows) + len(part)) as tick:
        # The part has fewer rows than the training file, whose digests are not kept.
        digests = [_digest(text) for text in counted(part.texts(part.rows), tick)]
        sought = set(digests)
        texts = counted(training.texts(rows), tick)
        known = {digest for digest in map(_digest, texts) if digest in sought}
        return np.array([digest not in known for digest in digests], bool)


def _texts_of(part: Part, rows: Iterable[int], counting: Counting) -> dict[int, str]:
    """Returns the texts of a few of the ``n`` rows of a part by their numbers from 0, ascending."""
    wanted = set(rows)
    if not wanted:
        return {}
    with counting("reading the texts to show", len(part)) as tick:
        texts = enumerate(counted(part.texts(part.rows), tick))
        return {row: text for row, text in texts if row in wanted}


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def report_assessment(assessment: Assessment, reporter: Reporter) -> None:
    """Reports the metrics as a table, and the comparison as a sentence."""
    columns = assessment.columns
    figures: list[tuple[str, Callable[[Metrics], str]]] = [
        ("accuracy", lambda m: percent(m.accuracy)),
        ("95% interval", lambda m: percents(m.accuracy_low, m.accuracy_high)),
        ("log loss", lambda m: f"{m.log_loss:.3f}"),
        ("macro-F1", lambda m: f"{m.macro_f1:.3f}"),
        ("AUC", lambda m: "-" if m.auc is None else f"{m.auc:.3f}"),
        ("calibration error", lambda m: f"{m.ece:.3f}"),
    ]
    if assessment.metrics.label_kind == "multilabel":
        figures[:2] = [
            ("micro-F1", lambda m: three(m.micro_f1)),
            ("macro-F1", lambda m: f"{m.macro_f1:.3f}"),
            ("all labels right", lambda m: percent(m.accuracy)),
            ("95% interval", lambda m: percents(m.accuracy_low, m.accuracy_high)),
        ]
        del figures[5]  # macro-F1
    header = [f"{assessment.part}, {assessment.metrics.rows:,} rows", *(name for name, _ in columns)]
    rows = [[name, *(show(metrics) for _, metrics in columns)] for name, show in figures]
    if assessment.majority is not None:
        header.append("largest class")
        rows = [[*row, percent(assessment.majority) if row is rows[0] else ""] for row in rows]
    reporter.table("", header, rows)
    f1 = assessment.f1_sentence()
    if f1 is not None:
        reporter.note(f1)
    headline = assessment.headline
    if headline is not None and headline.name != ("accuracy" if f1 is None else "micro_f1"):
        reporter.note(f"{headline.title[0].upper()}{headline.title[1:]}: {headline.text}.")
    if assessment.decisions is not None and (answered := assessment.decisions.sentence()):
        reporter.note(answered)
    if assessment.experts is not None:
        reporter.note(experts_sentence(assessment.experts.fitted, assessment.experts.network_name))
    report_comparison(assessment.comparison, reporter)
    leak = assessment.leak_sentence()
    if leak is not None:
        reporter.warn(leak)


def _worth_explaining(
    labels: NDArray[Any],
    probability: NDArray[np.float64],
    predicted: NDArray[np.int64],
    label_kind: str,
    count: int,
) -> list[int]:
    """Returns ``count`` rows: a confident correct prediction of each class, then the most confident error."""
    if not count:
        return []
    confidence = probability.max(axis=1)
    if label_kind == "multilabel":
        return [int(row) for row in np.argsort(-confidence, kind="stable")[:count]]
    wrong = np.flatnonzero(predicted != labels)
    picks: list[int] = []
    for label in range(probability.shape[1]):
        correct = np.flatnonzero((predicted == labels) & (predicted == label))
        if len(correct) and len(picks) < count - bool(len(wrong)):
            # The median: the most confident ones are often short texts.
            picks.append(int(correct[np.argsort(confidence[correct], kind="stable")[len(correct) // 2]]))
    if len(wrong):
        picks.append(int(wrong[np.argmax(confidence[wrong])]))
    return picks[:count]
