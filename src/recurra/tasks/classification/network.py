"""The text classifier: embedding, recurrent stack, pooling, head."""

from __future__ import annotations

from torch import Tensor, nn

from recurra.config import ModelConfig
from recurra.layers import Embedding, TrainedRows
from recurra.layers.network import LayerInfo, Network, layer_info_of, pooling_of, recurrent_stack

__all__ = ["Classifier"]


class Classifier(Network):
    """Token ids to the logits of a text's classes.

    Args:
        config: the network's settings.
        vocab_size: ``V``; ids run from 0 (padding) to V - 1.
        classes: ``C``, how many classes there are.
        label_kind: ``"binary"`` (one logit, that of class 1), ``"multiclass"`` or ``"multilabel"``.
        embedding_rows: which rows of the embedding a training step moves, as ``Embedding`` has it.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        classes: int,
        label_kind: str,
        *,
        embedding_rows: TrainedRows = "all",
    ) -> None:
        super().__init__()
        self.label_kind = label_kind
        self.embedding = Embedding(vocab_size, config.embedding, rows=embedding_rows)
        self.recurrent = recurrent_stack(config, config.embedding, return_sequences=config.pooling != "last")
        features = self.recurrent.output_size
        self.pooling = pooling_of(config, features)
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(features, 1 if label_kind == "binary" else classes)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The weights of each layer from the bottom up: embedding, recurrent layers, pooling and head."""
        pooling = [] if self.pooling is None else list(self.pooling.parameters())
        top = [*pooling, *self.head.parameters()]
        return [list(self.embedding.parameters()), *self.recurrent.layer_groups(), top]

    def layer_info(self) -> list[LayerInfo]:
        """The layers in the order of the data.

        Pooling ``last`` is no layer of its own: the last recurrent layer then gives one vector, as in Keras
        without ``return_sequences``.
        """
        table = LayerInfo(
            "embedding",
            "Embedding",
            (None, None, self.embedding.embedding_dim),
            list(self.embedding.parameters()),
        )
        rows = [table, *layer_info_of(self.recurrent, last_alone=self.pooling is None)]
        vector = (None, self.recurrent.output_size)
        if self.pooling is not None:
            rows.append(
                LayerInfo("pooling", type(self.pooling).__name__, vector, list(self.pooling.parameters()))
            )
        if self.head_dropout.p:
            rows.append(LayerInfo("head_dropout", "Dropout", vector))
        rows.append(LayerInfo("head", "Dense", (None, self.head.out_features), list(self.head.parameters())))
        return rows

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """``(B, T)`` int64 tokens, padded at the end, and ``(B,)`` lengths to ``(B, C)`` logits."""
        states, _ = self.recurrent(self.embedding.lookup(tokens), lengths)
        pooled = states if self.pooling is None else self.pooling(states, lengths)
        logits: Tensor = self.head(self.head_dropout(pooled))
        return logits
