"""Tagging in `recurra compare`: rows are sentences, scores are their words with the right tag."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.files import replacing
from recurra.measure.study import Criterion, Scores
from recurra.tasks.study import (
    OtherEstimators,
    StudyData,
    StudyFunctions,
    drawn_rows,
    fit_estimator,
    write_parts,
    write_strata,
)
from recurra.tasks.tagging.assess import probabilities_of
from recurra.tasks.tagging.baseline import MostFrequentTag
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.figures import tagging_metrics
from recurra.tasks.tagging.prepare import TaggedPart, TaggerData

__all__ = ["STUDY"]


def write(prepared: TaggerData, folder: Path) -> StudyData:
    """Writes sentences as lines of a word, a tab and its tag, with a blank line after each sentence."""

    def write_part(path: Path, part: TaggedPart) -> None:
        _write(path, (_lines(part, row) for row in range(len(part))))

    tags = prepared.train.tags
    majority = float(((prepared.test or prepared.valid).tags == np.bincount(tags[tags >= 0]).argmax()).mean())
    # The runs read these files, not the training file that the user described.
    tagging = {"format": "columns", "column": "upos", "scheme": prepared.config.tagging.scheme}
    settings = {"tagging": tagging, "data": {"encoding": "utf-8"}}
    study_data = write_parts(prepared, folder, ".tsv", write_part, majority=majority, settings=settings)
    write_strata(folder, np.zeros(study_data.rows, np.int64))
    return study_data


def draw(data: StudyData, size: int, seed: int, path: Path) -> None:
    """Writes ``size`` training sentences drawn by ``seed``."""
    sentences = (data.folder / data.train).read_text(encoding="utf-8").split("\n\n")
    _write(path, (f"{sentences[row]}\n\n" for row in drawn_rows(data, size, seed).tolist()))


def _lines(part: TaggedPart, row: int) -> str:
    sentence = part.sentences[row]
    pairs = zip(sentence.words, sentence.tags or (), strict=True)
    return "".join(f"{word}\t{tag}\n" for word, tag in pairs) + "\n"


def _write(path: Path, sentences: Iterable[str]) -> None:
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(sentences)


def score(bundle: TaggerBundle, part: TaggedPart) -> Scores:
    """The words of each sentence that the tagger gives the right tag."""
    return _scores(part, probabilities_of(bundle, part.numbers), bundle.assets.labels.names)


def score_baseline(baseline: None, prepared: TaggerData, part: TaggedPart) -> Scores:
    """The words of each sentence whose most frequent tag in training is right."""
    names = prepared.assets.labels.names
    predicted = MostFrequentTag(prepared.assets.counts.words, names).predict_part(part.words)
    return _scores(part, predicted, names)


def _scores(part: TaggedPart, predicted: NDArray[np.float64], names: tuple[str, ...]) -> Scores:
    tags, lengths = part.tags, part.lengths
    metrics = tagging_metrics(tags, predicted, names, lengths, np.ones(len(tags), bool))
    right = (tags == predicted.argmax(axis=1)).astype(np.float64)
    starts = np.cumsum(lengths) - lengths
    return Scores(np.add.reduceat(right, starts), lengths.astype(np.float64), metrics.log_loss)


def fit_other(estimator: Any, prepared: TaggerData) -> None:
    """Trains an estimator on lists of words and lists of their tags."""
    (X, y), validation = (_words_and_tags(part) for part in (prepared.train, prepared.valid))
    fit_estimator(estimator, X, y, validation)


def _words_and_tags(part: TaggedPart) -> tuple[list[list[str]], list[list[str]]]:
    words = [list(sentence.words) for sentence in part.sentences]
    return words, [list(sentence.tags or ()) for sentence in part.sentences]


def score_other(estimator: Any, prepared: TaggerData, part: TaggedPart) -> Scores:
    """The words of each sentence that an estimator gives the right tag.

    Raises:
        DataError: If a sentence does not get as many tags as it has words.
    """
    words, tags = _words_and_tags(part)
    predicted = list(estimator.predict(words))
    if [len(row) for row in predicted] != [len(row) for row in words]:
        raise DataError("predict did not return one tag for each word")
    right = [
        sum(str(a) == b for a, b in zip(*pair, strict=True)) for pair in zip(predicted, tags, strict=True)
    ]
    return Scores(np.array(right, np.float64), part.lengths.astype(np.float64))


STUDY: StudyFunctions[TaggerData, TaggerBundle] = StudyFunctions(
    criterion=Criterion(rows="sentences", majority="most frequent tag"),
    baseline="usual-tag",
    baseline_name="most frequent tag of each word",
    write=write,
    draw=draw,
    score=score,
    score_baseline=score_baseline,
    others=OtherEstimators(fit_other, score_other),
)
