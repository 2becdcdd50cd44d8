"""The assets of a classifier: tokenizer and classes. Builds the network from settings and assets."""

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
        tokenizer: the tokenizer.
        labels: the classes, in the order of the outputs.
        source: the format of the training file; None if the texts came from Python.
    """

    tokenizer: TextTokenizer
    labels: Labels
    source: Source | None = None

    def files(self) -> dict[str, str]:
        """Returns the files of tokenizer, classes and the training file's format, by name."""
        source = {_SOURCE: self.source.to_json()} if self.source else {}
        return {_TOKENIZER: self.tokenizer.to_json(), _LABELS: self.labels.to_json(), **source}

    def words(self) -> list[str]:
        """Returns the words of the tokenizer, with "" for a start token that was not trained."""
        return trained_words(self.tokenizer)

    @classmethod
    def read(cls, config: ClassifierConfig, files: Mapping[str, str]) -> ClassifierAssets:
        """Returns the assets that `files` wrote."""
        return cls(
            TextTokenizer.from_json(files[_TOKENIZER], config.tokenizer),
            Labels.from_json(files[_LABELS]),
            Source.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )


ClassifierBundle: TypeAlias = Bundle[ClassifierConfig, Classifier, ClassifierAssets]


def build(config: ClassifierConfig, assets: ClassifierAssets) -> Classifier:
    """Builds the network: embedding, recurrent layers, pooling, head."""
    return Classifier(
        config.model,
        assets.tokenizer.vocab_size,
        len(assets.labels.names),
        assets.labels.label_kind,
        embedding_rows=config.train.embedding_rows,
    )
