"""Vectors of pairs of neighbouring tokens, in a table that is indexed by a hash of the pair.

Dimensions: ``B`` batch, ``T`` time, ``E`` features of a vector.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from recurra.layers.embedding import PADDING, Embedding

__all__ = ["BigramEmbedding", "bigram_ids", "pair_ids"]

# A step of the generator of Park and Miller, of a sum by which both tokens and their order count.
FACTOR, MODULUS = 48_271, 2**31 - 1
FIRST, SECOND = 1_000_003, 7_919


def bigram_ids(tokens: Tensor, rows: int) -> Tensor:
    """Returns the row of each token's pair with the next token, ``(B, T)`` int64 for ids ``(B, T)``.

    Rows run from 1 to ``rows - 1``. It is 0, the row of padding, where there is no next token. Pairs may
    share a row (Joulin et al. 2017).

    Example:
        >>> import torch
        >>> ids = bigram_ids(torch.tensor([[4, 5, 4, 5, 0]]), 1000)
        >>> bool(ids[0, 0] == ids[0, 2] != ids[0, 1]), ids[0, 3:].tolist()
        (True, [0, 0])
    """
    return pair_ids(tokens, functional.pad(tokens[:, 1:], (0, 1), value=PADDING), rows)


def pair_ids(tokens: Tensor, following: Tensor, rows: int) -> Tensor:
    """Returns the row of each pair of a token and the one that follows it, as `bigram_ids` does."""
    hashed = (tokens * FIRST + following * SECOND + 1) % MODULUS * FACTOR % MODULUS % (rows - 1) + 1
    return hashed.masked_fill((tokens == PADDING) | (following == PADDING), PADDING)


class BigramEmbedding(nn.Module):
    """A trainable vector for each pair of neighbouring tokens: ``(B, T)`` ids to ``(B, T, E)`` vectors.

    Initial values and padding are those of `Embedding`; a training step updates the rows of the batch.

    Args:
        rows: rows of the table, 2 or more.
        features: ``E``.

    Example:
        >>> import torch
        >>> pairs = BigramEmbedding(1000, 8)
        >>> pairs(torch.tensor([[5, 999, 7], [3, 0, 0]])).shape
        torch.Size([2, 3, 8])
    """

    def __init__(self, rows: int, features: int) -> None:
        super().__init__()
        self.table = Embedding(rows, features, rows="touched")

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the vectors of the pairs that begin with each token; zeros for the last one of a text."""
        return self.table.lookup(bigram_ids(tokens, self.table.num_embeddings)).dense()
