"""A tagger's answers: each word of a file, of a stream or of a text with its tag and how sure that is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from recurra.config import updated
from recurra.errors import DataError
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
    """A record a word: its sentence's number, its place there, itself, its tag and that tag's probability.

    A file is CoNLL-U, columns like the training file's, or a sentence a line; a text is split into words and
    marks first.

    Raises:
        DataError: the file can't be used, or a text has no word.
    """
    if request.texts:
        given = [Sentence(tuple(split_words(text)), None, n) for n, text in enumerate(request.texts, 1)]
        empty = next((one.row for one in given if not one.words), None)
        if empty is not None:
            raise DataError("the text has no word", where="--text", row=empty)
        return Answers(FIELDS, _records(bundle, given, lambda: True))
    if request.file is None or str(request.file) == "-":
        encoding = bundle.config.data.encoding
        stream, waiting = read_sentence_stream(sys.stdin.buffer, bundle.assets.source, encoding)
        return Answers(FIELDS, _records(bundle, stream, waiting))
    # Whatever the training file was, this one may be of plain sentences.
    tagging = updated(bundle.config.tagging, {"format": "auto"})
    source = detect_sentences(
        request.file, bundle.config.data, tagging, labelled=False, like=bundle.assets.source
    )
    return Answers(FIELDS, _records(bundle, read_sentences(source), lambda: True))


def _records(
    bundle: TaggerBundle, sentences: Iterable[Sentence], waiting: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """Records of sentences, some at a time; at once where no other sentence stands ready."""
    some: list[Sentence] = []
    done = 0
    for sentence in sentences:
        some.append(sentence)
        if len(some) == EVALUATION_BATCH or not waiting():
            yield from _tagged(bundle, some, done)
            done += len(some)
            some = []
    if some:
        yield from _tagged(bundle, some, done)


def _tagged(bundle: TaggerBundle, sentences: list[Sentence], before: int) -> Iterator[dict[str, Any]]:
    part = numbered("texts", "", sentences, bundle.assets.vocabulary, None, bundle.config)
    found = probabilities_of(bundle, part.numbers)
    place = 0
    for number, sentence in enumerate(sentences, before + 1):
        for position, word in enumerate(sentence.words, 1):
            chosen = int(found[place].argmax())
            yield {
                "sentence": number,
                "position": position,
                "word": word,
                "tag": bundle.assets.labels.names[chosen],
                "probability": round(float(found[place, chosen]), 6),
            }
            place += 1
