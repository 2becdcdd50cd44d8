"""The tagger: words and their characters, a recurrent stack over the sentence, a tag for each word."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recurra.config import ModelConfig
from recurra.errors import DataError
from recurra.layers import Embedding, TrainedRows
from recurra.layers.network import LayerInfo, Network, layer_info_of, measuring, recurrent_stack
from recurra.tasks.tagging.batches import IGNORED, TaggedBatch, TaggedBatches
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = ["Tagger", "tag_logits", "tagging_loss"]

UNKNOWN = 1  # the row of the embedding that stands for every word that is not known


class Tagger(Network):
    """The words of sentences to the logits of their tags.

    A word's vector is its embedding joined with the last states of a layer that reads its characters from
    both ends (Ling et al., Finding function in form, 2015; Plank et al. 2016), so that a word never seen is
    known by its spelling. In training a share of the words has the embedding of an unknown one in place of
    its own, so that this is trained too and the spelling is relied on.

    Args:
        config: the network's settings; its last layer gives all states.
        tagging: the layer of the characters, and ``word_dropout``.
        vocab_size: ``V``; words have numbers from 0 (padding) and 1 (unknown) to V - 1.
        characters: numbers of characters run from 0 (padding) to this less 1.
        tags: ``K``, how many tags there are.
        embedding_rows: which rows of the embedding a training step moves, as ``Embedding`` has it.
    """

    def __init__(
        self,
        config: ModelConfig,
        tagging: TaggingConfig,
        vocab_size: int,
        characters: int,
        tags: int,
        *,
        embedding_rows: TrainedRows = "all",
    ) -> None:
        super().__init__()
        self.word_dropout = tagging.word_dropout
        self.embedding = Embedding(vocab_size, config.embedding, rows=embedding_rows)
        features = config.embedding
        self.spelling: Spelling | None = None
        if tagging.character_units:
            self.spelling = Spelling(config, tagging, characters)
            features += self.spelling.recurrent.output_size
        self.recurrent = recurrent_stack(config, features, return_sequences=True)
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(self.recurrent.output_size, tags)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The weights of each layer from the bottom up: embedding, recurrent layers, head.

        The characters' weights stand with those of the first recurrent layer: vectors of words may be
        pretrained and frozen, and what reads the characters is trained beside them.
        """
        first, *others = self.recurrent.layer_groups()
        spelling = [] if self.spelling is None else list(self.spelling.parameters())
        head = list(self.head.parameters())
        return [list(self.embedding.parameters()), [*spelling, *first], *others, head]

    def layer_info(self) -> list[LayerInfo]:
        """The layers in the order of the data."""
        width, weights = self.embedding.embedding_dim, list(self.embedding.parameters())
        rows = [LayerInfo("embedding", "Embedding", (None, None, width), weights)]
        if self.spelling is not None:
            width, weights = self.spelling.embedding.embedding_dim, list(self.spelling.embedding.parameters())
            rows.append(LayerInfo("character_embedding", "Embedding", (None, None, width), weights))
            rows += layer_info_of(self.spelling.recurrent, last_alone=True, prefix="character_")
        rows += layer_info_of(self.recurrent, last_alone=False)
        states = (None, None, self.recurrent.output_size)
        if self.head_dropout.p:
            rows.append(LayerInfo("head_dropout", "Dropout", states))
        tags = (None, None, self.head.out_features)
        rows.append(LayerInfo("head", "Dense", tags, list(self.head.parameters())))
        return rows

    def forward(
        self,
        words: Tensor,
        lengths: Tensor,
        spelled: Tensor,
        characters: Tensor,
        character_lengths: Tensor,
    ) -> Tensor:
        """The logits ``(B, T, K)`` of each word's tag; those past a sentence's end mean nothing.

        Args:
            words: ``(B, T)`` int64 numbers, padded at the end.
            lengths: ``(B,)`` int64 true words of each sentence.
            spelled: ``(B, T)`` int64 which of the spellings is the word's.
            characters: ``(W, C)`` int64 spellings of the batch's distinct words, padded at the end.
            character_lengths: ``(W,)`` int64 true characters of each.
        """
        states, _ = self.recurrent(self.vectors(words, spelled, characters, character_lengths), lengths)
        logits: Tensor = self.head(self.head_dropout(states))
        return logits

    def vectors(
        self, words: Tensor, spelled: Tensor, characters: Tensor, character_lengths: Tensor
    ) -> Tensor:
        """``(B, T, E)`` what the recurrent layers read of each word; arguments are those of `forward`."""
        if self.training and self.word_dropout:
            # Drawn here, from torch's generator, whose state a checkpoint keeps.
            dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
            words = words.masked_fill(dropped, UNKNOWN)
        x: Tensor = self.embedding(words)
        if self.spelling is None:
            return x
        return torch.cat([x, self.spelling(characters, character_lengths)[spelled]], dim=2)


class Spelling(nn.Module):
    """The characters of words to one vector a word: both last states of a layer that reads from both ends."""

    def __init__(self, config: ModelConfig, tagging: TaggingConfig, characters: int) -> None:
        super().__init__()
        self.embedding = Embedding(characters, tagging.character_embedding)
        layer = ModelConfig(
            cell=config.cell,
            units=tagging.character_units,
            bidirectional=True,
            dropout=tagging.character_dropout,
            backend=config.backend,
            precision=config.precision,
            initial_weights=config.initial_weights,
        )
        self.recurrent = recurrent_stack(layer, tagging.character_embedding, return_sequences=False)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """``(W, C)`` int64 characters and ``(W,)`` true lengths to ``(W, 2*H)``."""
        last: Tensor
        last, _ = self.recurrent(self.embedding.lookup(characters), lengths)
        return last


def tagging_loss(model: Tagger, batch: TaggedBatch) -> Tensor:
    """Cross entropy of a batch, the mean over the words that have a tag.

    Raises:
        DataError: the batch has no tags.
    """
    if batch.tags is None:
        raise DataError("the training sentences have no tags")
    device = next(model.parameters()).device
    logits = _forward(model, batch, device)
    return functional.cross_entropy(
        logits.flatten(0, 1), batch.tags.to(device).flatten(), ignore_index=IGNORED
    )


def tag_logits(model: nn.Module, batches: TaggedBatches) -> NDArray[np.float32]:
    """``(words, K)`` logits of one epoch, the sentences in the order of ``batches.rows``, which are distinct.

    Dropout is off while it runs; the model's mode is left as it was. Without rows the result is ``(0, 0)``.
    """
    found: dict[int, NDArray[np.float32]] = {}
    with measuring(model) as device:
        for batch in batches.epoch(0):
            logits = _forward(model, batch, device).float().cpu().numpy()
            for row, length, sentence in zip(
                batch.rows.tolist(), batch.lengths.tolist(), logits, strict=True
            ):
                found[row] = sentence[:length]
    if not found:
        return np.zeros((0, 0), np.float32)
    return np.concatenate([found[row] for row in batches.rows.tolist()])


def _forward(model: nn.Module, batch: TaggedBatch, device: torch.device) -> Tensor:
    logits: Tensor = model(
        batch.words.to(device),
        batch.lengths.to(device),
        batch.spelled.to(device),
        batch.characters.to(device),
        batch.character_lengths.to(device),
    )
    return logits
