"""The report and the model card of a trained classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from recurra.measure.charts import reliability_chart
from recurra.measure.explain import Explanation, strongest, to_html
from recurra.measure.formatting import count, percent, percents, sentence, share, three
from recurra.measure.metrics import Metrics
from recurra.measure.report import Bar, ReportTable, Section, Step, template_macros
from recurra.tasks.card import caution, model_card, part_row, use_in_card, verdict_fields
from recurra.tasks.classification.assess import Assessment
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.class_tables import COLUMNS, LISTED, class_sections, frequent, of_all
from recurra.tasks.classification.decision_view import decision_sections, headline_lead
from recurra.tasks.classification.experts_view import experts_section, experts_sentence
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.texts import Part

__all__ = ["USE", "card", "fit_fields", "report_fields", "result_fields"]

USE = {
    'recurra predict MODEL --text "..."': "predict a text",
    "recurra evaluate MODEL DATA": "measure it on other data",
}
"""What a model is used for, by command."""

_NGRAM_CLASSES = 30  # classes whose n-grams are shown
_MANY_CUT = 0.05  # share of truncated texts that is worth a word if the baseline is not beaten
_MISTAKES = 5  # that are shown at once; the others after a click


def fit_fields(bundle: ClassifierBundle, prepared: ClassifierData, assessment: Assessment) -> dict[str, Any]:
    """Returns the fields of the report of a fit that show data and training."""
    config, names = bundle.config, bundle.assets.labels.names
    few, counts = len(names) <= COLUMNS, [_class_counts(part, names) for part in prepared.parts]
    in_training = np.array(list(counts[0].values()))
    listed = sorted(np.argsort(-in_training, kind="stable")[:LISTED].tolist())
    by_class = ReportTable(
        caption="Rows of each class" + of_all(len(listed), len(names)),
        header=["Class", *(part.name for part in prepared.parts)],
        rows=[[names[c], *(count(by_name[names[c]]) for by_name in counts)] for c in listed],
        folded=True,
    )
    return {
        "data": {
            "file": prepared.train.where,
            "columns": f"{' + '.join(config.data.text or [])} -> {config.data.label}",
            "classes": str(len(names)),
            "vocabulary": f"{bundle.assets.tokenizer.vocab_size:,} entries, from the training rows only",
            "text cut to": f"{config.tokenizer.max_tokens:,} tokens, at its {config.tokenizer.cut}",
        },
        "parts": [
            part_row(part, len(part), _facts(part, bundle), by_name if few else None)
            for part, by_name in zip(prepared.parts, counts, strict=True)
        ],
        "data_tables": [] if few else [by_class],
        "steps": _cut_texts(prepared.train, bundle),
    }


def report_fields(
    bundle: ClassifierBundle, assessment: Assessment, name: str, baseline: NgramModel | None
) -> dict[str, Any]:
    """Returns the fields of a report that show an assessment on the file called ``name``."""
    names = bundle.assets.labels.names
    results = result_fields(
        assessment,
        names,
        bundle.temperature or 1.0,
        baseline_note=_baseline_note(baseline) if baseline else "",
        ngrams=baseline.strongest(names, classes=frequent(assessment.metrics, _NGRAM_CLASSES))
        if baseline
        else {},
    )
    return {"title": f"{assessment.model_name.removeprefix('the ')} on {name}", **results}


def result_fields(
    assessment: Assessment,
    names: Sequence[str],
    temperature: float,
    *,
    baseline_note: str = "",
    ngrams: Mapping[str, Sequence[tuple[str, float]]] | None = None,
) -> dict[str, Any]:
    """Returns the fields of a report that show an assessment.

    Args:
        assessment: The figures on one part of the data.
        names: The classes.
        temperature: The fitted temperature.
        baseline_note: What the baseline is.
        ngrams: The strongest n-grams of the baseline with their weights, by class.
    """
    leak = assessment.leak_sentence()
    macros = template_macros("recurra.tasks.classification", "report.html.j2")
    alone = assessment.experts
    experts = [] if alone is None else [experts_section(alone.fitted, alone.network_name)]
    sections = [
        _figures(assessment, baseline_note),
        *experts,
        *class_sections(assessment.metrics, names, macros, assessment.thresholds),
        *_mistakes(assessment, macros),
    ]
    if assessment.explanations:
        html = macros.explanations([_explanation(explanation) for explanation in assessment.explanations])
        sections.append(Section(anchor="explanations", title="Explained predictions", html=html))
    if assessment.decisions is not None:
        sections += decision_sections(assessment.decisions, names, assessment.headline)
    sections.append(_calibration(assessment, temperature, macros))
    if ngrams:
        sections.append(_ngrams(ngrams, macros, own=alone is not None))
    multilabel = assessment.metrics.label_kind == "multilabel"
    what = "Rows with every label right" if multilabel else "Accuracy"
    return {
        "lead": _lead(assessment),
        **_verdict(assessment),
        "caution": caution(assessment.part, assessment.metrics.rows),
        "bars": _bars(assessment),
        "bars_label": f"{what}, with 95% intervals",
        "bars_top": 100.0,
        "sections": sections,
        "warnings": [leak] if leak else [],
    }


_REGRESSION = (
    "The baseline is a logistic regression over word 1- to 3-grams (TF-IDF, weighted by naive Bayes; "
    "Chinese by character), trained on the same rows. It sees no word order beyond three words."
)
_PIECES = " Beside them it counts pieces of 4 characters of the words."
_CENTROIDS = (
    "The baseline compares the word 1- to 3-grams of a text (TF-IDF; Chinese by character) with the mean of "
    "each class, since a regression for each of so many classes would take long. It is trained on the same "
    "rows and sees no word order beyond three words."
)


def _baseline_note(baseline: NgramModel) -> str:
    limits = f" It was {baseline.note}." if baseline.note else ""
    pieces = _PIECES if baseline.pieces else ""
    return (_REGRESSION if baseline.centroids is None else _CENTROIDS) + pieces + limits


def card(bundle: ClassifierBundle, assessment: Assessment) -> str:
    """Returns the model card."""
    config, labels, vocabulary = bundle.config, bundle.assets.labels, bundle.assets.tokenizer.vocab_size
    m = assessment.metrics
    accuracy, micro = "accuracy (95% interval)", []
    if m.micro_f1 is not None:
        accuracy, micro = "all labels right (95% interval)", ["micro-F1"]
    table = [[f"on {m.rows:,} {assessment.part} rows", accuracy, *micro, "macro-F1"]]
    for name, metrics in assessment.columns:
        shown = [three(metrics.micro_f1)] if micro else []
        table.append([name, metrics.accuracy_text, *shown, f"{metrics.macro_f1:.3f}"])
    if assessment.majority is not None:
        table.append(["always the largest class", percent(assessment.majority), ""])
    kept = "first" if config.tokenizer.cut == "end" else "last"
    alone, reads, shares = assessment.experts, "the model reads", ""
    if alone is not None:
        reads = "the network reads"
        shares = f"\n{experts_sentence(alone.fitted, alone.network_name)}\n"
    if assessment.baseline_note:
        shares += f"\nThe n-grams were {assessment.baseline_note}.\n"
    return model_card(
        bundle,
        title=f"{assessment.model_name.removeprefix('the ')}: {', '.join(labels.names[:12])}",
        kind=f"A text classifier ({labels.label_kind})",
        table=table,
        verdict=assessment.comparison.sentence if assessment.comparison else "",
        note=shares,
        use=use_in_card(USE),
        limits=f"""\
The vocabulary has {vocabulary:,} words of the training texts; {reads} the
{kept} {config.tokenizer.max_tokens:,} tokens of a text. Its figures will differ on texts of another
kind, place or time: measure it on such texts first. `report.html` shows its worst mistakes and
its calibration.
""",
    )


def _class_counts(part: Part, names: Sequence[str]) -> dict[str, int]:
    if part.labels.ndim == 2:
        counts = part.labels.sum(axis=0).astype(int)
    else:
        counts = np.bincount(part.labels.astype(np.int64), minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def _facts(part: Part, bundle: ClassifierBundle) -> str:
    full = part.examples.full_lengths[part.rows]
    longer = float((full > bundle.config.tokenizer.max_tokens).mean())
    return f"median {int(np.median(full)):,} tokens, {100 * longer:.1f}% cut"


def _cut_texts(part: Part, bundle: ClassifierBundle) -> list[Step]:
    most = bundle.config.tokenizer.max_tokens
    full = part.examples.full_lengths[part.rows]
    longer = float((full > most).mean())
    if longer < _MANY_CUT:
        return []
    enough = int(np.quantile(full, 0.98))
    return [
        Step(
            text=f"{share(longer)} of the training texts have more than {most:,} tokens, and their "
            f"{bundle.config.tokenizer.cut} is not read. Read more of them: add to the command",
            command=f"--set tokenizer.max_tokens={enough}",
        )
    ]


def _lead(assessment: Assessment) -> str:
    m, f1, headline = assessment.metrics, assessment.f1_sentence(), assessment.headline
    if headline is not None and headline.name not in ("accuracy", "micro_f1"):
        return headline_lead(headline, assessment.model_name, m, assessment.part)
    subject = sentence(assessment.model_name) if f1 is None else f"{f1} It"
    what = "is right on" if f1 is None else "predicts all labels correctly for"
    return (
        f"{subject} {what} {share(m.accuracy)} of {m.rows:,} {assessment.part} "
        f"{'row' if m.rows == 1 else 'rows'} "
        f"(95% interval {100 * m.accuracy_low:.1f} to {100 * m.accuracy_high:.1f})."
    )


def _verdict(assessment: Assessment) -> dict[str, str]:
    comparison = assessment.comparison
    if comparison is None:
        if assessment.majority is None:
            return {}
        gain = 100 * (assessment.metrics.accuracy - assessment.majority)
        side = "above" if gain >= 0 else "below"
        return {
            "verdict": f"That is {abs(gain):.1f} points {side} always predicting the largest class. "
            "There is no baseline to compare it with."
        }
    return {**verdict_fields(comparison), "verdict_kind": comparison.verdict}


def _bars(assessment: Assessment) -> list[Bar]:
    bars = [_bar("model", assessment.model_name.removeprefix("the "), assessment.metrics)]
    for name, metrics in assessment.columns[1:]:
        bars.append(_bar("baseline", sentence(name), metrics))
    if assessment.majority is not None:
        text = share(assessment.majority)
        bars.append(Bar(kind="majority", name="Largest class", value=100 * assessment.majority, text=text))
    return bars


def _bar(kind: Literal["model", "baseline"], name: str, m: Metrics) -> Bar:
    low, high = 100 * m.accuracy_low, 100 * m.accuracy_high
    text = f"{share(m.accuracy)} ({low:.1f} to {high:.1f})"
    return Bar(kind=kind, name=name, value=100 * m.accuracy, low=low, high=high, text=text)


def _figures(assessment: Assessment, baseline_note: str) -> Section:
    columns = [metrics for _, metrics in assessment.columns]
    multi = assessment.metrics.label_kind == "multilabel"
    figures: list[tuple[str, str, str]] = [
        ("accuracy", "Accuracy", "Rows with every label right." if multi else "Rows predicted right."),
        ("interval", "95% interval", "Range of the accuracy on all such texts, given these rows (Wilson)."),
        ("macro_f1", "Macro-F1", "Mean F1 of the classes: small classes count as much as large ones."),
        ("micro_f1", "Micro-F1", "F1 over all labels of all rows together."),
        ("auc", "AUC", _auc_meaning(assessment.metrics.label_kind)),
        ("log_loss", "Log loss", "Error of the probabilities, in nats: lower is better, 0 is perfect."),
        ("ece", "Calibration error", "Mean distance of predicted probability and accuracy: lower is better."),
    ]

    def cell(metrics: Metrics, key: str) -> str:
        if key == "interval":
            return percents(metrics.accuracy_low, metrics.accuracy_high)
        value = getattr(metrics, key)
        return percent(value) if key in ("accuracy", "ece") else three(value)

    shown = [figure for figure in figures if figure[0] != "micro_f1" or multi]
    (first, _), *others = assessment.columns
    header = ["Figure", sentence(first), *(name for name, _ in others)]
    both, notes = "", []
    if assessment.baseline is not None:
        both = ", model and baseline on the same ones"
        notes.append(baseline_note or _REGRESSION)
    if assessment.comparison is not None:
        c = assessment.comparison
        ends = f"{100 * c.low:+.1f} to {100 * c.high:+.1f}".replace("-", "−")
        notes.append(
            f"Of {c.rows:,} rows, {c.only_first:,} are right only with {c.first} and {c.only_second:,} only "
            f"with {c.second}. A difference is shown if its 95% interval, here {ends} points, does not "
            "contain 0 (Newcombe's interval for paired rows)."
        )
        if (f1 := c.macro_f1) is not None:
            ends = f"{f1.difference:+.3f} ({f1.low:+.3f} to {f1.high:+.3f})".replace("-", "−")
            notes.append(f"The difference of macro-F1 is {ends}, from 2,000 paired bootstrap samples.")
    return Section(
        anchor="figures",
        title="Figures",
        paragraphs=[f"On {assessment.metrics.rows:,} {assessment.part} rows{both}."],
        tables=[
            ReportTable(
                header=header,
                rows=[[name, *(cell(metrics, key) for metrics in columns)] for key, name, _ in shown],
                meanings=[meaning for *_, meaning in shown],
            )
        ],
        notes=notes,
        half=True,
    )


def _auc_meaning(label_kind: str) -> str:
    if label_kind == "binary":
        return "Chance that a row of the second class is ranked above one of the first; 0.5 is guessing."
    return "Chance that a row of a class is ranked above one that isn't, mean over classes; 0.5 is guessing."


def _mistakes(assessment: Assessment, macros: Any) -> list[Section]:
    if assessment.mistakes:
        what = (
            "The wrong predictions with the highest probability, highest first. Some of them may be wrong "
            "labels, or texts that are difficult even for a person."
        )
        html = macros.mistakes(assessment.mistakes, _MISTAKES)
        return [Section(anchor="mistakes", title="Worst mistakes", paragraphs=[what], html=html)]
    if assessment.metrics.accuracy == 1:
        none = "None: every row was predicted correctly."
        return [Section(anchor="mistakes", title="Worst mistakes", paragraphs=[none])]
    return []


def _calibration(assessment: Assessment, temperature: float, macros: Any) -> Section:
    names = ("as trained", "with temperature")
    if assessment.experts is not None:
        names = ("plain average", "fitted weights")
    curves = dict(zip(names, (assessment.before, assessment.after), strict=True))
    errors = "; ".join(f"{name}: calibration error {share(curve.ece)}" for name, curve in curves.items())
    chart = reliability_chart(curves, title=f"Reliability diagram. {errors}", name="reliability")
    habit = "overconfident" if temperature > 1 else "underconfident"
    if abs(temperature - 1) < 0.05:
        habit = "well calibrated"
    text = (
        f"The temperature fitted on the validation rows is {temperature:.2f}: as trained, the model was "
        f"{habit} there. On these rows it changes the calibration error from {share(assessment.before.ece)} "
        f"to {share(assessment.after.ece)}."
    )
    if assessment.experts is not None:
        text = (
            "The weights of both experts were fitted on the validation rows, which calibrates too. On these "
            f"rows the calibration error of the plain average of their logits is "
            f"{share(assessment.before.ece)}, and that of the model {share(assessment.after.ece)}."
        )
    text += (
        f" On {assessment.metrics.rows:,} rows, right probabilities have a calibration error of "
        f"{share(assessment.after.ece_by_chance)} on average, and of up to "
        f"{share(assessment.after.ece_by_chance_high)} in 95% of samples."
    )
    html = macros.calibration(chart, text, assessment.experts is None)
    return Section(anchor="calibration", title="Calibration", html=html)


def _explanation(e: Explanation) -> dict[str, Any]:
    return {
        "label": e.label,
        "probability": share(e.probability),
        "true": e.true,
        "verdict": "" if e.true is None else "right" if e.true == e.label else "wrong",
        "row": None if e.row is None else count(e.row),
        "html": to_html(e),
        "strongest": [(p.text, f"{p.contribution:+.2f}".replace("-", "−")) for p in strongest(e.parts, 5)],
        "details": [sentence(line) for line in e.details()],
        "note": sentence(e.note),
    }


def _ngrams(ngrams: Mapping[str, Sequence[tuple[str, float]]], macros: Any, *, own: bool) -> Section:
    """The strongest n-grams by class, the largest weight first: the model's ``own``, or the baseline's."""
    largest = max((weight for weights in ngrams.values() for _, weight in weights), default=0.0) or 1.0
    groups = [
        {
            "name": name,
            "ngrams": [
                (ngram, f"{weight:+.1f}", round(100 * weight / largest))
                for ngram, weight in sorted(weights, key=lambda pair: -pair[1])
            ],
        }
        for name, weights in ngrams.items()
    ]
    return Section(
        anchor="ngrams",
        title="Strongest n-grams" + ("" if own else " of the baseline"),
        paragraphs=[
            "The n-grams that raise the probability of each class most in the "
            f"{'n-gram expert' if own else 'baseline'}. Where the model is better than the "
            f"{'n-grams alone' if own else 'baseline'}, it uses what n-grams cannot represent."
        ],
        notes=[
            "Each figure is a weight of the n-gram model: by how much the log-odds of the class "
            "rise for each unit of the TF-IDF value of the n-gram, which lies between 0 and 1. The lines "
            "under the n-grams have the same scale in all lists. Listed are n-grams whose weight is large "
            "and that are not rare. A name with an ellipsis is a piece of a word, which counts in all words "
            "that have it: …ful ends words, int… begins them, …rful… is anywhere in them."
        ],
        html=macros.ngrams(groups),
    )
