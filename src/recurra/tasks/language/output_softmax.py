"""From states to the probabilities of the next token: full, sampled and adaptive softmax.

Dimensions: ``N`` positions, ``F`` features of a state, ``V`` entries of the vocabulary. Padding is no token:
it is never predicted, so there are ``V - 1`` classes and class ``c`` is token ``c + 1``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from recurra.layers import Embedding

__all__ = ["AdaptiveSoftmax", "Output", "Proposal", "Softmax"]

Proposal = Literal["log_uniform", "uniform"]

_CHUNK = 1 << 21
"""Logits held at once, 8 MB: 700 positions of 10,000 words take 80 ms forwards and back, 90 in one piece."""


class Output(nn.Module):
    """What the outputs share: a mean loss to train by, and exact probabilities, whatever the training.

    Args:
        features: ``F``.
        vocab_size: ``V``.
    """

    def __init__(self, features: int, vocab_size: int) -> None:
        super().__init__()
        self.features = features
        self.classes = vocab_size - 1

    def loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """The mean negative log-probability, in nats, of ``(N,)`` int64 targets after ``(N, F)`` states."""
        raise NotImplementedError

    def expect(self, counts: Tensor) -> None:
        """Begin from how often each token occurs, ``(V,)``, which would take half an epoch to learn."""

    def log_probability(self, states: Tensor, targets: Tensor) -> Tensor:
        """``(N,)`` the log-probability of each target, in nats; never more than 8 MB of logits at once."""
        parts = [self._of_targets(states[rows], targets[rows]) for rows in self._chunks(len(targets))]
        return torch.cat(parts) if parts else states.new_zeros(0)

    def log_probabilities(self, states: Tensor) -> Tensor:
        """``(N, V)`` log-probabilities of every token; minus infinity for padding."""
        found = self._of_all(states)
        return functional.pad(found, (1, 0), value=-math.inf)

    def _chunks(self, count: int) -> Iterator[slice]:
        step = max(1, _CHUNK // self.classes)
        return (slice(begin, begin + step) for begin in range(0, count, step))

    def _of_targets(self, states: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError

    def _of_all(self, states: Tensor) -> Tensor:
        raise NotImplementedError


class Softmax(Output):
    """``softmax(W s + b)`` over all tokens; trained over all of them or over a sample.

    With ``tied`` the weights ``W`` are those of the embedding (Press & Wolf 2017); where its width is not
    ``F`` a projection without bias stands before it.

    Trained over a sample, the sum over all tokens in the loss is estimated from ``samples`` draws, one set
    for all positions: the target's term counts whole, that of another token ``j`` in the set is divided by
    the probability ``1 - (1 - q_j)^samples`` that it is in there. That estimate of the sum is unbiased
    (Horvitz-Thompson), its logarithm nearly so (Bengio & Senecal 2008; Jean et al. 2015, equation 9).

    Args:
        features: ``F``.
        vocab_size: ``V``.
        tied: the embedding to share weights with; None for weights of its own.
        samples: draws a step; None, or as many as there are tokens, trains over all.
        proposal: ``log_uniform`` draws class ``c`` with ``log((c + 2) / (c + 1)) / log(V)``: right for
            a vocabulary in order of frequency (Zipf); ``uniform`` draws all alike.
    """

    def __init__(
        self,
        features: int,
        vocab_size: int,
        *,
        tied: Embedding | None = None,
        samples: int | None = None,
        proposal: Proposal = "log_uniform",
    ) -> None:
        super().__init__(features, vocab_size)
        self.samples = samples if samples is not None and samples < self.classes else None
        self.proposal = proposal
        # In a tuple, so that it is no part of this module: its weights are saved and listed once.
        self._tied: tuple[Embedding, ...] = () if tied is None else (tied,)
        self.projection: nn.Linear | None = None
        if tied is None:
            self.weight: nn.Parameter | None = nn.Parameter(torch.empty(self.classes, features))
            nn.init.xavier_uniform_(self.weight)
        else:
            self.register_parameter("weight", None)
            if tied.embedding_dim != features:
                self.projection = nn.Linear(features, tied.embedding_dim, bias=False)
                nn.init.xavier_uniform_(self.projection.weight)
        self.bias = nn.Parameter(torch.zeros(self.classes))

    def loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """As :class:`Output` has it; an estimate of it where trained over a sample."""
        states, weight = self._projected(states), self._weight()
        if self.samples is None or not self.training:
            return _CrossEntropy.apply(  # type: ignore[no-untyped-call, no-any-return]
                states, weight, self.bias, targets - 1, max(1, _CHUNK // self.classes)
            )
        classes, chance = self.draw(states.device)
        return _sampled_loss(states, weight, self.bias, targets - 1, classes, chance)

    def expect(self, counts: Tensor) -> None:
        """The bias becomes the logarithm of the frequencies, one added to every count."""
        each = counts[1:].double() + 1
        with torch.no_grad():
            self.bias.copy_((each / each.sum()).log())

    @property
    def tied(self) -> bool:
        """Whether the weights are the embedding's."""
        return bool(self._tied)

    def draw(self, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Classes of a sample ``(S,)`` int64, ascending, and the probability of each to be in one.

        Drawn with replacement from torch's generator, then each kept once.
        """
        count = self.samples or self.classes
        uniform = torch.rand(count, device=device)
        if self.proposal == "uniform":
            drawn = (uniform * self.classes).long()
        else:
            drawn = torch.expm1(uniform * math.log(self.classes + 1)).long()
        classes = torch.unique(drawn.clamp_(max=self.classes - 1))
        if self.proposal == "uniform":
            each = torch.full((len(classes),), 1.0 / self.classes, device=device, dtype=torch.float64)
        else:
            each = torch.log1p(1.0 / (classes.double() + 1)) / math.log(self.classes + 1)
        return classes, -torch.expm1(count * torch.log1p(-each))

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        tied = ", tied" if self._tied else ""
        return f"{self.features}, {self.classes}{tied}" + (
            f", samples={self.samples}" if self.samples else ""
        )

    def _weight(self) -> Tensor:
        return self._tied[0].weight[1:] if self.weight is None else self.weight

    def _projected(self, states: Tensor) -> Tensor:
        return states if self.projection is None else self.projection(states)

    def _of_all(self, states: Tensor) -> Tensor:
        logits = functional.linear(self._projected(states), self._weight(), self.bias)
        return functional.log_softmax(logits, dim=1)

    def _of_targets(self, states: Tensor, targets: Tensor) -> Tensor:
        return self._of_all(states).gather(1, targets[:, None] - 1).squeeze(1)


class AdaptiveSoftmax(Output):
    """Clusters of tokens by frequency, the rare ones with fewer features (Grave et al. 2017).

    ``torch.nn.AdaptiveLogSoftmaxWithLoss``; exact in training too. Tokens must be numbered by frequency.

    Args:
        features: ``F``.
        vocab_size: ``V``, 3 or more.
        cutoffs: ranks at which the clusters end; None for a tenth and half of the vocabulary.

    Raises:
        ValueError: a cutoff is beyond the vocabulary.
    """

    def __init__(self, features: int, vocab_size: int, cutoffs: list[int] | None = None) -> None:
        super().__init__(features, vocab_size)
        if cutoffs is None:
            cutoffs = sorted({max(1, self.classes // 10), max(1, self.classes // 2)})
        # The rarest cluster keeps a feature at least.
        share = min(4.0, 0.999 * features ** (1 / len(cutoffs)))
        self.clusters = nn.AdaptiveLogSoftmaxWithLoss(features, self.classes, cutoffs, div_value=share)

    def loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """As :class:`Output` has it."""
        loss: Tensor = self.clusters(states, targets - 1).loss
        return loss

    def _of_all(self, states: Tensor) -> Tensor:
        found: Tensor = self.clusters.log_prob(states)
        return found

    def _of_targets(self, states: Tensor, targets: Tensor) -> Tensor:
        found: Tensor = self.clusters(states, targets - 1).output
        return found


class _CrossEntropy(torch.autograd.Function):
    """Mean cross entropy of ``softmax(W s + b)``, its gradients made beside it, a few rows at a time.

    All logits and their gradients together would be twice ``N * V`` numbers.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, rows: int) -> Tensor:
        N = len(targets)
        wanted = any(ctx.needs_input_grad[:3])
        gradients = (
            [torch.empty_like(states), torch.zeros_like(weight), torch.zeros_like(bias)] if wanted else []
        )
        total = torch.zeros((), dtype=torch.float64, device=states.device)
        for begin in range(0, N, rows):
            some, answers = states[begin : begin + rows], targets[begin : begin + rows, None]
            logits = torch.addmm(bias, some, weight.t())
            logits -= logits.amax(dim=1, keepdim=True)
            chosen = logits.gather(1, answers)
            logits.exp_()
            sums = logits.sum(dim=1, keepdim=True)
            total += (sums.log() - chosen).sum(dtype=torch.float64)
            if wanted:
                logits /= sums * N  # now the gradient: (p - [target]) / N
                logits.scatter_add_(1, answers, logits.new_full(answers.shape, -1.0 / N))
                torch.mm(logits, weight, out=gradients[0][begin : begin + rows])
                gradients[1].addmm_(logits.t(), some)
                gradients[2] += logits.sum(dim=0)
        ctx.save_for_backward(*gradients)
        return (total / N).to(states.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found = [
            one * gradient if wanted else None
            for one, wanted in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        ]
        return (*found, None, None)


def _sampled_loss(
    states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, classes: Tensor, chance: Tensor
) -> Tensor:
    """Mean over N of ``-log(e^t / (e^t + sum over sampled j but the target of e^j / chance_j))``."""
    own = (states * weight[targets]).sum(dim=1) + bias[targets]
    others = functional.linear(states, weight[classes], bias[classes] - chance.log().to(bias.dtype))
    others = others.masked_fill(classes == targets[:, None], -math.inf)
    every = torch.cat([own[:, None], others], dim=1)
    return (torch.logsumexp(every, dim=1) - own).mean()
