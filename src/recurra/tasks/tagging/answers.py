"""Predictions of a tagger: the tag and its probability for each word of a file, a stream or texts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from recurra.config import updated
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

__all__ = ["FIELDS", "answers"]

FIELDS = ["sentence", "position", "word", "tag", "probability"]


def answers(bundle: TaggerBundle, request: PredictRequest) -> Answers:
    """Returns one record per word: number of the sentence, position, word, tag, probability.

    A file is CoNLL-U, has the columns of the training file, or one sentence per line; a text is split into
    words and punctuation. The number is that of the line where each line is a sentence, and that of the text;
    a blank line or text has no record.

    Raises:
        DataError: the file can't be used.
    """
    if request.texts:
        split = [(n, tuple(split_words(text))) for n, text in enumerate(request.texts, 1)]
        sentences = [Sentence(words, None, n, n) for n, words in split if words]
        warnings = [f"text {n} has no words, and no answers" for n, words in split if not words]
        return Answers(FIELDS, _records(bundle, sentences, lambda: True), warnings=warnings)
    if request.file is None or str(request.file) == "-":
        encoding = bundle.config.data.encoding
        stream, waiting = read_sentence_stream(sys.stdin.buffer, bundle.assets.source, encoding)
        return Answers(FIELDS, _records(bundle, stream, waiting))
    # The file may have another format than the training file, e.g. plain sentences.
    tagging = updated(
        bundle.config, {"tagging": {"format": "auto", **request.settings.get("tagging", {})}}
    ).tagging
    source = detect_sentences(
        request.file, bundle.config.data, tagging, labelled=False, like=bundle.assets.source
    )
    return Answers(FIELDS, _records(bundle, read_sentences(source), lambda: True))


def _records(
    bundle: TaggerBundle, sentences: Iterable[Sentence], waiting: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """Yields the records of sentences, in batches; a batch is not filled up if no sentence is waiting."""
    batch: list[Sentence] = []
    for sentence in sentences:
        batch.append(sentence)
        if len(batch) == EVALUATION_BATCH or not waiting():
            yield from _tagged(bundle, batch)
            batch = []
    if batch:
        yield from _tagged(bundle, batch)


def _tagged(bundle: TaggerBundle, sentences: list[Sentence]) -> Iterator[dict[str, Any]]:
    part = numbered("texts", "", sentences, bundle.assets, bundle.config, tagged=False)
    proba = probabilities_of(bundle, part.numbers)
    tags = iter(zip(proba.argmax(axis=1).tolist(), proba.max(axis=1).tolist(), strict=True))
    for sentence in sentences:
        for position, word in enumerate(sentence.words, 1):
            tag, probability = next(tags)
            yield {
                "sentence": sentence.number,
                "position": position,
                "word": word,
                "tag": bundle.assets.labels.names[tag],
                "probability": round(probability, 6),
            }
