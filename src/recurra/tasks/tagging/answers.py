"""Predictions of a tagger: the tag and its probability for each word of a file, a stream or texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from recurra.config import updated
from recurra.errors import ConfigError
from recurra.io.formats import Skipped
from recurra.measure.shift import Profile
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.tagging.assess import EVALUATION_BATCH, probabilities_of
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.prepare import numbered
from recurra.tasks.tagging.sentences import (
    Sentence,
    detect_sentences,
    read_sentence_stream,
    read_sentences,
    split_words,
)
from recurra.tasks.texts import skipped_in_words
from recurra.tasks.work import Records, Work, answered

__all__ = ["FIELDS", "answers", "profile_file", "profile_of"]

FIELDS = ["sentence", "position", "word", "tag", "probability"]


def answers(bundle: TaggerBundle, request: PredictRequest) -> Answers:
    """Returns one record per word: number of the sentence, position, word, tag, probability.

    A file is CoNLL-U, has the columns of the training file, or one sentence per line; a text is split into
    words and punctuation. The number is that of the line where each line is a sentence, and that of the text;
    a blank line or text has no record.

    Raises:
        DataError: the file can't be used.
        ConfigError: the request keeps columns.
    """
    if isinstance(request.keep, tuple):
        raise ConfigError(
            "a tagger repeats the words, and no columns", hint="leave --keep out, or join by sentence"
        )
    if request.texts:
        split = [(n, tuple(split_words(text))) for n, text in enumerate(request.texts, 1)]
        sentences = [Sentence(words, None, n, n) for n, words in split if words]
        warnings = [f"text {n} has no words, and no answers" for n, words in split if not words]
        return _answers(bundle, iter(sentences), lambda: True, Skipped(), warnings)
    stream, waiting, skipped = _requested(bundle, request)
    return _answers(bundle, stream, waiting, skipped, [])


def _requested(
    bundle: TaggerBundle, request: PredictRequest
) -> tuple[Iterator[Sentence], Callable[[], bool], Skipped]:
    """Returns the sentences of a file or of standard input, whether one is waiting, and those left out."""
    # The file may have another format than the training file, e.g. plain sentences.
    tagging = updated(
        bundle.config, {"tagging": {"format": "auto", **request.settings.get("tagging", {})}}
    ).tagging
    data, like, skipped = bundle.config.data, bundle.assets.source, Skipped()
    if request.file is None or str(request.file) == "-":
        return *read_sentence_stream(sys.stdin.buffer, like, data, tagging, skipped), skipped
    source = detect_sentences(request.file, data, tagging, labelled=False, like=like)
    return read_sentences(source, skipped), lambda: True, skipped


def _answers(
    bundle: TaggerBundle,
    sentences: Iterator[Sentence],
    waiting: Callable[[], bool],
    skipped: Skipped,
    warnings: list[str],
) -> Answers:
    def watch(records: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        yield from records
        warnings.extend(skipped_in_words(skipped))

    parts = (
        ([{"sentence": sentence.number} for sentence in batch], batch)
        for batch in _batches(sentences, waiting)
    )
    work = Work(bundle, parts, _tagged, watch, _packed, _unpacked)
    return Answers(FIELDS, answered(work), warnings=warnings, work=work)


def _packed(sentences: list[Sentence]) -> list[list[Any]]:
    return [[sentence.words, sentence.row, sentence.number] for sentence in sentences]


def _unpacked(rows: list[list[Any]]) -> list[Sentence]:
    return [Sentence(tuple(words), None, row, number) for words, row, number in rows]


def _batches(sentences: Iterator[Sentence], waiting: Callable[[], bool]) -> Iterator[list[Sentence]]:
    """Yields sentences in batches; a batch is not filled up if no sentence is waiting."""
    batch: list[Sentence] = []
    for sentence in sentences:
        batch.append(sentence)
        if len(batch) == EVALUATION_BATCH or not waiting():
            yield batch
            batch = []
    if batch:
        yield batch


def profile_of(bundle: TaggerBundle, sentences: Iterable[Sentence]) -> Profile:
    """Returns what is known of sentences without their tags, for ``recurra monitor``."""
    known, names = bundle.assets.counts.words, bundle.assets.labels.names
    lengths: list[int] = []
    unknown: list[float] = []
    sure: list[float] = []
    counts: dict[str, int] = {}
    for batch in _batches(iter(sentences), lambda: True):
        for sentence, records in zip(batch, _tagged(bundle, batch), strict=True):
            lengths.append(len(records))
            unknown.append(sum(word not in known for word in sentence.words) / len(records))
            sure.append(sum(record["probability"] for record in records) / len(records))
            for record in records:
                counts[record["tag"]] = counts.get(record["tag"], 0) + 1
    numbers = {"length": lengths, "unknown words": unknown, "confidence": sure}
    arrays = {name: np.array(values, np.float64) for name, values in numbers.items()}
    return Profile.of(len(lengths), arrays, {"predicted tags": {name: counts.get(name, 0) for name in names}})


def profile_file(bundle: TaggerBundle, request: PredictRequest) -> Profile:
    """Returns what is known of the sentences of a file."""
    return profile_of(bundle, _requested(bundle, request)[0])


def _tagged(bundle: TaggerBundle, sentences: list[Sentence]) -> list[Records]:
    part = numbered("texts", "", sentences, bundle.assets, bundle.config, tagged=False)
    proba = probabilities_of(bundle, part.numbers)
    tags = iter(zip(proba.argmax(axis=1).tolist(), proba.max(axis=1).tolist(), strict=True))
    answers: list[Records] = []
    for sentence in sentences:
        records: Records = []
        for position, word in enumerate(sentence.words, 1):
            tag, probability = next(tags)
            records.append(
                {
                    "position": position,
                    "word": word,
                    "tag": bundle.assets.labels.names[tag],
                    "probability": round(probability, 6),
                }
            )
        answers.append(records)
    return answers
