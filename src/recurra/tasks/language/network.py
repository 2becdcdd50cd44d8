"""The language model: embedding, recurrent stack read forwards, and the probabilities of the next token."""

from __future__ import annotations

from torch import Tensor, nn

from recurra.config import ModelConfig
from recurra.errors import ConfigError
from recurra.layers import Embedding, States, TrainedRows, sequence_mask
from recurra.layers.network import LayerInfo, Network, layer_info_of, recurrent_stack
from recurra.tasks.language.output_softmax import AdaptiveSoftmax, Output, Softmax
from recurra.tasks.language.settings import LanguageConfig

__all__ = ["LanguageNetwork", "refuse_unfit"]


class LanguageNetwork(Network):
    """Token ids to states after each of them, from which ``output`` tells the next token.

    Args:
        config: the network's settings; ``head_dropout`` blanks features of the states that ``output`` sees,
            one mask a window; ``pooling`` means nothing here.
        language: tying and the output.
        vocab_size: ``V``; ids run from 0 (padding) to V - 1.
        embedding_rows: which rows of the embedding a training step moves, as ``Embedding`` has it.

    Raises:
        ConfigError: as `refuse_unfit` has it, or cutoffs beyond the vocabulary.

    Example:
        >>> import torch
        >>> network = LanguageNetwork(ModelConfig(units=8, embedding=4), LanguageConfig(tie=True), 10)
        >>> features, states = network(torch.tensor([[1, 5, 3]]))
        >>> round(network.output.log_probabilities(features[:, -1]).exp().sum().item(), 5)
        1.0
    """

    def __init__(
        self,
        config: ModelConfig,
        language: LanguageConfig,
        vocab_size: int,
        *,
        embedding_rows: TrainedRows = "all",
    ) -> None:
        super().__init__()
        refuse_unfit(config, language)
        # The gradient of a tied table has every row: a sparse one beside it would be for nothing.
        rows: TrainedRows = "all" if language.tie else embedding_rows
        self.embedding = Embedding(vocab_size, config.embedding, rows=rows)
        self.recurrent = recurrent_stack(config, config.embedding, return_sequences=True)
        self.output_dropout = config.head_dropout
        self.output = _output(language, self.recurrent.output_size, vocab_size, self.embedding)

    def forward(
        self, tokens: Tensor, lengths: Tensor | None = None, state: States | None = None
    ) -> tuple[Tensor, States]:
        """``(B, T)`` int64 tokens, padded at the end, to ``(B, T, H)`` states and the last of each layer.

        Args:
            tokens: what was read.
            lengths: ``(B,)`` true tokens of each row; None where every row has ``T``.
            state: of each layer where the rows go on from; None for zeros.
        """
        states, last = self.recurrent(self.embedding.lookup(tokens), lengths, state)
        if self.training and self.output_dropout:
            B, _, H = states.shape
            states = states * sequence_mask(B, H, self.output_dropout, like=states)[:, None]
        return states, last

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The weights of each layer from the bottom up; tied ones are the embedding's."""
        return [
            list(self.embedding.parameters()),
            *self.recurrent.layer_groups(),
            list(self.output.parameters()),
        ]

    def layer_info(self) -> list[LayerInfo]:
        """The layers in the order of the data."""
        vectors, above = self.embedding, list(self.output.parameters())
        lines = [
            LayerInfo(
                "embedding", "Embedding", (None, None, vectors.embedding_dim), list(vectors.parameters())
            ),
            *layer_info_of(self.recurrent, last_alone=False),
        ]
        if self.output_dropout:
            lines.append(LayerInfo("output_dropout", "Dropout", (None, None, self.recurrent.output_size)))
        kind = "tied softmax" if isinstance(self.output, Softmax) and self.output.tied else "softmax"
        kind = "adaptive softmax" if isinstance(self.output, AdaptiveSoftmax) else kind
        lines.append(LayerInfo("output", kind, (None, None, self.output.classes), above))
        return lines


def refuse_unfit(config: ModelConfig, language: LanguageConfig) -> None:
    """Refuses settings that no language model can have.

    Raises:
        ConfigError: a network that reads backwards too, or tied clusters.
    """
    if config.bidirectional:
        raise ConfigError(
            "a language model reads forwards only: backwards it would see what it has to tell",
            where="model.bidirectional",
            hint="leave it out",
        )
    if language.tie and language.output == "adaptive":
        raise ConfigError(
            "the clusters of output=adaptive have widths of their own, and no embedding to share",
            where="language.tie",
            hint="set language.tie=false, or another language.output",
        )


def _output(language: LanguageConfig, features: int, vocab_size: int, embedding: Embedding) -> Output:
    if language.output != "adaptive":
        return Softmax(
            features,
            vocab_size,
            tied=embedding if language.tie else None,
            samples=language.samples if language.output == "sampled" else None,
            proposal=language.proposal,
        )
    cutoffs = language.cutoffs
    if vocab_size < 4 or (cutoffs is not None and cutoffs[-1] >= vocab_size - 1):
        raise ConfigError(
            f"the clusters don't fit {vocab_size - 1:,} words",
            where="language.cutoffs" if cutoffs else "language.output",
            hint="lower the cutoffs, or set language.output=full",
        )
    return AdaptiveSoftmax(features, vocab_size, cutoffs)
