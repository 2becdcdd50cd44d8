"""A tagger on disk: its words and characters, its tags, what training knew of words, its temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from recurra.config import Config, Task
from recurra.io.labels import Labels
from recurra.store.base import Bundle
from recurra.tasks.tagging.network import Tagger
from recurra.tasks.tagging.sentences import SentenceSource, TagCounts, WordVocabulary

__all__ = ["TaggerBundle"]

_VOCABULARY, _LABELS, _COUNTS, _SOURCE = "vocabulary.json", "labels.json", "words.json", "source.json"


@dataclass(kw_only=True)
class TaggerBundle(Bundle):
    """All that a trained tagger needs to answer, and to be measured beside its baseline.

    Attributes:
        vocabulary: words and characters to numbers.
        labels: the tags, in the order of the model's outputs.
        counts: how often each training word had which tag: the baseline, and which words are unknown.
        temperature: logits are divided by it before they become probabilities.
        source: how the training file was laid out; None where sentences came from Python.
    """

    task: ClassVar[Task] = "tag"

    model: Tagger
    vocabulary: WordVocabulary
    labels: Labels
    counts: TagCounts
    temperature: float = 1.0
    source: SentenceSource | None = None

    def files(self) -> dict[str, str]:
        """Vocabulary, tags, counts, and the layout of the training file if it is known."""
        known = {_SOURCE: self.source.to_json()} if self.source else {}
        return {
            _VOCABULARY: self.vocabulary.to_json(),
            _LABELS: self.labels.to_json(),
            _COUNTS: self.counts.to_json(),
            **known,
        }

    def words(self) -> list[str]:
        """The vocabulary's words by row."""
        return self.vocabulary.rows()

    def kept_metrics(self) -> dict[str, Any]:
        """The figures, and the temperature."""
        return {"temperature": self.temperature, **self.metrics}

    @classmethod
    def rebuild(cls, config: Config, files: Mapping[str, str], metrics: dict[str, Any]) -> Self:
        """The bundle with a fresh network."""
        vocabulary = WordVocabulary.from_json(files[_VOCABULARY])
        labels = Labels.from_json(files[_LABELS])
        figures = dict(metrics)
        temperature = float(figures.pop("temperature"))
        return cls(
            config=config,
            model=Tagger(
                config.model, config.tagging, vocabulary.size, vocabulary.character_size, len(labels.names)
            ),
            metrics=figures,
            vocabulary=vocabulary,
            labels=labels,
            counts=TagCounts.from_json(files[_COUNTS]),
            temperature=temperature,
            source=SentenceSource.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )
