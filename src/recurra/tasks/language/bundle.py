"""What a language model has besides settings and weights: its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from recurra.io.formats import Source
from recurra.io.tokenizer import TextTokenizer, trained_words
from recurra.store import Assets, Bundle
from recurra.tasks.language.network import LanguageNetwork
from recurra.tasks.language.settings import LanguageModelConfig

__all__ = ["LanguageAssets", "LanguageBundle", "build"]

_TOKENIZER, _SOURCE = "tokenizer.json", "source.json"


@dataclass(frozen=True)
class LanguageAssets(Assets):
    """What a language model needs besides settings and weights.

    Attributes:
        tokenizer: text to token ids; its start token marks a text's end too.
        source: the layout of the training file; None if texts came from Python.
    """

    tokenizer: TextTokenizer
    source: Source | None = None

    def files(self) -> dict[str, str]:
        """Tokenizer, and the layout of the training file if it is known."""
        known = {_SOURCE: self.source.to_json()} if self.source else {}
        return {_TOKENIZER: self.tokenizer.to_json(), **known}

    def words(self) -> list[str]:
        """The tokenizer's words."""
        return trained_words(self.tokenizer)

    @classmethod
    def read(cls, config: LanguageModelConfig, files: Mapping[str, str]) -> LanguageAssets:
        """The assets that `files` returned."""
        return cls(
            TextTokenizer.from_json(files[_TOKENIZER], config.tokenizer),
            Source.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )


LanguageBundle: TypeAlias = Bundle[LanguageModelConfig, LanguageNetwork, LanguageAssets]


def build(config: LanguageModelConfig, assets: LanguageAssets) -> LanguageNetwork:
    """Embedding, recurrent stack, output."""
    return LanguageNetwork(
        config.model,
        config.language,
        assets.tokenizer.vocab_size,
        embedding_rows=config.train.embedding_rows,
    )
