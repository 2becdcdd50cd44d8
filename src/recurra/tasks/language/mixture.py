"""A mixture of a recurrent network and the n-grams of its training texts, with shares fitted on other texts.

``p(w) = share * p_network(w) + (1 - share) * p_ngrams(w)``, where the share depends on how many of the
preceding tokens the n-grams know (Jelinek & Mercer 1980, "Interpolated estimation of Markov source parameters
from sparse data"; a recurrent network in place of the lower order: Mikolov et al. 2010).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import BundleError
from recurra.tasks.language.baseline import NgramModel

__all__ = ["Mixture", "fit_mixture"]

_LEAST_GAIN = 0.001
"""Nats per validation token below which the n-grams are left out."""
_PRIOR = 100
"""Tokens with the share of all tokens that are added to those of each length of context."""
_ROUNDS = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """The n-grams that answer beside the network.

    Attributes:
        ngrams: the n-gram model.
        shares: the share of the network, of shape (order,): where the n-grams know none of the preceding
            tokens, one, ... all of them.
        share: the mean share of the network over the validation tokens.
    """

    ngrams: NgramModel
    shares: tuple[float, ...]
    share: float

    def mixed(self, network: NDArray[np.floating], tokens: NDArray[np.integer]) -> NDArray[np.float32]:
        """Returns the log-probabilities (N,) of the tokens of a stream (N + 1,) but the first.

        Args:
            network: those of the network, (N,).
            tokens: the stream; each text begins with the start token.
        """
        log_p, known = self.ngrams.scored(tokens)
        return _mixed(np.asarray(network, np.float64), log_p, np.array(self.shares)[known]).astype(np.float32)

    def following(self, network: NDArray[np.floating], tokens: NDArray[np.integer]) -> NDArray[np.float32]:
        """Returns the log-probability (V,) of each next token after the tokens (T,) of a text.

        Args:
            network: those of the network, (V,).
            tokens: the last ones at least, as many as the order.
        """
        p, known = self.ngrams.following(tokens)
        with np.errstate(divide="ignore"):  # padding has the probability 0
            found = _mixed(np.asarray(network, np.float64), np.log(p), self.shares[known])
        return found.astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """Returns the order and the shares as JSON values."""
        return {"order": self.ngrams.order, "shares": list(self.shares), "share": self.share}

    def to_json(self) -> str:
        """Returns what `state` lacks, for a file."""
        return json.dumps(self.as_json())

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays of the n-grams."""
        return self.ngrams.state()

    @classmethod
    def read(cls, text: str, arrays: Mapping[str, NDArray[Any]], vocab_size: int, end: int) -> Mixture:
        """Returns what `to_json` and `state` wrote, for a tokenizer.

        Raises:
            BundleError: a file is damaged.
        """
        try:
            fields = json.loads(text)
            shares = tuple(float(value) for value in fields["shares"])
            order, share = int(fields["order"]), float(fields["share"])
            sound = all(0 < value < 1 for value in shares) and 0 <= share <= 1 and len(shares) == order >= 2
            if not sound:
                raise ValueError("shares are out of their range")
            return cls(NgramModel.from_state(order, vocab_size, end, arrays), shares, share)
        except (ValueError, TypeError, KeyError) as error:
            raise BundleError(f"the n-grams are damaged: {error}") from error


def fit_mixture(
    ngrams: NgramModel, network: NDArray[np.floating], tokens: NDArray[np.integer]
) -> Mixture | None:
    """Returns the mixture with the greatest likelihood of a stream; None if the n-grams add next to nothing.

    Args:
        ngrams: fitted on other texts than these.
        network: the network's log-probabilities (N,) of all tokens but the first.
        tokens: the stream (N + 1,).
    """
    log_p, known = ngrams.scored(tokens)
    own = np.asarray(network, np.float64)
    # of the likelihood ratio alone; a ratio of e^50 is as good as any larger one
    ratio = np.exp(np.clip(log_p - own, -50, 50))
    every = _share(ratio, 0.5, 0)
    shares = np.array([_share(ratio[known == n], every, _PRIOR) for n in range(ngrams.order)])
    mixed = _mixed(own, log_p, shares[known])
    if mixed.mean() - own.mean() < _LEAST_GAIN:
        return None
    return Mixture(ngrams, tuple(shares.tolist()), float(shares[known].mean()))


def _mixed(network: Floats, ngrams: Floats, share: Floats | float) -> Floats:
    with np.errstate(divide="ignore"):
        found: Floats = np.logaddexp(np.log(share) + network, np.log1p(-np.asarray(share)) + ngrams)
    return found


def _share(ratio: Floats, start: float, prior: int) -> float:
    """The share with the greatest likelihood by expectation-maximisation (Dempster et al. 1977).

    Args:
        ratio: of the probability of each token by the n-grams to that by the network.
        start: the first share, and that of the prior.
        prior: tokens with this share that are added.
    """
    share, count = start, len(ratio) + prior
    if not count:
        return start
    for _ in range(_ROUNDS):
        by_network = share / (share + (1 - share) * ratio)
        found = (float(by_network.sum()) + prior * start) / count
        found = min(max(found, 1e-6), 1 - 1e-6)
        if abs(found - share) < 1e-6:
            return found
        share = found
    return share
