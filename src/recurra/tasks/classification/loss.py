"""The loss of each kind of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recurra.errors import ConfigError

__all__ = ["classification_loss"]


def classification_loss(
    label_kind: str, class_weights: Sequence[float] | NDArray[Any] | Tensor | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean loss of a batch as a function of logits and labels.

    Args:
        label_kind: ``"binary"``: cross entropy of one logit ``(B, 1)`` and labels ``(B,)`` of 0 and 1;
            ``"multiclass"``: cross entropy of ``(B, C)`` logits and ``(B,)`` classes;
            ``"multilabel"``: mean of C binary cross entropies of ``(B, C)`` logits and labels of 0 and 1.
        class_weights: ``(C,)`` (binary: 2). An example's loss is multiplied by the weight of its class and
            the mean is over the number of examples, as in Keras (torch divides by the sum of weights).
            Multi-label: the weight of a class multiplies its positive term.

    Raises:
        ConfigError: an unknown kind of labels.
    """
    weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)

    def binary(logits: Tensor, labels: Tensor) -> Tensor:
        each = None if weights is None else weights.to(logits)[labels.long()]
        return functional.binary_cross_entropy_with_logits(logits.squeeze(1), labels.to(logits.dtype), each)

    def multiclass(logits: Tensor, labels: Tensor) -> Tensor:
        losses = functional.cross_entropy(logits, labels, reduction="none")
        return (losses if weights is None else losses * weights.to(logits)[labels]).mean()

    def multilabel(logits: Tensor, labels: Tensor) -> Tensor:
        positive = None if weights is None else weights.to(logits)
        return functional.binary_cross_entropy_with_logits(
            logits, labels.to(logits.dtype), pos_weight=positive
        )

    losses = {"binary": binary, "multiclass": multiclass, "multilabel": multilabel}
    if label_kind not in losses:
        raise ConfigError(f"there is no kind of labels {label_kind!r}", hint=f"there are {', '.join(losses)}")
    return losses[label_kind]
