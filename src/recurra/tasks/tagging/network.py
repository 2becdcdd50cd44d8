"""The network of a tagger: words and their characters, recurrent layers over the sentence, tag logits."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recurra.config import ModelConfig
from recurra.errors import DataError
from recurra.generators import generator
from recurra.layers import Dropout, Embedding, Head, TrainedRows
from recurra.layers.network import LayerInfo, Network, layer_info_of, measuring, recurrent_stack
from recurra.tasks.reporter import Tick
from recurra.tasks.tagging.batches import IGNORED, TaggedBatch, TaggedBatches
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = ["Tagger", "tag_logits", "tagging_loss"]

UNKNOWN = 1  # the row of the embedding for unknown words


class Tagger(Network):
    """Maps the words of sentences to the logits of their tags.

    The vector of a word is its embedding concatenated with the last states of a bidirectional layer over its
    characters (Ling et al., Finding function in form, 2015; Plank et al. 2016), so that unknown words are
    represented by their characters. In training, a fraction of the words is replaced by the unknown word:
    this trains its embedding, and makes the network use the characters.

    Args:
        config: the settings of the network.
        tagging: the settings of the character layer, and ``word_dropout``.
        vocab_size: ``V``; word ids are 0 (padding), 1 (unknown) to V - 1.
        characters: number of character ids, with 0 for padding.
        tags: ``K``, the number of tags.
        embedding_rows: rows of the embedding that a training step updates, see ``Embedding``.
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
        self.head_dropout = Dropout(config.head_dropout)
        self.head = Head(self.recurrent.output_size, tags)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Returns the weights of each layer, bottom layer first: embedding, recurrent layers, head.

        The weights of the character layer are in the group of the first recurrent layer: word vectors may be
        pretrained and frozen, while the character layer is trained.
        """
        first, *upper = self.recurrent.layer_groups()
        spelling = [] if self.spelling is None else list(self.spelling.parameters())
        head = list(self.head.parameters())
        return [list(self.embedding.parameters()), [*spelling, *first], *upper, head]

    def layer_info(self) -> list[LayerInfo]:
        """Returns the layers in the order of the data."""
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
        """Returns the tag logits of each word, of shape (B, T, K).

        Logits after the end of a sentence are undefined. The arguments are those of `TaggedBatch`.
        """
        states, _ = self.recurrent(self.vectors(words, spelled, characters, character_lengths), lengths)
        logits: Tensor = self.head(self.head_dropout(states))
        return logits

    def vectors(
        self, words: Tensor, spelled: Tensor, characters: Tensor, character_lengths: Tensor
    ) -> Tensor:
        """Returns the inputs of the recurrent layers, of shape (B, T, E); arguments as in `forward`."""
        if self.training and self.word_dropout:
            # The state of this generator is part of a checkpoint.
            own = generator(words.device)
            drawn = torch.rand(words.shape, device=words.device, dtype=torch.float32, generator=own)
            dropped = drawn < self.word_dropout
            words = words.masked_fill(dropped, UNKNOWN)
        x: Tensor = self.embedding(words)
        if self.spelling is None:
            return x
        return torch.cat([x, self.spelling(characters, character_lengths)[spelled]], dim=2)


class Spelling(nn.Module):
    """The character layer: maps the characters of a word to the last states of both directions."""

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
        """Returns vectors (W, 2*H) for characters (W, C), int64, and lengths (W,)."""
        last: Tensor
        last, _ = self.recurrent(self.embedding.lookup(characters), lengths)
        return last


def tagging_loss(model: Tagger, batch: TaggedBatch) -> Tensor:
    """Returns the mean cross entropy over the words of a batch that have a tag.

    Raises:
        DataError: the batch has no tags.
    """
    if batch.tags is None:
        raise DataError("the training sentences have no tags")
    logits = _forward(model, batch, next(model.parameters()).device)
    tags = batch.tags.to(logits.device).flatten()
    return functional.cross_entropy(logits.flatten(0, 1), tags, ignore_index=IGNORED)


def tag_logits(
    model: nn.Module, batches: TaggedBatches, tick: Tick = lambda rows: None
) -> NDArray[np.float32]:
    """Returns the logits of all sentences in the order of ``batches.rows``, of shape (words, K).

    The model is in evaluation mode meanwhile. Without rows the shape is (0, 0). ``tick`` is called with the
    number of sentences that are done.
    """
    by_row: dict[int, NDArray[np.float32]] = {}
    with measuring(model) as device:
        for batch in batches.epoch(0):
            logits = _forward(model, batch, device).float().cpu().numpy()
            lengths = batch.lengths.tolist()
            sentences = (sentence[:length] for sentence, length in zip(logits, lengths, strict=True))
            by_row.update(zip(batch.rows.tolist(), sentences, strict=True))
            tick(len(batch.rows))
    if not by_row:
        return np.zeros((0, 0), np.float32)
    return np.concatenate([by_row[row] for row in batches.rows.tolist()])


def _forward(model: nn.Module, batch: TaggedBatch, device: torch.device) -> Tensor:
    logits: Tensor = model(*(tensor.to(device) for tensor in batch.inputs))
    return logits
