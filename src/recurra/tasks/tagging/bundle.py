"""What a tagger has besides settings and weights: words, characters, tags, and the counts of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from recurra.io.labels import Labels
from recurra.store import Assets, Bundle
from recurra.tasks.tagging.network import Tagger
from recurra.tasks.tagging.sentences import SentenceSource, TagCounts, WordVocabulary
from recurra.tasks.tagging.settings import TaggerConfig

__all__ = ["TaggerAssets", "TaggerBundle", "build"]

_VOCABULARY, _LABELS, _COUNTS, _SOURCE = "vocabulary.json", "labels.json", "words.json", "source.json"


@dataclass(frozen=True)
class TaggerAssets(Assets):
    """What a tagger needs besides settings and weights, to answer and to be measured beside its baseline.

    Attributes:
        vocabulary: words and characters to numbers.
        labels: the tags, in the order of the model's outputs.
        counts: how often each training word had which tag: the baseline, and which words are unknown.
        source: the layout of the training file; None if sentences came from Python.
    """

    vocabulary: WordVocabulary
    labels: Labels
    counts: TagCounts
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

    @classmethod
    def read(cls, config: TaggerConfig, files: Mapping[str, str]) -> TaggerAssets:
        """The assets that `files` returned."""
        return cls(
            WordVocabulary.from_json(files[_VOCABULARY]),
            Labels.from_json(files[_LABELS]),
            TagCounts.from_json(files[_COUNTS]),
            SentenceSource.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )


TaggerBundle: TypeAlias = Bundle[TaggerConfig, Tagger, TaggerAssets]


def build(config: TaggerConfig, assets: TaggerAssets) -> Tagger:
    """Words and characters, a recurrent stack over the sentence, a head."""
    return Tagger(
        config.model,
        config.tagging,
        assets.vocabulary.size,
        assets.vocabulary.character_size,
        len(assets.labels.names),
        embedding_rows=config.train.embedding_rows,
    )
