"""Sentences as words and tags: read from CoNLL-U, columns and plain lines; their vocabulary."""

from __future__ import annotations

from recurra.tasks.tagging.sentences.formats import Sentence, SentenceSource, is_sentences
from recurra.tasks.tagging.sentences.reading import (
    detect_sentences,
    read_sentence_stream,
    read_sentences,
    read_sentences_from,
)
from recurra.tasks.tagging.sentences.vocabulary import (
    END,
    PADDING,
    START,
    UNKNOWN,
    TagCounts,
    WordVocabulary,
    split_words,
)

__all__ = [
    "END",
    "PADDING",
    "START",
    "UNKNOWN",
    "Sentence",
    "SentenceSource",
    "TagCounts",
    "WordVocabulary",
    "detect_sentences",
    "is_sentences",
    "read_sentence_stream",
    "read_sentences",
    "read_sentences_from",
    "split_words",
]
