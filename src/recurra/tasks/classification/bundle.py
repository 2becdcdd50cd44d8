"""A text classifier on disk: its tokenizer, its classes, its temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from recurra.config import Config, Task
from recurra.io.formats import Source
from recurra.io.labels import Labels
from recurra.io.tokenizer import TextTokenizer, trained_words
from recurra.store.base import Bundle
from recurra.tasks.classification.network import Classifier

__all__ = ["ClassifierBundle"]

_TOKENIZER, _LABELS, _SOURCE = "tokenizer.json", "labels.json", "source.json"


@dataclass(kw_only=True)
class ClassifierBundle(Bundle):
    """All that a trained classifier needs to answer.

    Attributes:
        tokenizer: text to token ids.
        labels: the classes, in the order of the model's outputs.
        temperature: logits are divided by it before they become probabilities.
        source: how the training file was laid out; None where texts came from Python.
    """

    task: ClassVar[Task] = "classify"

    model: Classifier
    tokenizer: TextTokenizer
    labels: Labels
    temperature: float = 1.0
    source: Source | None = None

    def files(self) -> dict[str, str]:
        """Tokenizer, classes, and the layout of the training file if it is known."""
        known = {_SOURCE: self.source.to_json()} if self.source else {}
        return {_TOKENIZER: self.tokenizer.to_json(), _LABELS: self.labels.to_json(), **known}

    def words(self) -> list[str]:
        """The tokenizer's words; without a start token its vector was never trained."""
        return trained_words(self.tokenizer)

    def kept_metrics(self) -> dict[str, Any]:
        """The figures, and the temperature."""
        return {"temperature": self.temperature, **self.metrics}

    @classmethod
    def rebuild(cls, config: Config, files: Mapping[str, str], metrics: dict[str, Any]) -> Self:
        """The bundle with a fresh network."""
        labels = Labels.from_json(files[_LABELS])
        tokenizer = TextTokenizer.from_json(files[_TOKENIZER], config.tokenizer)
        figures = dict(metrics)
        temperature = float(figures.pop("temperature"))
        return cls(
            config=config,
            model=Classifier(config.model, tokenizer.vocab_size, len(labels.names), labels.label_kind),
            metrics=figures,
            tokenizer=tokenizer,
            labels=labels,
            temperature=temperature,
            source=Source.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )
