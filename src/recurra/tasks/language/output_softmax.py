"""Output layers of a language model: full, sampled and adaptive softmax.

Dimensions: ``N`` positions, ``F`` features of a state, ``V`` entries of the vocabulary. Padding is never
predicted, so there are ``V - 1`` classes, and class ``c`` is token ``c + 1``.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from recurra.generators import generator
from recurra.layers import Embedding
from recurra.precision import autocast_dtype, without_autocast

__all__ = ["AdaptiveSoftmax", "Output", "Proposal", "Softmax"]

Proposal = Literal["log_uniform", "uniform"]

_CHUNK = 1 << 21
"""Logits in memory at once, 8 MB: 700 positions of 10,000 words take 80 ms this way, 90 ms in one chunk."""


class Output(nn.Module):
    """Base class: a mean loss for training, and exact probabilities for prediction."""

    kind = "softmax"
    """Name in summaries of a network."""

    def __init__(self, features: int, vocab_size: int) -> None:
        super().__init__()
        self.features = features
        self.classes = vocab_size - 1

    def loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean negative log-probability in nats of targets (N,), int64, after states (N, F)."""
        raise NotImplementedError

    def expect(self, counts: Tensor) -> None:
        """Initializes the bias from token counts (V,); to learn it would take half an epoch."""

    def log_probability(self, states: Tensor, targets: Tensor) -> Tensor:
        """Returns the log-probability (N,) of each target in nats, with at most 8 MB of logits at once."""
        rows = max(1, _CHUNK // self.classes)
        chunks = zip(torch.split(states, rows), torch.split(targets, rows), strict=True)
        return torch.cat([self._target_log_p(*chunk) for chunk in chunks])

    def log_probabilities(self, states: Tensor) -> Tensor:
        """Returns the log-probability of every token, of shape (N, V); minus infinity for padding."""
        return functional.pad(self._log_p(states), (1, 0), value=-math.inf)

    def _log_p(self, states: Tensor) -> Tensor:
        """Returns the log-probability of each class, of shape (N, V - 1)."""
        raise NotImplementedError

    def _target_log_p(self, states: Tensor, targets: Tensor) -> Tensor:
        return self._log_p(states).gather(1, targets[:, None] - 1).squeeze(1)


class Softmax(Output):
    """``softmax(W s + b)`` over all tokens, with training over all tokens or over a sample.

    With ``tied``, the weights ``W`` are those of the embedding (Press & Wolf 2017); if its size is not ``F``,
    the states are projected first, without bias.

    With sampling, the sum over all tokens in the loss is estimated from ``samples`` draws, one set for all
    positions: the term of the target is added as it is, and that of another token ``j`` in the set is divided
    by the probability ``1 - (1 - q_j)^samples`` that it is in the set. This estimate of the sum is unbiased
    (Horvitz-Thompson), its logarithm nearly so (Bengio & Senecal 2008; Jean et al. 2015, equation 9).

    Args:
        features: ``F``.
        vocab_size: ``V``.
        tied: the embedding to share weights with; if None, the layer has its own weights.
        samples: number of draws per step; if None, or not below the number of tokens, all tokens are used.
        proposal: ``log_uniform`` draws class ``c`` with probability ``log((c + 2) / (c + 1)) / log(V)``, for
            a vocabulary sorted by frequency (Zipf); ``uniform`` draws all classes with the same probability.
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
        # In a tuple, so that it is not registered as a submodule: its weights are saved and listed once.
        self._tied: tuple[Embedding, ...] = () if tied is None else (tied,)
        self.projection: nn.Linear | None = None
        if tied is None:
            self.weight: nn.Parameter | None = nn.Parameter(torch.empty(self.classes, features))
            nn.init.xavier_uniform_(self.weight)
        else:
            self.kind = "tied softmax"
            self.register_parameter("weight", None)
            if tied.embedding_dim != features:
                self.projection = nn.Linear(features, tied.embedding_dim, bias=False)
                nn.init.xavier_uniform_(self.projection.weight)
        self.bias = nn.Parameter(torch.zeros(self.classes))

    def loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Output`; with sampling, an estimate in training mode."""
        states = self._projected(states)
        if self.samples is None or not self.training:
            return _CrossEntropy.apply(  # type: ignore[no-untyped-call, no-any-return]
                states, self._weight(), self.bias, targets - 1, max(1, _CHUNK // self.classes)
            )
        classes, inclusion = self.draw(states.device)
        return self._sampled_loss(states, targets - 1, classes, inclusion)

    def expect(self, counts: Tensor) -> None:
        """Sets the bias to the logarithm of the relative frequencies, with add-one smoothing."""
        smoothed = counts[1:].double() + 1
        with torch.no_grad():
            self.bias.copy_((smoothed / smoothed.sum()).log())

    def draw(self, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Draws classes with replacement by the training's generator, and removes duplicates.

        Returns:
            The classes (S,), int64, sorted, and the probability of each to be in a sample.
        """
        count = self.samples or self.classes
        device = torch.device("cpu") if device is None else device
        uniform = torch.rand(count, device=device, dtype=torch.float32, generator=generator(device))
        if self.proposal == "uniform":
            drawn = (uniform * self.classes).long()
        else:
            drawn = torch.expm1(uniform * math.log(self.classes + 1)).long()
        classes = torch.unique(drawn.clamp_(max=self.classes - 1))
        if self.proposal == "uniform":
            proposal = torch.full((len(classes),), 1.0 / self.classes, device=device, dtype=torch.float64)
        else:
            proposal = torch.log1p(1.0 / (classes.double() + 1)) / math.log(self.classes + 1)
        return classes, -torch.expm1(count * torch.log1p(-proposal))

    def extra_repr(self) -> str:
        """Returns the settings for ``print(model)``."""
        tied = ", tied" if self._tied else ""
        samples = f", samples={self.samples}" if self.samples else ""
        return f"{self.features}, {self.classes}{tied}{samples}"

    def _weight(self) -> Tensor:
        return self._tied[0].weight[1:] if self.weight is None else self.weight

    def _projected(self, states: Tensor) -> Tensor:
        # under autocast the product is rounded, the dtype of states stays
        return states if self.projection is None else self.projection(states).to(states.dtype)

    def _sampled_loss(self, states: Tensor, targets: Tensor, classes: Tensor, inclusion: Tensor) -> Tensor:
        """Returns the mean of ``-log(e^t / (e^t + sum of e^j / inclusion_j))``, over sampled j != t."""
        # One lookup of all rows, in the table itself. To index it twice, without its first row, takes 32 ms
        # instead of 19 for 1,120 states of 400 features and 10,000 words.
        rows = torch.cat([targets, classes])
        if self.weight is None:
            found = functional.embedding(rows + 1, self._tied[0].weight)
        else:
            found = functional.embedding(rows, self.weight)
        of_targets, of_classes = found[: len(targets)], found[len(targets) :]
        bias = self.bias[classes] - inclusion.log().to(self.bias.dtype)
        target_logits = (states * of_targets).sum(dim=1) + self.bias[targets]
        others = functional.linear(states, of_classes, bias)
        others = others.masked_fill(classes == targets[:, None], -math.inf)
        logits = torch.cat([target_logits[:, None], others], dim=1)
        loss: Tensor = (torch.logsumexp(logits, dim=1) - target_logits).mean()
        return loss

    def _log_p(self, states: Tensor) -> Tensor:
        logits = functional.linear(self._projected(states), self._weight(), self.bias)
        return functional.log_softmax(logits, dim=1)


class AdaptiveSoftmax(Output):
    """Softmax over clusters of tokens by frequency, with fewer features for rare ones (Grave et al. 2017).

    Uses ``torch.nn.AdaptiveLogSoftmaxWithLoss``, which is exact in training too. Token ids must be sorted by
    frequency.

    Args:
        features: ``F``.
        vocab_size: ``V``, 3 or more.
        cutoffs: ranks at which clusters end; if None, a tenth and half of the vocabulary.

    Raises:
        ValueError: a cutoff is not below the vocabulary size.
    """

    kind = "adaptive softmax"

    def __init__(self, features: int, vocab_size: int, cutoffs: list[int] | None = None) -> None:
        super().__init__(features, vocab_size)
        if cutoffs is None:
            cutoffs = sorted({max(1, self.classes // 10), max(1, self.classes // 2)})
        # The cluster of the rarest tokens keeps at least one feature.
        share = min(4.0, 0.999 * features ** (1 / len(cutoffs)))
        self.clusters = nn.AdaptiveLogSoftmaxWithLoss(features, self.classes, cutoffs, div_value=share)

    def loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """See :class:`Output`."""
        loss: Tensor = self._clusters(states, targets).loss
        return loss

    def _log_p(self, states: Tensor) -> Tensor:
        log_p: Tensor = self.clusters.log_prob(states)
        return log_p

    def _target_log_p(self, states: Tensor, targets: Tensor) -> Tensor:
        log_p: Tensor = self._clusters(states, targets).output
        return log_p

    def _clusters(self, states: Tensor, targets: Tensor) -> Any:
        """Log-probabilities and loss; in float32 under autocast too, as torch's module needs one dtype."""
        with without_autocast(states.device.type):
            return self.clusters(states, targets - 1)


class _CrossEntropy(torch.autograd.Function):
    """Mean cross entropy of ``softmax(W s + b)`` that also computes its gradients in the forward pass.

    Rows are processed in chunks: all logits and their gradients would be twice ``N * V`` numbers. Under
    autocast the factors of products are rounded; logits, softmax and sums over chunks are not.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, rows: int) -> Tensor:
        dtype = autocast_dtype(states.device.type) or weight.dtype
        with without_autocast(states.device.type):
            return _CrossEntropy._forward(ctx, states, weight, bias, targets, rows, dtype)

    @staticmethod
    def _forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, rows: int, dtype: torch.dtype
    ) -> Tensor:
        N = len(targets)
        factor = weight.to(dtype)
        needs_gradient = any(ctx.needs_input_grad[:3])
        gradients: list[Tensor] = []
        if needs_gradient:
            gradients = [torch.zeros_like(states), torch.zeros_like(weight), torch.zeros_like(bias)]
        total = torch.zeros((), dtype=torch.float64, device=states.device)
        for start in range(0, N, rows):
            chunk, classes = states[start : start + rows], targets[start : start + rows, None]
            logits = torch.addmm(bias.to(dtype), chunk.to(dtype), factor.t()).to(bias.dtype)
            logits -= logits.amax(dim=1, keepdim=True)
            target_logits = logits.gather(1, classes)
            logits.exp_()
            sums = logits.sum(dim=1, keepdim=True)
            total += (sums.log() - target_logits).sum(dtype=torch.float64)
            if needs_gradient:
                logits /= sums * N  # becomes the gradient: (p - [target]) / N
                logits.scatter_add_(1, classes, logits.new_full(classes.shape, -1.0 / N))
                _add_product(gradients[0][start : start + rows], logits.to(dtype), factor)
                _add_product(gradients[1], logits.to(dtype).t(), chunk.to(dtype))
                gradients[2] += logits.sum(dim=0)
        ctx.save_for_backward(*gradients)
        return (total / N).to(states.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = [
            saved * gradient if needed else None
            for saved, needed in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        ]
        return (*gradients, None, None)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Adds a product to a matrix, whose dtype it may not have."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total.add_(a @ b)
