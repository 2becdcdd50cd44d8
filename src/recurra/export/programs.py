"""Models as modules of plain PyTorch, with the inputs and outputs of the ONNX graphs, for torch.export.

Dimensions: ``B`` batch, ``T`` time, ``W`` words of a text, ``H`` hidden units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recurra.errors import ConfigError, DependencyError
from recurra.export.scan import cell_step
from recurra.layers import BigramEmbedding, Recurrent, States
from recurra.layers.bigrams import pair_ids
from recurra.layers.embedding import PADDING
from recurra.layers.evidence import LONGEST, MULTIPLIER, NgramEvidence
from recurra.layers.network import Network
from recurra.store import AnyBundle
from recurra.tasks.classification.fitted import FittedExperts
from recurra.tasks.forecasting.bundle import reach_of

__all__ = ["ClassifierProgram", "ForecasterProgram", "LanguageProgram", "PlainRecurrent", "TaggerProgram"]


class PlainRecurrent(nn.Module):
    """A stack of recurrent layers as a loop over the cell's step, with a free number of steps and rows.

    It is called as the stack is; the step is that of the cell in plain PyTorch, in place of the kernels.
    """

    def __init__(self, stack: Recurrent) -> None:
        super().__init__()
        self.stack = stack

    def forward(
        self, x: Any, lengths: Tensor | None = None, state: States | None = None
    ) -> tuple[Tensor, States]:
        """Returns what the stack returns."""
        stack = self.stack
        steps: Tensor = (x if isinstance(x, Tensor) else x.dense()).transpose(0, 1)
        if lengths is None:
            lengths = steps.new_full((steps.shape[1],), 1, dtype=torch.int64) * steps.shape[0]
        alive = torch.arange(steps.shape[0])[:, None] < lengths
        last: list[tuple[Tensor, ...]] = []
        for depth in range(stack.layers):
            outputs = []
            for reverse, suffix in enumerate(stack.suffixes(depth)):
                initial = None if state is None else state[len(last)]
                found, final = self._direction(steps, alive, depth, suffix, bool(reverse), initial)
                outputs.append(found)
                last.append(final)
            steps = stack._merged(torch.cat(outputs, dim=2))
        states = tuple(last)
        return (steps.transpose(0, 1) if stack.return_sequences else stack.last(states)), states

    def last(self, states: States) -> Tensor:
        """Returns the last state of the last layer."""
        return self.stack.last(states)

    def _direction(
        self,
        steps: Tensor,
        alive: Tensor,
        depth: int,
        suffix: str,
        reverse: bool,
        initial: tuple[Tensor, ...] | None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        stack = self.stack
        weights = tuple(stack.weights(suffix).values())
        if initial is None:
            zeros = steps.new_zeros(1, stack.units[depth]).expand(steps.shape[1], -1)
            initial = tuple(zeros.clone() for _ in stack.spec.state)

        def step(
            state: tuple[Tensor, ...], inputs: tuple[Tensor, Tensor]
        ) -> tuple[tuple[Tensor, ...], Tensor]:
            x, seen = inputs[0], inputs[1][:, None]
            new = cell_step(stack, depth, suffix, x, *state, *weights)
            kept = tuple(torch.where(seen, after, before) for after, before in zip(new, state, strict=True))
            return kept, torch.where(seen, new[0], torch.zeros_like(new[0]))

        final, outputs = _scan()(step, initial, (steps, alive), dim=0, reverse=reverse)
        return outputs, tuple(final)


def _scan() -> Callable[..., Any]:
    """Returns PyTorch's loop over time.

    Raises:
        DependencyError: this version has none.
    """
    try:
        from torch._higher_order_ops.scan import scan
    except ImportError as error:
        raise DependencyError(
            "this version of PyTorch has no scan, which torch-export needs", hint="install a newer torch"
        ) from error
    found: Callable[..., Any] = scan
    return found


def _plain(network: Network) -> Network:
    """Returns a copy of a network whose recurrent layers are loops, and that takes any length."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Recurrent):
                setattr(module, name, PlainRecurrent(child))
            elif isinstance(child, NgramEvidence):
                setattr(module, name, PlainEvidence(child))
            elif isinstance(child, BigramEmbedding):
                setattr(module, name, PlainBigrams(child))
    return network


class PlainEvidence(nn.Module):
    """`NgramEvidence` for any number of steps, also one or two."""

    def __init__(self, layer: NgramEvidence) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the features ``(B, T, 3 K)`` of ids ``(B, T)``."""
        layer, parts = self.layer, []
        for keys in ngram_keys(layer._hashes[tokens], tokens != PADDING):
            columns = torch.searchsorted(layer.keys, keys).clamp(max=len(layer.keys) - 1)
            parts.append(layer.weights[columns] * (layer.keys[columns] == keys)[:, :, None])
        return torch.cat(parts, 2) * layer.scales


def ngram_keys(hashes: Tensor, valid: Tensor, longest: int = LONGEST) -> list[Tensor]:
    """Returns for 1 to ``longest`` tokens the keys ``(B, T)`` of the n-grams that end at each token, or -1.

    Args:
        hashes: 64-bit hashes of the tokens, ``(B, T)`` int64.
        valid: whether a step is a token, ``(B, T)`` bool.
        longest: tokens of the longest n-grams.
    """
    found, mixed, whole = [], hashes, valid
    for size in range(1, longest + 1):
        if size > 1:
            mixed = _later(mixed) * MULTIPLIER + hashes
            whole = valid & _later(whole)
        keys = (mixed >> 16) & ((1 << 48) - 1)  # the shift is arithmetic: the mask takes the signs away
        found.append(torch.where(whole, keys, -1))
    return found


def _later(x: Tensor) -> Tensor:
    """Returns ``(B, T)`` with each value one step later, and 0 at the first step.

    (A slice would make PyTorch tell texts of two tokens from others.)
    """
    return torch.where(torch.arange(x.shape[1]) == 0, torch.zeros_like(x), x.roll(1, 1))


class PlainBigrams(nn.Module):
    """`BigramEmbedding` for any number of steps."""

    def __init__(self, layer: BigramEmbedding) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the vectors ``(B, T, E)`` of ids ``(B, T)``."""
        end = torch.arange(tokens.shape[1]) == tokens.shape[1] - 1
        following = torch.where(end, PADDING, tokens.roll(-1, 1))
        table = self.layer.table
        return functional.embedding(pair_ids(tokens, following, table.num_embeddings), table.weight)


class NgramFeatures(nn.Module):
    """TF-IDF values of n-grams of a kind: hashes ``(B, W)`` and lengths to columns and values ``(B, G)``."""

    keys: Tensor
    idf: Tensor

    def __init__(self, keys: NDArray[np.uint64], idf: NDArray[np.float32], longest: int) -> None:
        super().__init__()
        self.longest = longest
        padded = np.append(keys.view(np.int64), np.iinfo(np.int64).max)
        self.register_buffer("keys", torch.from_numpy(padded))
        self.register_buffer("idf", torch.from_numpy(np.append(idf, np.float32(0))))

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns columns, the number of n-grams for unknown ones, and values, as rows of length 1 or 0."""
        valid = torch.arange(words.shape[1]) < lengths[:, None]
        wanted = torch.cat(ngram_keys(words, valid, self.longest), dim=1)
        keys = self.keys
        places = torch.searchsorted(keys, wanted)
        columns = torch.where(keys[places] == wanted, places, len(keys) - 1).sort(dim=1).values
        first = columns + 1 != _later(columns + 1)  # 0 before the first one, which no column is
        run = first.long().cumsum(1) - 1
        counts = torch.zeros_like(columns, dtype=torch.float32)
        counts = counts.scatter_add(1, run, torch.ones_like(counts)).gather(1, run)
        return columns, _unit((1 + counts.log()) * self.idf[columns] * first)


def _unit(values: Tensor) -> Tensor:
    return values / values.square().sum(1, keepdim=True).sqrt().clamp(min=1e-30)


class NgramProgram(nn.Module):
    """The n-gram model: what `ngram_inputs` returns to weighted logits ``(B, K)``."""

    weights: Tensor
    biases: Tensor
    offsets: Tensor

    def __init__(self, experts: FittedExperts) -> None:
        super().__init__()
        model, state = experts.ngrams, experts.ngrams.state()
        if model.centroids is not None:
            raise ConfigError(
                "the n-grams of many classes can't be exported to torch-export", hint="use --to onnx"
            )
        self.multiclass = model.label_kind == "multiclass"
        self.weight = experts.combination.ngrams
        kinds = [NgramFeatures(state["keys"], state["idf"], LONGEST)]
        if model.pieces:
            kinds.append(NgramFeatures(state["piece_keys"], state["piece_idf"], 1))
        self.kinds = nn.ModuleList(kinds)
        # The rows of each kind end with one of zeros, for what is not known.
        parts = np.split(state["weights"].astype(np.float32), [len(state["keys"])])[: len(kinds)]
        self.starts = [0, len(state["keys"]) + 1][: len(kinds)]
        weights = np.concatenate([np.pad(part, ((0, 1), (0, 0))) for part in parts])
        self.register_buffer("weights", torch.from_numpy(weights))
        self.register_buffer("biases", torch.from_numpy(state["biases"].astype(np.float32)))
        offsets = np.array(experts.combination.offsets or [0.0], np.float32)
        self.register_buffer("offsets", torch.from_numpy(offsets))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Returns the logits, with their weight in the combination."""
        columns, values = [], []
        for kind, start, words, lengths in zip(
            self.kinds, self.starts, inputs[::2], inputs[1::2], strict=True
        ):
            found = kind(words, lengths)
            columns.append(found[0] + start)
            values.append(found[1])
        units = _unit(torch.cat(values, 1)) if len(values) > 1 else values[0]
        scores = (units[:, :, None] * self.weights[torch.cat(columns, 1)]).sum(1) + self.biases
        scores = functional.logsigmoid(scores) if self.multiclass else scores
        return self.weight * (scores + self.offsets)


class ClassifierProgram(nn.Module):
    """A classifier: the inputs of its signature to probabilities ``(B, C)`` and what is predicted."""

    limits: Tensor

    def __init__(self, bundle: AnyBundle) -> None:
        super().__init__()
        from recurra.export.classification import decided  # it imports this module

        experts: FittedExperts | None = bundle.assets.experts
        self.kind = bundle.assets.labels.label_kind
        self.network = _plain(bundle.model) if experts is None or experts.network_used else None
        self.ngrams = None if experts is None or not experts.ngrams_used else NgramProgram(experts)
        self.scale = 1 / (bundle.temperature or 1.0) if experts is None else experts.combination.recurrent
        self.intercept = 0.0 if experts is None else experts.combination.intercept
        several = self.kind == "multilabel"
        gains, self.least = (None, None) if several else decided(bundle)
        limits = bundle.assets.limits if several else np.eye(1) if gains is None else gains
        self.decided = gains is not None
        self.register_buffer("limits", torch.from_numpy(np.asarray(limits, np.float32)))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Returns the outputs of the signature for its inputs, in their order."""
        logits: Tensor | float = self.intercept
        if self.network is not None:
            logits = logits + self.scale * self.network(inputs[0], inputs[1])
        if self.ngrams is not None:
            logits = logits + self.ngrams(*inputs[0 if self.network is None else 2 :])
        assert isinstance(logits, Tensor)  # noqa: S101  # one of both counts
        if self.kind == "multiclass":
            p = torch.softmax(logits, 1)
        else:
            p = torch.sigmoid(torch.cat([-logits, logits], 1) if self.kind == "binary" else logits)
        if self.kind == "multilabel":
            return p, p >= self.limits
        predicted = (p @ self.limits if self.decided else p).argmax(1)
        if self.least is None:
            return p, predicted
        return p, predicted, p.gather(1, predicted[:, None])[:, 0] >= self.least


class TaggerProgram(nn.Module):
    """A tagger: the inputs of its signature to probabilities ``(B, T, K)`` and tags ``(B, T)``."""

    def __init__(self, bundle: AnyBundle) -> None:
        super().__init__()
        self.network = _plain(bundle.model)
        self.temperature = bundle.temperature or 1.0

    def forward(self, words: Tensor, lengths: Tensor, *spelling: Tensor) -> tuple[Tensor, Tensor]:
        """Returns probabilities and tags."""
        if spelling:
            characters, counts = spelling
            # Each word of the batch has characters of its own: they are numbered in their order.
            each = torch.arange(words.shape[0] * words.shape[1]).reshape(words.shape)
            logits = self.network(words, lengths, each, characters.flatten(0, 1), counts.flatten())
        else:
            nothing = words.new_zeros(1, 1)
            logits = self.network(words, lengths, nothing, nothing, nothing[0])
        p = torch.softmax(logits / self.temperature, 2)
        return p, p.argmax(2)


class LanguageProgram(nn.Module):
    """A language model: tokens, lengths and states to log-probabilities ``(B, T, V)`` and the next states."""

    def __init__(self, bundle: AnyBundle) -> None:
        super().__init__()
        self.network = _plain(bundle.model)
        self.parts = len(bundle.model.recurrent.spec.state)

    def forward(self, tokens: Tensor, lengths: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        """Returns log-probabilities and states."""
        state = tuple(parts[first : first + self.parts] for first in range(0, len(parts), self.parts))
        found, last = self.network(tokens, lengths, state)
        output: Any = self.network.output
        log_p = output.log_probabilities(found.flatten(0, 1))
        return (log_p.unflatten(0, tokens.shape), *(part for layer in last for part in layer))


class ForecasterProgram(nn.Module):
    """A forecaster: rows ``(B, T, E)`` and last values ``(B,)`` to forecasts ``(B, K)``."""

    means: Tensor
    deviations: Tensor
    behind: Tensor
    moved: Tensor

    def __init__(self, bundle: AnyBundle) -> None:
        super().__init__()
        from recurra.export.forecasting import scales_of  # it imports this module

        series, layout, reach = bundle.config.series, bundle.assets.layout, reach_of(bundle)
        self.network = _plain(bundle.model)
        self.mean, self.deviation = layout.target.mean, layout.target.std
        means, deviations = scales_of(bundle)
        behind = (reach.behind[::-1] if series.reversed else reach.behind).copy()
        moved = np.zeros(len(means), np.float32)
        moved[: len(layout.numbers) if series.relative else 0] = 1
        for name, value in {
            "means": means,
            "deviations": deviations,
            "behind": behind,
            "moved": moved,
        }.items():
            self.register_buffer(name, torch.from_numpy(value))

    def forward(self, rows: Tensor, last: Tensor) -> tuple[Tensor]:
        """Returns the forecasts."""
        inputs = ((rows - self.means) / self.deviations).float()
        present = inputs[:, -1]
        window = inputs[:, rows.shape[1] - 1 + self.behind] - (present * self.moved)[:, None]
        found = self.network(window, present, ((last - self.mean) / self.deviation).float())
        return (found.double() * self.deviation + self.mean,)
