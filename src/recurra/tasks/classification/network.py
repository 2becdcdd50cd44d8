"""The network of a classifier (embedding, recurrent layers, pooling, head), its loss and its logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recurra.config import ModelConfig
from recurra.errors import ConfigError
from recurra.io.batcher import Batches
from recurra.io.tokenizer import SPECIALS, TextTokenizer
from recurra.layers import BigramEmbedding, Dropout, Embedding, OutputLayer, TrainedRows, WordDropout
from recurra.layers.evidence import NgramEvidence
from recurra.layers.network import (
    LayerInfo,
    Network,
    layer_info_of,
    measuring,
    pooled,
    pooling_of,
    recurrent_stack,
    rows_are_independent,
)

__all__ = ["BATCH", "Classifier", "classification_loss", "logits_of_ids", "predict_logits"]

BATCH = 64
"""Number of texts that are evaluated at once: the states of as many reviews stay in the cache, and texts of a
batch are of similar length. With 256, a review takes a fifth longer."""


class Classifier(Network):
    """Maps token ids to the logits of the classes.

    Args:
        config: the settings of the network.
        vocab_size: ``V``; ids are 0 (padding) to V - 1.
        classes: ``C``, the number of classes.
        label_kind: ``"binary"`` (one logit, that of class 1), ``"multiclass"`` or ``"multilabel"``.
        embedding_rows: rows of the embedding that a training step updates, see ``Embedding``.
        own_evidence: whether it holds the evidence that the settings ask for. If not, the evidence must be
            given at each call.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        classes: int,
        label_kind: str,
        *,
        embedding_rows: TrainedRows = "all",
        own_evidence: bool = True,
    ) -> None:
        super().__init__()
        self.label_kind = label_kind
        self.words = config.words or vocab_size
        self.word_dropout = WordDropout(config.word_dropout, TextTokenizer.unknown_id)
        self.embedding = Embedding(vocab_size, config.embedding, rows=embedding_rows)
        self.bigrams = BigramEmbedding(config.bigrams, config.embedding) if config.bigrams else None
        outputs = 1 if label_kind == "binary" else classes
        own = config.evidence if own_evidence else 0
        self.evidence = NgramEvidence(vocab_size, own, outputs) if own else None
        width, self.input_dropout = config.embedding, Dropout(0.0)
        if config.evidence:
            width += NgramEvidence.width(outputs)
            first, *others = config.layer_dropouts
            config = ModelConfig.model_validate(
                {**config.model_dump(include=set(ModelConfig.model_fields)), "dropout": [0.0, *others]}
            )
            self.input_dropout = Dropout(first)
        self.recurrent = recurrent_stack(config, width, return_sequences=config.poolings != ["last"])
        self.pooling = pooling_of(config, self.recurrent.output_size)
        features = len(config.poolings) * self.recurrent.output_size
        self.head_dropout = Dropout(config.head_dropout)
        self.head = OutputLayer(features, outputs)

    def expect(self, shares: NDArray[np.float64]) -> None:
        """Sets the bias of the outputs so that untrained probabilities are the shares (C,) of the labels.

        For multi-label: to learn that most labels are rare would take the first epochs.
        """
        log_odds = np.log(shares) - np.log1p(-shares)
        with torch.no_grad():
            self.head.bias.copy_(torch.as_tensor(log_odds, dtype=torch.float32))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Returns the weights of each layer, bottom layer first; pooling and head are the last group."""
        pooling = [] if self.pooling is None else list(self.pooling.parameters())
        top = [*pooling, *self.head.parameters()]
        first, *others = self.recurrent.layer_groups()
        if self.bigrams is not None:  # not with the words, whose vectors may be pretrained and frozen
            first = [*self.bigrams.parameters(), *first]
        return [list(self.embedding.parameters()), first, *others, top]

    def layer_info(self) -> list[LayerInfo]:
        """Returns the layers in the order of the data.

        Pooling ``last`` is not a layer: the last recurrent layer then returns one vector, as in Keras without
        ``return_sequences``.
        """
        width, weights = self.embedding.embedding_dim, list(self.embedding.parameters())
        rows = [LayerInfo("embedding", "Embedding", (None, None, width), weights)]
        if self.bigrams is not None:
            rows.append(
                LayerInfo("bigrams", "BigramEmbedding", (None, None, width), list(self.bigrams.parameters()))
            )
        if self.evidence is not None:
            rows.append(LayerInfo("evidence", "NgramEvidence", (None, None, self.evidence.features)))
        rows += [*layer_info_of(self.recurrent, last_alone=self.pooling is None)]
        vector = (None, self.head.in_features)
        if self.pooling is not None:
            kind = type(self.pooling).__name__
            rows.append(LayerInfo("pooling", kind, vector, list(self.pooling.parameters())))
        if self.head_dropout.p:
            rows.append(LayerInfo("head_dropout", "Dropout", vector))
        rows.append(LayerInfo("head", "Dense", (None, self.head.out_features), list(self.head.parameters())))
        return rows

    def common(self, tokens: Tensor) -> Tensor:
        """Returns ids with that of the unknown word in place of words that have no vector of their own."""
        first = len(SPECIALS) + self.words
        if first >= self.embedding.num_embeddings:
            return tokens
        return tokens.masked_fill(tokens >= first, TextTokenizer.unknown_id)

    def vectors(self, tokens: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Returns what the recurrent layers read, (B, T, E).

        These are vectors of words, plus those of their pairs, followed by the evidence of n-grams, which has
        no dropout: a sequence without it could not be learned from.

        Args:
            tokens: ``(B, T)`` int64.
            evidence: that of the tokens, ``(B, T, 3 K)``, in place of the network's own.
        """
        read = self.word_dropout(tokens)
        words = self.embedding.lookup(self.common(read)).dense()
        if self.bigrams is not None:
            words = words + self.bigrams(read)
        if evidence is None:
            if self.evidence is None:
                return words
            evidence = self.evidence(tokens)
        mask = self.input_dropout(words.new_ones(words.shape[0], 1, words.shape[2]))
        return torch.cat([words * mask, evidence], 2)

    def forward(self, tokens: Tensor, lengths: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Returns logits (B, C) for tokens (B, T), int64, padded at the end, and lengths (B,).

        ``evidence`` is that of `vectors`.
        """
        plain = self.bigrams is None and self.evidence is None and evidence is None
        inputs = (
            self.embedding.lookup(self.common(self.word_dropout(tokens)))
            if plain
            else self.vectors(tokens, evidence)
        )
        vector = pooled(self.recurrent, self.pooling, inputs, lengths)
        logits: Tensor = self.head(self.head_dropout(vector))
        return logits

    @property
    def has_independent_rows(self) -> bool:
        """Whether, without gradients and dropout, a row's logits have the same bits in every batch."""
        return rows_are_independent(self.recurrent, self.pooling, self.head)


def classification_loss(
    label_kind: str, class_weights: Sequence[float] | NDArray[Any] | Tensor | None = None
) -> Callable[..., Tensor]:
    """Returns a function of logits, labels and weights of rows that computes the mean loss of a batch.

    The weights (B,) multiply the losses of the rows; without them, all rows count the same. The mean is over
    the number of rows.

    Args:
        label_kind: ``"binary"``: cross entropy of one logit (B, 1) and labels (B,) of 0 and 1;
            ``"multiclass"``: cross entropy of logits (B, C) and classes (B,);
            ``"multilabel"``: mean of C binary cross entropies of logits (B, C) and labels (B, C) of 0 and 1.
            Labels may be probabilities: (B,) from 0 to 1 for binary, (B, C) floats for the others.
        class_weights: weights of shape (C,) (binary: 2). The loss of an example is multiplied by the weight
            of its class, and the mean is over the number of examples, as in Keras (torch divides by the sum
            of weights). Multi-label: the weight of a class multiplies its positive term.

    Raises:
        ConfigError: the kind of labels is unknown.
    """
    weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)

    def binary(logits: Tensor, labels: Tensor, rows: Tensor | None = None) -> Tensor:
        labels = labels.to(logits.dtype)
        weight = None
        if weights is not None:
            of_zero, of_one = weights.to(logits)
            weight = torch.lerp(of_zero, of_one, labels)
        if rows is not None:
            weight = rows.to(logits) if weight is None else weight * rows.to(logits)
        return functional.binary_cross_entropy_with_logits(logits.squeeze(1), labels, weight)

    def multiclass(logits: Tensor, labels: Tensor, rows: Tensor | None = None) -> Tensor:
        losses = functional.cross_entropy(logits, labels, reduction="none")
        if weights is not None:
            by_class = weights.to(logits)
            losses = losses * (labels @ by_class if labels.is_floating_point() else by_class[labels])
        return (losses if rows is None else losses * rows.to(logits)).mean()

    def multilabel(logits: Tensor, labels: Tensor, rows: Tensor | None = None) -> Tensor:
        weight = None if weights is None else weights.to(logits)
        by_row = None if rows is None else rows.to(logits)[:, None]
        labels = labels.to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, labels, by_row, pos_weight=weight)

    losses = {"binary": binary, "multiclass": multiclass, "multilabel": multilabel}
    if label_kind not in losses:
        raise ConfigError(
            f"there is no kind of labels {label_kind!r}", hint=f"choose one of {', '.join(losses)}"
        )
    return losses[label_kind]


def predict_logits(
    model: nn.Module, batches: Batches, tick: Callable[[int], object] = lambda rows: None
) -> NDArray[np.float32]:
    """Returns the logits of all examples in the order of ``batches.rows``, of shape (N, C).

    The model is in evaluation mode meanwhile. Without rows the shape is (0, 0). ``tick`` is called with the
    number of rows of each batch.
    """
    rows: list[NDArray[np.int64]] = []
    logits: list[NDArray[np.float32]] = []
    with measuring(model) as device:
        for batch in batches.epoch(0):
            output = model(batch.tokens.to(device), batch.lengths.to(device))
            logits.append(output.float().cpu().numpy())
            rows.append(batch.rows)
            tick(len(batch.rows))
    if not rows:
        return np.zeros((0, 0), dtype=np.float32)
    batch_rows, batch_logits = np.concatenate(rows), np.concatenate(logits)
    ordered = np.empty_like(batch_logits)
    # Sorted by row on both sides.
    ordered[np.argsort(batches.rows, kind="stable")] = batch_logits[np.argsort(batch_rows, kind="stable")]
    return ordered


def logits_of_ids(model: nn.Module, ids: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
    """Returns the logits of one or more texts, of shape (N, C), from the ids of the tokens of each.

    The bits of a row do not depend on the other texts: where a batch has an influence on them, each text is
    one.
    """
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    size = BATCH if len(ids) > 1 and getattr(model, "has_independent_rows", False) else 1
    parts: list[NDArray[np.float32]] = []
    with measuring(model) as device:
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            lengths = [len(ids[row]) for row in rows]
            tokens = np.zeros((len(rows), lengths[-1]), np.int64)
            for line, row, length in zip(tokens, rows, lengths, strict=True):
                line[:length] = ids[row]
            output = model(torch.from_numpy(tokens).to(device), torch.tensor(lengths, device=device))
            parts.append(output.float().cpu().numpy())
    if len(parts) == 1 and size == 1:
        return parts[0]
    logits = np.empty((len(ids), parts[0].shape[1]), np.float32)
    logits[order] = np.concatenate(parts)
    return logits
