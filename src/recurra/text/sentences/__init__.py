"""Sentences as words and tags: CoNLL-U, columns and plain lines in; words, characters and tags numbered."""

from __future__ import annotations

from recurra.text.sentences.counts import TagCounts
from recurra.text.sentences.detect import detect_sentences, is_sentences
from recurra.text.sentences.reading import read_sentence_stream, read_sentences, read_sentences_from
from recurra.text.sentences.source import Sentence, SentenceSource
from recurra.text.sentences.split import split_words
from recurra.text.sentences.vocabulary import END, PADDING, START, UNKNOWN, WordVocabulary

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
