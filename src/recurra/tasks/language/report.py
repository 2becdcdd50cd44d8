"""The report and the model card of a trained language model."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from recurra.measure.report import Bar, ReportTable, Section
from recurra.tasks.card import model_card, part_row, use_in_card, verdict_fields
from recurra.tasks.language.answers import continuation, following
from recurra.tasks.language.assess import LanguageAssessment, span
from recurra.tasks.language.baseline import LanguageBaseline
from recurra.tasks.language.experts import mixture_sentence
from recurra.tasks.language.figures import Perplexity
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.language.prepare import LanguageData, stream_of
from recurra.tasks.texts import Part

__all__ = ["USE", "card", "fit_fields", "report_fields"]

USE = {
    'recurra predict MODEL --text "..."': "how likely a text is",
    'recurra predict MODEL --text "..." --next 5': "the words most likely to come next",
    'recurra predict MODEL --text "..." --generate 50': "a continuation of the text",
    "recurra fit SMALL --pretrained MODEL": "a classifier initialized from its embedding",
}
"""What a model is used for, by command."""

_SAMPLE_TOKENS = {"word": 40, "piece": 60, "character": 240}


def fit_fields(
    bundle: LanguageBundle, prepared: LanguageData, assessment: LanguageAssessment
) -> dict[str, Any]:
    """Returns the fields of the report of a fit that show data and training."""
    config, tokenizer = bundle.config, bundle.assets.tokenizer
    return {
        "title": f"{assessment.kind} of {prepared.source_name}",
        "curves": {
            "loss": "Loss, in nats per token: lower is better",
            "perplexity": "Perplexity: lower is better",
        },
        "data": {
            "file": prepared.train.where,
            "text": " + ".join(config.data.text or ["lines"]),
            "vocabulary": f"{tokenizer.vocab_size:,} entries, from the training part only",
            "windows": f"{config.language.bptt} steps, states carried over",
        },
        "parts": [part_row(part, len(part), _facts(part)) for part in prepared.parts],
    }


def report_fields(
    bundle: LanguageBundle, assessment: LanguageAssessment, name: str, baseline: LanguageBaseline | None
) -> dict[str, Any]:
    """Returns the fields of a report that show an assessment on the file called ``name``."""
    model, title = assessment.model, assessment.model_name.removeprefix("the ")
    named: list[tuple[str, Perplexity, Literal["model", "baseline", "majority"]]] = [(title, model, "model")]
    if assessment.network is not None:
        alone = f"{assessment.network_name.removeprefix('the ')} alone"
        named.append((alone, assessment.network, "model"))
    if assessment.baseline is not None:
        named.append((f"{assessment.order}-grams (Kneser-Ney)", assessment.baseline, "baseline"))
    if assessment.unigram is not None:
        named.append(("Token frequencies", assessment.unigram, "majority"))
    return {
        "title": f"{assessment.kind} on {name}",
        "lead": f"On {model.tokens:,} {assessment.part} tokens {assessment.model_name} has a perplexity of "
        f"{model.value:,.2f}: {model.bits:.3f} bits per {assessment.unit}.",
        **verdict_fields(assessment.comparison),
        "bars": [
            Bar(
                name=name,
                value=figures.value,
                low=figures.low,
                high=figures.high,
                text=_formatted(figures),
                kind=style,
            )
            for name, figures, style in named
        ],
        "bars_label": f"Perplexity per {assessment.unit}: lower is better",
        "sections": [
            *_experts(assessment),
            *_by_rank(assessment, baseline.note if baseline else ""),
            _samples(bundle, assessment),
        ],
    }


def card(bundle: LanguageBundle, assessment: LanguageAssessment) -> str:
    """Returns the model card."""
    name, unit, model, mixture = (
        assessment.model_name, assessment.unit, assessment.model, assessment.mixture,
    )  # fmt: skip
    tokens = f"on {model.tokens:,} {assessment.part} tokens"
    table = [[tokens, "perplexity (95% interval)", f"bits per {unit}"]]
    named = (
        (name, model),
        (f"{assessment.network_name} alone", assessment.network),
        (f"{assessment.order}-grams (Kneser-Ney)", assessment.baseline),
    )
    table += [[label, _formatted(m), f"{m.bits:.3f}"] for label, m in named if m is not None]
    return model_card(
        bundle,
        title=assessment.kind,
        kind="A language model",
        table=table,
        verdict=assessment.comparison.sentence if assessment.comparison else "",
        note=f"\n{mixture_sentence(mixture, assessment.network_name)}\n" if mixture is not None else "",
        use=use_in_card(USE),
        limits=f"""\
The vocabulary has {bundle.assets.tokenizer.vocab_size:,} entries of the training texts; the probabilities
reflect these texts. Generated text may be fluent, but is not reliable.
""",
    )


def _experts(assessment: LanguageAssessment) -> list[Section]:
    mixture = assessment.mixture
    if mixture is None:
        return []
    network = assessment.network_name.removeprefix("the ")
    order = mixture.ngrams.order
    rows = [[f"{n} of {order - 1}", f"{100 * share:.1f}%"] for n, share in enumerate(mixture.shares)]
    return [
        Section(
            anchor="experts",
            title="Experts",
            paragraphs=[mixture_sentence(mixture, assessment.network_name)],
            tables=[ReportTable(header=["known preceding tokens", f"share of the {network}"], rows=rows)],
            notes=[
                "The probability of a token is the share times that of the network, plus the rest times "
                "that of the n-grams. The shares are those with the greatest likelihood on the validation "
                "tokens."
            ],
        )
    ]


def _by_rank(assessment: LanguageAssessment, baseline_note: str) -> list[Section]:
    if not assessment.bands:
        return []
    rows = [
        [
            band.name,
            f"{100 * band.tokens / assessment.model.tokens:.1f}%",
            f"{band.model:,.1f}",
            "-" if band.baseline is None else f"{band.baseline:,.1f}",
        ]
        for band in assessment.bands
    ]
    header = ["tokens", "share", assessment.model_name.removeprefix("the "), f"{assessment.order}-grams"]
    return [
        Section(
            anchor="frequency",
            title=f"Frequent and rare {assessment.unit}s",
            paragraphs=["Perplexity of the tokens by their rank in training frequency."],
            notes=[f"The {assessment.order}-grams were counted {baseline_note}."] if baseline_note else [],
            tables=[ReportTable(header=header, rows=rows)],
        )
    ]


def _samples(bundle: LanguageBundle, assessment: LanguageAssessment) -> Section:
    unit = assessment.unit
    count = _SAMPLE_TOKENS[unit]
    generated = [
        [f"{temperature:g}", continuation(bundle, "", count, temperature=temperature, seed=1)]
        for temperature in (0.5, 0.8, 1.0)
    ]
    first = [[token, f"{100 * p:.2f}%"] for token, p in following(bundle, "", 8)]
    return Section(
        anchor="samples",
        title="Samples",
        paragraphs=[f"{count} {unit}s generated without a prompt (seed 1), and the first {unit}s."],
        tables=[
            ReportTable(header=["temperature", "text"], rows=generated),
            ReportTable(
                caption=f"Most likely first {unit}s of a text",
                header=[unit, "probability"],
                rows=first,
            ),
        ],
    )


def _facts(part: Part) -> str:
    tokens = stream_of(part).targets
    unknown = int(part.examples.unknown[part.rows].sum())
    median = int(np.median(part.examples.full_lengths[part.rows]))
    return f"{tokens:,} tokens, {100 * unknown / max(1, tokens):.1f}% unknown, median {median:,} per text"


def _formatted(figures: Perplexity) -> str:
    interval = f" ({span(figures)})" if figures.low is not None else ""
    return f"{figures.value:,.2f}{interval}"
