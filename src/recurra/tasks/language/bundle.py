"""A language model on disk: its tokenizer, and how the training file was laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from recurra.config import Config, Task
from recurra.io.formats import Source
from recurra.io.tokenizer import TextTokenizer, trained_words
from recurra.store.base import Bundle
from recurra.tasks.language.network import LanguageNetwork

__all__ = ["LanguageBundle"]

_TOKENIZER, _SOURCE = "tokenizer.json", "source.json"


@dataclass(kw_only=True)
class LanguageBundle(Bundle):
    """All that a trained language model needs to answer.

    Attributes:
        tokenizer: text to token ids; its start token tells a text's end too.
        source: how the training file was laid out; None where texts came from Python.
    """

    task: ClassVar[Task] = "lm"

    model: LanguageNetwork
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
    def rebuild(cls, config: Config, files: Mapping[str, str], metrics: dict[str, Any]) -> Self:
        """The bundle with a fresh network."""
        tokenizer = TextTokenizer.from_json(files[_TOKENIZER], config.tokenizer)
        return cls(
            config=config,
            model=LanguageNetwork(config.model, config.language, tokenizer.vocab_size),
            metrics=dict(metrics),
            tokenizer=tokenizer,
            source=Source.from_json(files[_SOURCE]) if _SOURCE in files else None,
        )
