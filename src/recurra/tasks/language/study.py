"""Language models in `recurra compare`: rows are texts, scores are negative log-likelihoods in nats.

Runs with fewer texts have the vocabulary of all training texts: losses with another one are not comparable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.study import Criterion, Scores
from recurra.tasks.language.baseline import LanguageBaseline
from recurra.tasks.language.figures import BLOCKS
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.language.prepare import LanguageData, stream_of
from recurra.tasks.language.scores import stream_log_probability
from recurra.tasks.study import (
    OtherEstimators,
    StudyData,
    StudyFunctions,
    checked_answers,
    draw_parquet,
    fit_estimator,
    text_chunks,
    write_parquet,
    write_parts,
    write_strata,
)
from recurra.tasks.texts import Part

__all__ = ["STUDY"]


def write(prepared: LanguageData, folder: Path) -> StudyData:
    """Writes the texts of each part as a Parquet file."""
    import pyarrow as pa

    def write_part(path: Path, part: Part) -> None:
        write_parquet(path, (pa.table({"text": texts}) for _, texts in text_chunks(part, part.rows)))

    settings = {"data": {"format": "parquet", "text": ["text"], "group": None}}
    study_data = write_parts(prepared, folder, ".parquet", write_part, settings=settings)
    write_strata(folder, np.zeros(study_data.rows, np.int64))
    return study_data


def smaller(data: StudyData, size: int) -> dict[str, Any]:
    """Returns settings with which fewer texts have the vocabulary of all training texts."""
    del size
    return {"language": {"vocabulary": str((data.folder / data.train).absolute())}}


def score(bundle: LanguageBundle, part: Part) -> Scores:
    """The negative log-likelihood of each block of texts."""
    return _scores(part, stream_log_probability(bundle.model, stream_of(part), bundle.assets.mixture))


def score_baseline(baseline: LanguageBaseline, prepared: LanguageData, part: Part) -> Scores:
    """The negative log-likelihood of each block of texts by the n-gram model."""
    stream = stream_of(part)
    return _scores(part, baseline.ngrams.log_probability(stream.read(0, len(stream))))


def _scores(part: Part, log_probability: NDArray[np.floating]) -> Scores:
    """Sums over blocks of consecutive texts, which are nearly independent of one another."""
    starts = stream_of(part).starts
    edges = starts[_edges(len(starts) - 1)]
    nats = np.add.reduceat(-log_probability.astype(np.float64), edges[:-1])
    return Scores(nats, np.diff(edges).astype(np.float64))


def _edges(texts: int) -> NDArray[np.int64]:
    """The first text of each block, and the number of texts."""
    return np.linspace(0, texts, min(BLOCKS, texts) + 1).astype(np.int64)


def fit_other(estimator: Any, prepared: LanguageData) -> None:
    """Trains an estimator on texts."""
    train, valid = prepared.train, prepared.valid
    fit_estimator(estimator, list(train.texts(train.rows)), None, (list(valid.texts(valid.rows)), None))


def score_other(estimator: Any, prepared: LanguageData, part: Part) -> Scores:
    """The negative log-likelihood of each block of texts, from the log-likelihoods of ``score_samples``."""
    texts, starts = list(part.texts(part.rows)), stream_of(part).starts
    found = checked_answers(estimator.score_samples(texts), (len(texts),), "score_samples")
    edges = _edges(len(texts))
    nats = np.add.reduceat(-found.astype(np.float64), edges[:-1])
    return Scores(nats, np.diff(starts[edges]).astype(np.float64))


STUDY: StudyFunctions[LanguageData, LanguageBundle] = StudyFunctions(
    criterion=Criterion("loss", "losses", "texts", "nats", shares=False, higher_is_better=False, majority=""),
    baseline="n-grams",
    baseline_name="n-gram baseline",
    write=write,
    score=score,
    score_baseline=score_baseline,
    others=OtherEstimators(fit_other, score_other),
    draw=draw_parquet,
    smaller=smaller,
    shared=("tokenizer", "language.vocabulary"),
)
