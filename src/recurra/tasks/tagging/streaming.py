"""A tagger's answers while a sentence arrives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import DataError
from recurra.tasks.streaming import CarriedStack, Streamed
from recurra.tasks.tagging.assess import probabilities_of
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.network import Tagger
from recurra.tasks.tagging.prepare import numbered
from recurra.tasks.tagging.sentences import Sentence, split_words

__all__ = ["stream"]


class _CarriedTagger(nn.Module):
    """A tagger's network that remembers the sentence it read, and reads only the words that are new."""

    def __init__(self, network: Tagger) -> None:
        super().__init__()
        self.network = network
        self._carried = CarriedStack(network.recurrent)
        self._logits: list[Tensor] = []  # (1, K) of each word
        self.eval()

    def forward(
        self, words: Tensor, lengths: Tensor, spelled: Tensor, characters: Tensor, character_lengths: Tensor
    ) -> Tensor:
        """Returns the tag logits (1, T, K) of one sentence; arguments are those of `Tagger.forward`."""
        T, sizes = int(lengths[0]), character_lengths.tolist()
        spellings = [tuple(characters[form, : sizes[form]].tolist()) for form in spelled[0, :T].tolist()]
        keys = list(zip(words[0, :T].tolist(), spellings, strict=True))
        known = self._carried.rewind(keys)
        del self._logits[known:]
        if known < T:
            forms, places = torch.unique(spelled[:, known:T], return_inverse=True)
            own = characters[forms], character_lengths[forms]
            vectors = self.network.vectors(words[:, known:T], places, *own)
            logits = self.network.head(self._carried.states(vectors, keys[known:]))
            self._logits += logits.unbind(1)
        return torch.stack(self._logits, dim=1)


def stream(
    bundle: TaggerBundle, inputs: str | Iterable[str], options: Mapping[str, Any], recompute: bool
) -> Iterator[Streamed]:
    """Yields after each word of a sentence the ``words`` that are new or whose answer changed.

    Raises:
        DataError: a word is not a string, or is blank; raised when it arrives.
        ConfigError: the network is bidirectional, and ``recompute`` is not set.
    """
    if not recompute:
        network: Any = _CarriedTagger(bundle.model)
        bundle = replace(bundle, model=network)

    def found() -> Iterator[Streamed]:
        before: list[dict[str, Any]] = []
        words: tuple[str, ...] = ()
        for step, word in enumerate(split_words(inputs) if isinstance(inputs, str) else inputs, 1):
            if not isinstance(word, str) or not word.strip():
                raise DataError(f"word {step} is {word!r:.40}", hint="give words")
            words = (*words, word)
            now = _tagged(bundle, words)
            changed = [record for place, record in enumerate(now) if record not in before[place : place + 1]]
            before = now
            yield {"step": step, "piece": word, "words": changed}

    return found()


def _tagged(bundle: TaggerBundle, words: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns position, word, tag and probability of each word of a sentence."""
    part = numbered("texts", "", [Sentence(words, None, 1, 1)], bundle.assets, bundle.config, tagged=False)
    proba = probabilities_of(bundle, part.numbers)
    tags, values = proba.argmax(axis=1).tolist(), proba.max(axis=1).tolist()
    return [
        {"position": at, "word": word, "tag": bundle.assets.labels.names[tag], "probability": round(p, 6)}
        for at, (word, tag, p) in enumerate(zip(words, tags, values, strict=True), 1)
    ]
