"""The assets of a tagger: vocabulary, tags and training counts. Builds the network from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from recurra.io.labels import Labels
from recurra.measure.shift import Profile
from recurra.store import Assets, Bundle
from recurra.tasks.tagging.network import Tagger
from recurra.tasks.tagging.sentences import SentenceSource, TagCounts, WordVocabulary
from recurra.tasks.tagging.settings import TaggerConfig
from recurra.tasks.texts import PROFILE

__all__ = ["TaggerAssets", "TaggerBundle", "build"]

_VOCABULARY, _LABELS, _COUNTS, _SOURCE = "vocabulary.json", "labels.json", "words.json", "source.json"


@dataclass(frozen=True)
class TaggerAssets(Assets):
    """What a tagger needs besides settings and weights, for prediction and for its baseline.

    ``labels`` are the tags in the order of the outputs. ``counts`` define the baseline and the unknown words.
    ``source`` is None if the sentences came from Python. ``profile`` is what is known of the validation
    sentences without their tags; None if there were none.
    """

    vocabulary: WordVocabulary
    labels: Labels
    counts: TagCounts
    source: SentenceSource | None = None
    profile: Profile | None = field(default=None, compare=False)

    def files(self) -> dict[str, str]:
        """Returns the files of vocabulary, tags, counts and the training file's format, by name."""
        source = {_SOURCE: self.source.to_json()} if self.source else {}
        return {
            _VOCABULARY: self.vocabulary.to_json(),
            _LABELS: self.labels.to_json(),
            _COUNTS: self.counts.to_json(),
            **source,
            **({} if self.profile is None else {PROFILE: self.profile.to_json()}),
        }

    def words(self) -> list[str]:
        """Returns the words of the vocabulary by row."""
        return self.vocabulary.rows()

    @classmethod
    def read(cls, config: TaggerConfig, files: Mapping[str, str]) -> TaggerAssets:
        """Returns the assets that `files` wrote."""
        return cls(
            WordVocabulary.from_json(files[_VOCABULARY]),
            Labels.from_json(files[_LABELS]),
            TagCounts.from_json(files[_COUNTS]),
            SentenceSource.from_json(files[_SOURCE]) if _SOURCE in files else None,
            Profile.from_json(files[PROFILE]) if PROFILE in files else None,
        )


TaggerBundle: TypeAlias = Bundle[TaggerConfig, Tagger, TaggerAssets]


def build(config: TaggerConfig, assets: TaggerAssets) -> Tagger:
    """Builds the network: words and characters, recurrent layers over the sentence, head."""
    return Tagger(
        config.model,
        config.tagging,
        assets.vocabulary.size,
        assets.vocabulary.character_size,
        len(assets.labels.names),
        embedding_rows=config.train.embedding_rows,
    )
