"""Sentences as words and tags: read from CoNLL-U, columns and plain lines; their vocabulary."""

from recurra.tasks.tagging.sentences.formats import Sentence, SentenceSource
from recurra.tasks.tagging.sentences.reading import detect_sentences, read_sentence_stream, read_sentences
from recurra.tasks.tagging.sentences.table import (
    SentenceTable,
    WordsOfTable,
    cached_sentences,
    table_of,
)
from recurra.tasks.tagging.sentences.vocabulary import TagCounts, WordVocabulary, split_words

__all__ = [
    "Sentence",
    "SentenceSource",
    "SentenceTable",
    "TagCounts",
    "WordVocabulary",
    "WordsOfTable",
    "cached_sentences",
    "detect_sentences",
    "read_sentence_stream",
    "read_sentences",
    "split_words",
    "table_of",
]
