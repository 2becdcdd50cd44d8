"""The text classifier: embedding, recurrent stack, pooling, head."""

from __future__ import annotations

from torch import Tensor, nn

from recurra.config import ModelConfig
from recurra.layers import (
    GRU,
    LSTM,
    AttentionPooling,
    Embedding,
    MaxPooling,
    MeanPooling,
    Recurrent,
    SimpleRNN,
    TrainedRows,
)

__all__ = ["Classifier"]

_CELLS: dict[str, type[Recurrent]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


class Classifier(nn.Module):
    """Token ids to the logits of a text's classes.

    Args:
        config: the network's settings.
        vocab_size: ``V``; ids run from 0 (padding) to V - 1.
        classes: ``C``, how many classes there are.
        task: ``"binary"`` (one logit, that of class 1), ``"multiclass"`` or ``"multilabel"``.
        embedding_rows: which rows of the embedding a training step moves, as ``Embedding`` has it.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        classes: int,
        task: str,
        *,
        embedding_rows: TrainedRows = "all",
    ) -> None:
        super().__init__()
        self.task = task
        self.embedding = Embedding(vocab_size, config.embedding, rows=embedding_rows)
        self.recurrent = _CELLS[config.cell](
            config.embedding,
            config.layer_units,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            recurrent_dropout=config.recurrent_dropout,
            activation=config.layer_activations,
            return_sequences=config.pooling != "last",
            backend=config.backend,
            precision=config.precision,
        )
        features = self.recurrent.output_size
        self.pooling: nn.Module | None = None
        if config.pooling == "mean":
            self.pooling = MeanPooling()
        elif config.pooling == "max":
            self.pooling = MaxPooling()
        elif config.pooling == "attention":
            self.pooling = AttentionPooling(features)
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(features, 1 if task == "binary" else classes)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def floors(self) -> list[list[nn.Parameter]]:
        """The weights of each layer from the bottom up: embedding, recurrent layers, pooling and head."""
        named = list(self.recurrent.named_parameters())
        stack = []
        for layer in range(self.recurrent.layers):
            endings = tuple(f"_{suffix}" for suffix in self.recurrent.suffixes(layer))
            stack.append([weight for name, weight in named if name.endswith(endings)])
        pooling = [] if self.pooling is None else list(self.pooling.parameters())
        return [list(self.embedding.parameters()), *stack, [*pooling, *self.head.parameters()]]

    def freeze(self, floors: int) -> None:
        """The weights of the lowest ``floors`` are no longer trained."""
        for floor in self.floors()[:floors]:
            for weight in floor:
                weight.requires_grad_(False)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """``(B, T)`` int64 tokens, padded at the end, and ``(B,)`` lengths to ``(B, C)`` logits."""
        states, _ = self.recurrent(self.embedding.lookup(tokens), lengths)
        pooled = states if self.pooling is None else self.pooling(states, lengths)
        logits: Tensor = self.head(self.head_dropout(pooled))
        return logits
