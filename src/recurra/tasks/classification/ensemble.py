"""Several classifiers that are trained side by side on the same batches, whose logits are averaged.

They differ by their initial weights and by what dropout leaves out. The mean of several networks has the
same expected loss on training rows and a lower one on other rows, since the errors of single networks differ.

Sources: Hansen and Salamon, "Neural Network Ensembles", IEEE PAMI 12 (1990); Lakshminarayanan, Pritzel and
Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurra.config import ModelConfig
from recurra.layers import TrainedRows
from recurra.layers.network import LayerInfo, Network
from recurra.tasks.classification.network import Classifier

__all__ = ["Ensemble", "loss_of_members"]


class Ensemble(Classifier):
    """``model.members`` classifiers; this one is the first, whose evidence all of them read.

    In training mode the logits are those of each member, (K, B, C), for `loss_of_members`; in evaluation mode
    their mean, (B, C). The arguments are those of `Classifier`.

    Example:
        >>> model = Ensemble(ModelConfig(units=4, embedding=2, members=3), 10, 2, "binary")
        >>> ids, lengths = torch.tensor([[3, 4, 0]]), torch.tensor([2])
        >>> model(ids, lengths).shape, model.eval()(ids, lengths).shape
        (torch.Size([3, 1, 1]), torch.Size([1, 1]))
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
        super().__init__(config, vocab_size, classes, label_kind, embedding_rows=embedding_rows)
        self.others = nn.ModuleList(
            Classifier(
                config, vocab_size, classes, label_kind, embedding_rows=embedding_rows, own_evidence=False
            )
            for _ in range(config.members - 1)
        )

    def members(self) -> list[Network]:
        """Returns the members, this one first."""
        return [self, *self._others()]

    def _others(self) -> list[Classifier]:
        return [other for other in self.others if isinstance(other, Classifier)]

    def expect(self, shares: NDArray[np.float64]) -> None:
        """Does what `Classifier.expect` does, for each member."""
        super().expect(shares)
        for other in self._others():
            other.expect(shares)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Returns the weights of each layer, of all members together."""
        groups = [super().layer_groups(), *(other.layer_groups() for other in self._others())]
        return [[weight for part in layer for weight in part] for layer in zip(*groups, strict=True)]

    def layer_info(self) -> list[LayerInfo]:
        """Returns the layers of the first member, then the others as one row."""
        weights = [weight for other in self._others() for weight in other.parameters()]
        more = LayerInfo("others", f"{len(self.others)} more such networks", (None, self.head.out_features))
        return [*super().layer_info(), LayerInfo(more.name, more.layer, more.shape, weights)]

    def forward(self, tokens: Tensor, lengths: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Returns logits for tokens (B, T), int64, padded at the end, and lengths (B,).

        They are the mean of the members', (B, C), or in training mode those of each, (K, B, C). ``evidence``
        is that of `vectors`.
        """
        if self.evidence is not None and evidence is None:
            evidence = self.evidence(tokens)
        first = super().forward(tokens, lengths, evidence)
        each = torch.stack([first, *(other(tokens, lengths, evidence) for other in self.others)])
        return each if self.training else each.mean(0)


def loss_of_members(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns the mean of ``loss`` over the members of an ensemble; of one network, ``loss`` itself.

    Args:
        loss: a function of logits (B, C) and others.

    Example:
        >>> squares = loss_of_members(lambda logits: logits.square().mean())
        >>> squares(torch.tensor([[2.0]])), squares(torch.tensor([[[2.0]], [[0.0]]]))
        (tensor(4.), tensor(2.))
    """

    def mean(logits: Tensor, *others: Any) -> Tensor:
        if logits.dim() == 2:
            return loss(logits, *others)
        return torch.stack([loss(each, *others) for each in logits]).mean()

    return mean
