"""Adversarial training on word vectors that are moved to where the loss increases most.

Miyato, Dai and Goodfellow, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017.
They move every occurrence of a word by itself. Here the word's row of the table moves, in all texts of the
batch, so that the recurrent layers go on reading the rows in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError
from recurra.layers.network import Network
from recurra.train.touched_rows import coalesced

__all__ = ["Adversary"]


class Adversary:
    """Moves the word vectors of a batch along the gradient of its loss.

    With the gradient ``G`` of the rows ``W`` that a batch reads, ``W`` becomes ``W + size |W| G / |G|``, with
    norms over all these rows together. In an ensemble the vectors of each member move by themselves.

    Args:
        model: a network with a trained ``embedding``, or with ``members()`` that have one each.
        size: the size of the move, as a share of the norm of the rows.

    Raises:
        ConfigError: the network has no embedding.

    Example:
        >>> model = nn.Module()
        >>> model.embedding = nn.Embedding.from_pretrained(torch.eye(2), freeze=False)
        >>> model.embedding(torch.tensor([1])).sum().backward()
        >>> with Adversary(model, 0.5).in_place():
        ...     model.embedding.weight.detach().round(decimals=3).tolist()
        [[1.0, 0.0], [0.3540000021457672, 1.3539999723434448]]
        >>> model.embedding.weight.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, model: nn.Module, size: float) -> None:
        members = model.members() if isinstance(model, Network) else [model]
        self._tables: list[Tensor] = []
        for member in members:
            embedding = getattr(member, "embedding", None)
            if not isinstance(embedding, nn.Embedding):
                raise ConfigError("this network has no word vectors to perturb", where="train.adversarial")
            self._tables.append(embedding.weight)
        self._size = size

    @contextmanager
    def in_place(self) -> Iterator[bool]:
        """Context in which the rows with a gradient are moved; afterwards they are what they were.

        Yields:
            Whether any are: not without a gradient, or if it is zero or not finite.
        """
        with ExitStack() as moved:
            which = [moved.enter_context(self._moved(table)) for table in self._tables]
            yield any(which)

    @contextmanager
    def _moved(self, table: Tensor) -> Iterator[bool]:
        """Does for one table what `in_place` does."""
        gradient = table.grad
        if gradient is None:
            yield False
            return
        if gradient.is_sparse:
            gradient = coalesced(gradient)
            rows, values = gradient.indices()[0], gradient.values()
        else:
            rows = gradient.ne(0).any(1).nonzero()[:, 0]
            values = gradient.index_select(0, rows)
        before = table.detach().index_select(0, rows)
        length = float(torch.linalg.vector_norm(values))
        factor = self._size * float(torch.linalg.vector_norm(before)) / length if length > 0 else 0.0
        if not 0 < factor < float("inf"):
            yield False
            return
        with torch.no_grad():
            table.index_copy_(0, rows, before.add(values, alpha=factor))
        try:
            yield True
        finally:
            with torch.no_grad():
                table.index_copy_(0, rows, before)
