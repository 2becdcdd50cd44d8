"""Sentences as words and tags: CoNLL-U, columns and plain lines in; words, characters and tags numbered."""

from __future__ import annotations

from recurra.tasks.tagging.sentences.counts import TagCounts
from recurra.tasks.tagging.sentences.detect import detect_sentences, is_sentences
from recurra.tasks.tagging.sentences.reading import read_sentence_stream, read_sentences, read_sentences_from
from recurra.tasks.tagging.sentences.source import Sentence, SentenceSource
from recurra.tasks.tagging.sentences.split import split_words
from recurra.tasks.tagging.sentences.vocabulary import END, PADDING, START, UNKNOWN, WordVocabulary

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
