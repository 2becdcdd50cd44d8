"""Evaluates a language model and the n-gram baseline on one part of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.base import AssessOptions
from recurra.tasks.card import network_name, report_comparison
from recurra.tasks.language.baseline import LanguageBaseline, unigram_log_probability
from recurra.tasks.language.experts import mixture_sentence
from recurra.tasks.language.figures import (
    Perplexity,
    PerplexityComparison,
    blocks_of,
    compare_perplexity,
    perplexity,
)
from recurra.tasks.language.mixture import Mixture
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.language.prepare import stream_of
from recurra.tasks.language.scores import stream_log_probability
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

__all__ = ["Band", "LanguageAssessment", "assess", "report_assessment"]

_BANDS = ((1, 10), (11, 100), (101, 1_000), (1_001, 10_000), (10_001, None))


@dataclass(frozen=True)
class Band:
    """Perplexity of both models on tokens within a range of frequency ranks."""

    name: str
    tokens: int
    model: float
    baseline: float | None


@dataclass(frozen=True)
class LanguageAssessment:
    """Metrics on one part of the data.

    Attributes:
        unit: the kind of token: word, piece or character.
        model: the perplexity of what the model answers.
        network: that of the network alone, where it answers in a mixture.
        network_name: the name of the network, such as ``the LSTM``.
        mixture: the mixture; None if the network answers alone.
    """

    part: str
    unit: str
    texts: int
    unknown: int
    model_name: str
    model: Perplexity
    baseline: Perplexity | None
    order: int | None
    unigram: Perplexity | None
    comparison: PerplexityComparison | None
    bands: list[Band]
    network: Perplexity | None = None
    network_name: str = ""
    mixture: Mixture | None = None

    @property
    def kind(self) -> str:
        """What the model is, for titles, such as ``LSTM language model``."""
        network = self.network_name.removeprefix("the ")
        if self.mixture is None:
            return f"{network} language model"
        return f"{network} and {self.mixture.ngrams.order}-gram language model"

    def as_json(self) -> dict[str, Any]:
        """Returns the metrics for ``metrics.json`` and ``--json``."""
        return {
            "evaluated_on": self.part,
            "unit": self.unit,
            "texts": self.texts,
            "unknown_tokens": self.unknown,
            "model": self.model.model_dump(),
            "baseline": {"order": self.order, **self.baseline.model_dump()} if self.baseline else None,
            "unigram": self.unigram.model_dump() if self.unigram else None,
            "comparison": self.comparison.model_dump() if self.comparison else None,
            "experts": None if self.mixture is None else self.mixture.as_json(),
            "network": self.network.model_dump() if self.network else None,
        }


def assess(bundle: LanguageBundle, part: Part, options: AssessOptions) -> LanguageAssessment:
    """Evaluates ``bundle`` on the whole stream of ``part``; ``options.fitted`` is the fitted baseline.

    As usual, the network has the context of the texts before, and n-grams that of the same text only.
    """
    baseline: LanguageBaseline | None = options.fitted
    stream = stream_of(part)
    blocks = blocks_of(stream.starts)
    log_probability = stream_log_probability(bundle.model, stream)
    network = name = network_name(bundle.config.model)
    mixture, alone = bundle.assets.mixture, None
    if mixture is not None:
        name = "the combined model"
        alone = perplexity(log_probability, blocks)
        log_probability = mixture.mixed(log_probability, stream.read(0, len(stream)))
    baseline_perplexity = unigram = comparison = None
    bands: list[Band] = []
    if baseline is not None:
        tokens = stream.read(0, len(stream))
        ngrams = baseline.ngrams.log_probability(tokens)
        baseline_perplexity = perplexity(ngrams, blocks)
        title = f"the {baseline.ngrams.order}-gram baseline"
        comparison = compare_perplexity(log_probability, ngrams, blocks, name, title)
        unigram = perplexity(unigram_log_probability(baseline.counts, tokens[1:]), blocks)
        bands = _bands(tokens[1:], baseline.counts, log_probability, ngrams)
    return LanguageAssessment(
        part=part.name,
        unit={"subword": "piece", "character": "character"}.get(bundle.config.tokenizer.level, "word"),
        texts=len(part),
        unknown=int(part.examples.unknown[part.rows].sum()),
        model_name=name,
        model=perplexity(log_probability, blocks),
        baseline=baseline_perplexity,
        order=None if baseline is None else baseline.ngrams.order,
        unigram=unigram,
        comparison=comparison,
        bands=bands,
        network=alone,
        network_name=network,
        mixture=mixture,
    )


def report_assessment(assessment: LanguageAssessment, reporter: Reporter) -> None:
    """Reports the metrics as a table, and the comparison as a sentence."""
    columns = [(assessment.model_name.removeprefix("the "), assessment.model)]
    if assessment.network is not None:
        columns.append((f"{assessment.network_name.removeprefix('the ')} alone", assessment.network))
    if assessment.baseline is not None:
        columns.append((f"{assessment.order}-gram baseline", assessment.baseline))
    if assessment.unigram is not None:
        columns.append(("frequencies alone", assessment.unigram))
    rows = [
        ["perplexity", *(f"{figures.value:,.2f}" for _, figures in columns)],
        ["95% interval", *(span(figures) for _, figures in columns)],
        [f"bits a {assessment.unit}", *(f"{figures.bits:.3f}" for _, figures in columns)],
    ]
    header = [f"{assessment.part}, {assessment.model.tokens:,} tokens", *(name for name, _ in columns)]
    reporter.table("", header, rows)
    if assessment.mixture is not None:
        reporter.note(mixture_sentence(assessment.mixture, assessment.network_name))
    report_comparison(assessment.comparison, reporter)


def span(figures: Perplexity) -> str:
    """Returns the interval as text; a dash if there is none."""
    if figures.low is None or figures.high is None:
        return "-"
    return f"{figures.low:,.2f} to {figures.high:,.2f}"


def _bands(
    tokens: NDArray[np.int64],
    counts: NDArray[np.int64],
    model: NDArray[np.float32],
    baseline: NDArray[np.float64],
) -> list[Band]:
    """Returns bands of frequency ranks; the unknown word and the end of a text are separate."""
    special = (TextTokenizer.start_id, TextTokenizer.unknown_id)
    order = np.argsort(-counts, kind="stable")
    order = order[~np.isin(order, (TextTokenizer.pad_id, *special))]
    rank = np.zeros(len(counts), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    groups = [("end of a text", tokens == special[0]), ("unknown word", tokens == special[1])]
    ranks = rank[tokens]
    for first, last in _BANDS:
        name = f"rank {first:,} to {last:,}" if last else f"rank {first:,} and beyond"
        groups.append((name, (ranks >= first) & (ranks <= (last or len(counts)))))
    return [
        Band(
            name,
            int(mask.sum()),
            float(np.exp(-model[mask].mean(dtype=np.float64))),
            float(np.exp(-baseline[mask].mean())),
        )
        for name, mask in groups
        if mask.any()
    ]
