"""What a text classifier has besides settings and weights: its tokenizer and its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from recurra.io.formats import Source
from recurra.io.labels import Labels
from recurra.io.tokenizer import TextTokenizer, trained_words
from recurra.store import Assets, Bundle
from recurra.tasks.classification.network import Classifier
from recurra.tasks.classification.settings import ClassifierConfig

__all__ = ["ClassifierAssets", "ClassifierBundle", "build"]

_TOKENIZER, _LABELS, _SOURCE = "tokenizer.json", "labels.json", "source.json"


@dataclass(frozen=True)
class ClassifierAssets(Assets):
    """What a classifier needs besides settings and weights.

    Attributes:
        tokenizer: text to token ids.
        labels: the classes, in the order of the model's outputs.
        source: the layout of the training file; None if texts came from Python.
    """

    tokenizer: TextTokenizer
    labels: Labels
    source: Source | None = None

    def files(self) -> dict[str, str]:
        """Tokenizer, classes, and the layout of the training file if it is known."""
        known = {_SOURCE: self.source.to_json()} if self.source else {}
        return {_TOKENIZER: self.tokenizer.to_json(), _LABELS: self.labels.to_json(), **known}

    def words(self) -> list[str]:
        """The tokenizer's words, "" for a start token that was never trained."""
        return trained_words(self.tokenizer)

    @classmethod
    def read(cls, config: ClassifierConfig, files: Mapping[str, str]) -> ClassifierAssets:
        """The assets that `files` returned."""
        return cls(
            TextTokenizer.from_json(files[_TOKENIZER], config.tokenizer),
            Labels.from_json(files[_LABELS]),
            Source.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )


ClassifierBundle: TypeAlias = Bundle[ClassifierConfig, Classifier, ClassifierAssets]


def build(config: ClassifierConfig, assets: ClassifierAssets) -> Classifier:
    """Embedding, recurrent stack, pooling, head."""
    return Classifier(
        config.model,
        assets.tokenizer.vocab_size,
        len(assets.labels.names),
        assets.labels.label_kind,
        embedding_rows=config.train.embedding_rows,
    )
