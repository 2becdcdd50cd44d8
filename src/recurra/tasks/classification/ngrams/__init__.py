"""The n-gram model of classification: the baseline of every score, and an expert beside the network."""

from recurra.tasks.classification.ngrams.model import NgramModel
from recurra.tasks.classification.ngrams.words import words_of

__all__ = ["NgramModel", "words_of"]
