"""Sentences as words and tags: read from CoNLL-U, columns and plain lines; their vocabulary."""

from recurra.tasks.tagging.sentences.formats import Sentence, SentenceSource
from recurra.tasks.tagging.sentences.reading import detect_sentences, read_sentence_stream, read_sentences
from recurra.tasks.tagging.sentences.vocabulary import TagCounts, WordVocabulary, split_words

__all__ = [
    "Sentence",
    "SentenceSource",
    "TagCounts",
    "WordVocabulary",
    "detect_sentences",
    "read_sentence_stream",
    "read_sentences",
    "split_words",
]
