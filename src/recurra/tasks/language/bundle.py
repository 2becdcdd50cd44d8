"""The assets of a language model: its tokenizer. Builds the network from settings and assets."""

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
        tokenizer: the tokenizer; its start token also ends a text.
        source: the format of the training file; None if the texts came from Python.
    """

    tokenizer: TextTokenizer
    source: Source | None = None

    def files(self) -> dict[str, str]:
        """Returns the files of the tokenizer and of the training file's format, by name."""
        source = {_SOURCE: self.source.to_json()} if self.source else {}
        return {_TOKENIZER: self.tokenizer.to_json(), **source}

    def words(self) -> list[str]:
        """Returns the words of the tokenizer."""
        return trained_words(self.tokenizer)

    @classmethod
    def read(cls, config: LanguageModelConfig, files: Mapping[str, str]) -> LanguageAssets:
        """Returns the assets that `files` wrote."""
        return cls(
            TextTokenizer.from_json(files[_TOKENIZER], config.tokenizer),
            Source.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )


LanguageBundle: TypeAlias = Bundle[LanguageModelConfig, LanguageNetwork, LanguageAssets]


def build(config: LanguageModelConfig, assets: LanguageAssets) -> LanguageNetwork:
    """Builds the network: embedding, recurrent layers, output."""
    vocab_size, rows = assets.tokenizer.vocab_size, config.train.embedding_rows
    return LanguageNetwork(config.model, config.language, vocab_size, embedding_rows=rows)
