"""Evaluates a language model and the n-gram baseline on one part of the data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.base import AssessOptions
from recurra.tasks.card import network_name, report_comparison
from recurra.tasks.language.baseline import NgramModel, unigram_log_probability
from recurra.tasks.language.figures import (
    Perplexity,
    PerplexityComparison,
    blocks_of,
    compare_perplexity,
    perplexity,
)
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.language.prepare import LanguageData, stream_of
from recurra.tasks.language.scores import stream_log_probability
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

__all__ = ["Band", "LanguageAssessment", "LanguageBaseline", "assess", "fit_baseline", "report_assessment"]

_MAX_TOKENS = 20_000_000  # training tokens for the n-grams: counting them takes about 3 GB
_BANDS = ((1, 10), (11, 100), (101, 1_000), (1_001, 10_000), (10_001, None))


@dataclass(frozen=True)
class LanguageBaseline:
    """The n-gram model and the token counts of the training part."""

    ngrams: NgramModel
    counts: NDArray[np.int64]
    note: str


@dataclass(frozen=True)
class Band:
    """Perplexity of both models on tokens within a range of frequency ranks."""

    name: str
    tokens: int
    model: float
    baseline: float | None


@dataclass(frozen=True)
class LanguageAssessment:
    """Metrics on one part of the data; ``unit`` is the kind of token: word, piece or character."""

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
        }


def fit_baseline(prepared: LanguageData, reporter: Reporter) -> LanguageBaseline:
    """Counts the n-grams of the tokens that the network was trained on (at most the first 20 million)."""
    start = time.perf_counter()
    language, tokenizer = prepared.config.language, prepared.assets.tokenizer
    order = language.ngram or (9 if tokenizer.config.level == "character" else 5)
    stream = stream_of(prepared.train)
    count = min(len(stream), _MAX_TOKENS)
    ngrams = NgramModel(order, tokenizer.vocab_size, tokenizer.start_id).fit(stream.read(0, count))
    note = "" if count == len(stream) else f"of the first {count:,} of {stream.targets:,} training tokens"
    reporter.note(
        f"baseline (interpolated modified Kneser-Ney {order}-grams): {time.perf_counter() - start:.1f} s"
        + (f"; {note}" if note else "")
    )
    return LanguageBaseline(ngrams, stream.counts(tokenizer.vocab_size), note)


def assess(bundle: LanguageBundle, part: Part, options: AssessOptions) -> LanguageAssessment:
    """Evaluates ``bundle`` on the whole stream of ``part``; ``options.fitted`` is the fitted baseline.

    As usual, the network has the context of the texts before, and n-grams that of the same text only.
    """
    baseline: LanguageBaseline | None = options.fitted
    stream = stream_of(part)
    blocks = blocks_of(stream.starts)
    log_probability = stream_log_probability(bundle.model, stream)
    name = network_name(bundle.config.model)
    baseline_perplexity = unigram = comparison = None
    bands: list[Band] = []
    if baseline is not None:
        tokens = stream.read(0, len(stream))
        ngrams = baseline.ngrams.log_probability(tokens)
        baseline_perplexity = perplexity(ngrams, blocks)
        unigram = perplexity(unigram_log_probability(baseline.counts, tokens[1:]), blocks)
        title = f"the {baseline.ngrams.order}-gram baseline"
        comparison = compare_perplexity(log_probability, ngrams, blocks, name, title)
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
    )


def report_assessment(assessment: LanguageAssessment, reporter: Reporter) -> None:
    """Reports the metrics as a table, and the comparison as a sentence."""
    columns = [(assessment.model_name.removeprefix("the "), assessment.model)]
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
