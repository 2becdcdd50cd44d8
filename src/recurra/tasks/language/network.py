"""The network of a language model, its assets, and its objective with states carried between windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from recurra.config import ModelConfig
from recurra.errors import ConfigError
from recurra.io.tokenizer import TextTokenizer
from recurra.layers import Embedding, States, TrainedRows, WordDropout, sequence_mask
from recurra.layers.network import LayerInfo, Network, layer_info_of, recurrent_stack
from recurra.store import Bundle
from recurra.tasks.language.assets import LanguageAssets
from recurra.tasks.language.output_softmax import AdaptiveSoftmax, Output, Softmax
from recurra.tasks.language.settings import LanguageConfig, LanguageModelConfig
from recurra.tasks.language.streams import StreamBatch

__all__ = ["LanguageBundle", "LanguageNetwork", "StreamObjective", "build", "refuse_unfit"]


class LanguageNetwork(Network):
    """Maps token ids to the state after each token, from which ``output`` predicts the next token.

    Args:
        config: the settings of the network; ``head_dropout`` is applied to the input of ``output``, one mask
            per window; ``word_dropout`` to the words that are read, not to those that are predicted (blank
            noise; Xie et al. 2017, "Data noising as smoothing in neural network language models");
            ``pooling`` is not used.
        language: the settings of tying and of the output layer.
        vocab_size: ``V``; ids are 0 (padding) to V - 1.
        embedding_rows: rows of the embedding that a training step updates, see ``Embedding``.

    Raises:
        ConfigError: see `refuse_unfit`; or cutoffs are not below the vocabulary size.

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
        # A tied table has a dense gradient from the output, so a sparse one of the embedding would gain
        # nothing.
        rows: TrainedRows = "all" if language.tie else embedding_rows
        self.embedding = Embedding(vocab_size, config.embedding, rows=rows)
        self.word_dropout = WordDropout(config.word_dropout, TextTokenizer.unknown_id)
        self.recurrent = recurrent_stack(config, config.embedding, return_sequences=True)
        self.output_dropout = config.head_dropout
        self.output = _output(language, self.recurrent.output_size, vocab_size, self.embedding)

    def forward(
        self, tokens: Tensor, lengths: Tensor | None = None, state: States | None = None
    ) -> tuple[Tensor, States]:
        """Returns states (B, T, H) and the last states of each layer, from the initial ``state`` or zeros.

        ``tokens`` are ids (B, T), int64, padded at the end to ``lengths`` (B,), or without padding if None.
        """
        states, last = self.recurrent(self.embedding.lookup(self.word_dropout(tokens)), lengths, state)
        if self.training and self.output_dropout:
            B, _, H = states.shape
            states = states * sequence_mask(B, H, self.output_dropout, like=states)[:, None]
        return states, last

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Returns the weights of each layer, bottom layer first; tied weights are part of the embedding."""
        return [
            list(self.embedding.parameters()),
            *self.recurrent.layer_groups(),
            list(self.output.parameters()),
        ]

    def layer_info(self) -> list[LayerInfo]:
        """Returns the layers in the order of the data."""
        width, weights = self.embedding.embedding_dim, list(self.embedding.parameters())
        rows = [
            LayerInfo("embedding", "Embedding", (None, None, width), weights),
            *layer_info_of(self.recurrent, last_alone=False),
        ]
        if self.output_dropout:
            rows.append(LayerInfo("output_dropout", "Dropout", (None, None, self.recurrent.output_size)))
        shape = (None, None, self.output.classes)
        return [*rows, LayerInfo("output", self.output.kind, shape, list(self.output.parameters()))]


LanguageBundle: TypeAlias = Bundle[LanguageModelConfig, LanguageNetwork, LanguageAssets]


def build(config: LanguageModelConfig, assets: LanguageAssets) -> LanguageNetwork:
    """Builds the network: embedding, recurrent layers, output."""
    vocab_size, rows = assets.tokenizer.vocab_size, config.train.embedding_rows
    return LanguageNetwork(config.model, config.language, vocab_size, embedding_rows=rows)


def refuse_unfit(config: ModelConfig, language: LanguageConfig) -> None:
    """Raises ConfigError if the network is bidirectional, or adaptive softmax is tied."""
    if config.bidirectional:
        raise ConfigError(
            "a language model can't be bidirectional: it would see the tokens that it has to predict",
            where="model.bidirectional",
            hint="remove the setting",
        )
    if language.tie and language.output == "adaptive":
        raise ConfigError(
            "output=adaptive has clusters of different sizes and can't be tied to the embedding",
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


class StreamObjective:
    """The mean negative log-probability of the tokens of a window, in nats.

    It is truncated backpropagation through time: states are carried from window to window, gradients are not
    (Williams & Peng 1990; Mikolov et al. 2010). The first window of an epoch starts from zero states.
    """

    def __init__(self) -> None:
        self._states: States | None = None

    def __call__(self, model: nn.Module, batch: StreamBatch) -> Tensor:
        """Returns the loss of one window of `Streams` and keeps its last states for the next one."""
        assert isinstance(model, LanguageNetwork)  # noqa: S101  # only this network has such batches
        device = model.embedding.weight.device
        state = None if batch.fresh else self._on(device)
        states, last = model(batch.tokens.to(device), None, state)
        self._states = tuple(tuple(part.detach() for part in layer) for layer in last)
        targets = batch.targets.to(device)
        return model.output.loss(states.reshape(targets.numel(), -1), targets.reshape(-1))

    def _on(self, device: torch.device) -> States | None:
        """The last states; those of a checkpoint are on the CPU at first."""
        if self._states is None:
            return None
        return tuple(tuple(part.to(device) for part in layer) for layer in self._states)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Returns the states after the last window by layer and part: ``0/h``, ``0/c``, ``0/2`` ..."""
        return {
            f"{layer}/{_part_name(place)}": part
            for layer, parts in enumerate(self._states or ())
            for place, part in enumerate(parts)
        }

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Restores what :meth:`state_dict` returned."""
        layers = Counter(name.partition("/")[0] for name in state_dict)
        states = tuple(
            tuple(state_dict[f"{layer}/{_part_name(place)}"] for place in range(layers[str(layer)]))
            for layer in range(len(layers))
        )
        self._states = states or None


def _part_name(place: int) -> str:
    return ("h", "c")[place] if place < 2 else str(place)
