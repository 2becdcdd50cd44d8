"""The combination of two experts, a recurrent network and an n-gram model, fitted on validation rows.

The logits of both are added with weights that are not negative; neither expert was trained on the rows that
the weights are fitted on. Binary and multi-label: ``z = a * recurrent + b * ngrams + c`` and a sigmoid;
multi-class: ``z = a * recurrent + b * ngrams`` and a softmax. This is stacking with a linear second level,
which calibrates too (docs/decisions/0030-experts.md).

Sources: Wolpert, "Stacked Generalization", Neural Networks 5 (1992); Breiman, "Stacked Regressions", Machine
Learning 24 (1996), for the weights of 0 or more; Genest and Zidek, "Combining Probability Distributions",
Statistical Science 1 (1986), for the logarithmic pool that multi-class is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

__all__ = [
    "Combination", "CrossFit", "Fit", "Share", "cross_fit", "fit_combination", "share_of_network",
]  # fmt: skip

Floats = NDArray[np.float64]
_FOLDS = 5
_CELLS = 400_000
"""Logits of an expert that the weights, two or three numbers, are fitted on at most."""
_PENALTY = 4.0
"""Weight of the squared distance of the parameters from a plain average, in rows: about what 4 rows say."""
_LEAST_SHARE = 0.01
"""An expert with a smaller share is left out: it hardly ever changes an answer, and costs its time."""
_LEAST_ALONE = 0.05
"""Least weight of an expert alone: its temperature is at most 20, as that of a network alone."""
_USED = {"both": (True, True), "ngrams": (False, True), "recurrent": (True, False)}


@dataclass(frozen=True)
class Combination:
    """The weights of two experts.

    Attributes:
        recurrent: the weight ``a`` of the network's logits; 0 if the network is not used.
        ngrams: the weight ``b`` of the n-grams' logits; 0 if they are not used.
        intercept: ``c``; 0 for multi-class, and where only one expert is used.
        offsets: added to the n-grams' logits, of shape (C,) or (1,): the logarithms of the class weights of
            the training loss, which the n-grams are trained without; empty for none.

    Example:
        >>> both = Combination(recurrent=0.5, ngrams=1.0, intercept=-0.25)
        >>> both.logits(np.array([[2.0]]), np.array([[-1.0]])).tolist()
        [[-0.25]]
    """

    recurrent: float
    ngrams: float
    intercept: float = 0.0
    offsets: tuple[float, ...] = ()

    def logits(self, recurrent: NDArray[Any] | None, ngrams: NDArray[Any] | None) -> Floats:
        """Returns the combined logits, of shape (N, C) as those of the experts.

        Args:
            recurrent: logits of the network; may be None if its weight is 0.
            ngrams: logits of the n-gram model; may be None if their weight is 0.
        """
        total: Any = self.intercept
        if self.recurrent and recurrent is not None:
            total = total + self.recurrent * np.asarray(recurrent, np.float64)
        if self.ngrams and ngrams is not None:
            total = total + self.ngrams * self.shifted(ngrams)
        return np.asarray(total, np.float64)

    def shifted(self, ngrams: NDArray[Any]) -> Floats:
        """Returns the n-grams' logits with the ``offsets``."""
        wide = np.asarray(ngrams, np.float64)
        return wide + np.array(self.offsets) if self.offsets else wide


@dataclass(frozen=True)
class CrossFit:
    """Weights fitted on all rows but those of one fold, for each fold.

    Attributes:
        folds: the combination for the rows of each fold, fitted without them.
        fold_of: the fold of each row, of shape (N,).
    """

    folds: Sequence[Combination]
    fold_of: NDArray[np.int64]

    def logits(self, recurrent: NDArray[Any], ngrams: NDArray[Any]) -> Floats:
        """Returns the combined logits (N, C), those of each row by weights that it had no part in."""
        combined = np.empty(ngrams.shape)
        for fold, combination in enumerate(self.folds):
            rows = self.fold_of == fold
            combined[rows] = combination.logits(recurrent[rows], ngrams[rows])
        return combined


@dataclass(frozen=True)
class Fit:
    """The fitted combination.

    Attributes:
        combination: the weights.
        chosen: ``both``, ``ngrams`` or ``recurrent``: the experts with a weight above 0.
        losses: cross-fitted log loss of each of these three.
    """

    combination: Combination
    chosen: str
    losses: dict[str, float]


def fit_combination(
    recurrent: NDArray[Any],
    ngrams: NDArray[Any],
    labels: NDArray[Any],
    label_kind: str,
    class_weights: NDArray[Any] | None = None,
) -> Fit:
    """Returns the combination of the smallest log loss on rows that neither expert was trained on.

    The parameters minimize the sum of the rows' log losses plus 2 times the squared distance of ``(a, b, c)``
    from ``(1/2, 1/2, 0)``: with few rows, they stay near the plain average of both logits; with hundreds, the
    penalty does not matter. An expert gets the weight 0 if the other one alone has a cross-fitted log loss
    (5 folds) as small as both together, or if its share (see `share_of_network`) is below 1%; the other one
    then has a weight alone, near 1 with few rows. The order of the rows does not matter.

    Args:
        recurrent: logits of the network, of shape (N, C), or (N, 1) for binary.
        ngrams: logits of the n-grams, of the same shape.
        labels: class indices of shape (N,), or 0 and 1 of shape (N, C) for multi-label.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        class_weights: weights of the classes in the training loss, of shape (C,) (binary: 2), as in
            `classification_loss`; they count in the log loss here, and are added to the n-grams' logits.

    Example:
        >>> y = np.arange(200) % 2
        >>> good, useless = np.where(y, 2.0, -2.0)[:, None], np.sin(np.arange(200.0))[:, None]
        >>> good[:20] *= -1
        >>> fit = fit_combination(useless, good, y, "binary")
        >>> fit.chosen, fit.combination.recurrent, round(fit.combination.ngrams, 1)
        ('ngrams', 0.0, 1.1)
    """
    rows = _Rows.of(recurrent, ngrams, labels, label_kind, class_weights)
    fitted = {name: rows.fit(used) for name, used in _USED.items()}
    if len(rows.recurrent) < 2:
        return Fit(fitted["both"], "both", {})
    losses = {name: rows.cross_fitted_loss(fitted[name]) for name in _USED}
    chosen = min(("ngrams", "recurrent", "both"), key=lambda name: losses[name])
    if chosen == "both":
        share = share_of_network(fitted["both"], rows.recurrent, rows.ngrams).value
        if not fitted["both"].recurrent and not fitted["both"].ngrams:  # both are useless
            share = 0.0
        if share < _LEAST_SHARE:
            chosen = "ngrams"
        elif share > 1 - _LEAST_SHARE:
            chosen = "recurrent"
    return Fit(fitted[chosen], chosen, losses)


def cross_fit(
    combination: Combination,
    recurrent: NDArray[Any],
    ngrams: NDArray[Any],
    labels: NDArray[Any],
    label_kind: str,
) -> CrossFit:
    """Returns a combination of the same experts for each of 5 folds of the rows, fitted on the others.

    The logits that it gives for these rows are those of rows that had no part in the fit, as the rows of a
    test file have none. Arguments are those of `fit_combination`, after its result.
    """
    class_weights = None
    if combination.offsets:
        class_weights = np.exp([0.0] * (label_kind == "binary") + [*combination.offsets])
    rows = _Rows.of(recurrent, ngrams, labels, label_kind, class_weights)
    fold_of = np.arange(len(recurrent)) % _FOLDS
    fold_of[rows.order] = rows.folds
    return CrossFit(rows.fit_folds(combination), fold_of)


class Share(NamedTuple):
    """The share of an expert, with its 95% interval."""

    value: float
    low: float
    high: float


def share_of_network(combination: Combination, recurrent: NDArray[Any], ngrams: NDArray[Any]) -> Share:
    """Returns the share of the network in the variance of the combined log-odds; the n-grams have the rest.

    Of a sum ``z = u + v``, the share of ``u`` is ``cov(u, z) / var(z)``. ``u`` and ``v`` are the weighted
    logits of the experts; those of multi-class have the mean over the classes subtracted, and variances and
    covariances are added up over the classes. The share is below 0 for an expert that mostly opposes the
    other one. The interval is that of a ratio of two means over the rows (delta method); the weights are
    taken as they are.

    Example:
        >>> z = np.array([[1.0], [-1.0]])
        >>> share_of_network(Combination(recurrent=1.0, ngrams=3.0), z, z).value
        0.25
    """
    if not (combination.recurrent and combination.ngrams):
        return Share(*[float(combination.recurrent > 0)] * 3)
    part = _centred(combination.recurrent * np.asarray(recurrent, np.float64))
    total = part + _centred(combination.ngrams * np.asarray(ngrams, np.float64))
    products, squares = (part * total).sum(axis=1), (total * total).sum(axis=1)
    variance = float(squares.sum())
    if variance == 0:
        return Share(0.5, 0.5, 0.5)
    share = float(products.sum()) / variance
    reach = 1.96 * float(np.sqrt(((products - share * squares) ** 2).sum())) / variance
    return Share(share, share - reach, share + reach)


def _centred(logits: Floats) -> Floats:
    if logits.shape[1] > 1:
        logits = logits - logits.mean(axis=1, keepdims=True)
    return np.asarray(logits - logits.mean(axis=0))


@dataclass(frozen=True)
class _Rows:
    """The rows of a fit, sorted by label and logits, so that the order in which they come does not matter.

    Attributes:
        recurrent, ngrams: logits of shape (n, C); those of the n-grams with the ``offsets``.
        truth: class indices of shape (n,) for multi-class, else 0 and 1 of shape (n, C).
        weights: weights of the rows of shape (n, 1); for multi-label, of the positive terms, (1, C).
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        offsets: as in `Combination`.
        order: the index of each row among those given; with very many logits, some are left out.
    """

    recurrent: Floats
    ngrams: Floats
    truth: NDArray[Any]
    weights: Floats
    label_kind: str
    offsets: tuple[float, ...]
    order: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        recurrent: NDArray[Any],
        ngrams: NDArray[Any],
        labels: NDArray[Any],
        label_kind: str,
        class_weights: NDArray[Any] | None,
    ) -> _Rows:
        """Returns the rows of `fit_combination`."""
        labels, (count, width) = np.asarray(labels), np.shape(recurrent)
        random = np.random.default_rng(0).normal(size=(2, width))
        # One number for all logits of a row, summed row by row: equal wherever the row stands.
        keys = np.einsum("nc,c->n", recurrent, random[0]) + np.einsum("nc,c->n", ngrams, random[1])
        order = np.lexsort((keys, labels) if labels.ndim == 1 else (keys,))
        if count * width > _CELLS:
            order = order[np.linspace(0, count - 1, max(2, _CELLS // width)).astype(np.int64)]
        truth = labels[order].astype(np.int64)
        offsets: tuple[float, ...] = ()
        weights = np.ones((1, 1))
        if class_weights is not None:
            chosen = np.asarray(class_weights, np.float64)
            logs = np.log(chosen)
            offsets = tuple((logs[1:] - logs[:1] if label_kind == "binary" else logs).tolist())
            weights = chosen[None, :] if label_kind == "multilabel" else chosen[truth][:, None]
        return cls(
            recurrent=np.asarray(recurrent[order], np.float64),
            ngrams=Combination(0, 1, offsets=offsets).shifted(ngrams[order]),
            truth=truth if label_kind == "multiclass" else truth.reshape(-1, width),
            weights=weights,
            label_kind=label_kind,
            offsets=offsets,
            order=order,
        )

    @property
    def folds(self) -> NDArray[np.int64]:
        """The fold of each row: as the rows are sorted, each fold has its share of every class."""
        return np.arange(len(self.truth)) % _FOLDS

    def only(self, chosen: NDArray[np.bool_]) -> _Rows:
        """Returns the chosen rows."""
        weights = self.weights[chosen] if len(self.weights) == len(chosen) > 1 else self.weights
        parts = {name: getattr(self, name)[chosen] for name in ("recurrent", "ngrams", "truth", "order")}
        return replace(self, **parts, weights=weights)

    def fit(self, used: tuple[bool, bool], start: Combination | None = None) -> Combination:
        """Returns the weights of the smallest penalized loss, with 0 for an expert that is not used."""
        from scipy.optimize import minimize

        both, free = all(used), [*used, all(used) and self.label_kind != "multiclass"]
        least = 0.0 if both else _LEAST_ALONE
        centre = np.array([0.5, 0.5, 0.0]) if both else np.array([*used, 0.0])
        first = centre if start is None else np.array([start.recurrent, start.ngrams, start.intercept])
        rows = max(1, len(self.truth))

        def objective(parameters: Floats) -> tuple[float, Floats]:
            a, b, c = parameters
            loss, slopes = self._loss(a * self.recurrent + b * self.ngrams + c)
            gradient = [(slopes * self.recurrent).sum(), (slopes * self.ngrams).sum(), slopes.sum()]
            away = parameters - centre
            total = loss.sum() + _PENALTY / 2 * away @ away
            return total / rows, np.where(free, np.array(gradient) + _PENALTY * away, 0.0) / rows

        found = minimize(
            objective,
            first,
            jac=True,
            method="L-BFGS-B",
            bounds=[*((least, None) if use else (0, 0) for use in used), (None, None)],
            options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 200},
        )
        recurrent, ngrams, intercept = map(float, found.x)
        return Combination(recurrent, ngrams, intercept, self.offsets)

    def fit_folds(self, start: Combination) -> list[Combination]:
        """Returns for each fold the weights fitted on the others, of the experts that ``start`` uses."""
        used = start.recurrent > 0, start.ngrams > 0
        return [
            self.only(self.folds != fold).fit(used, start) for fold in range(min(_FOLDS, len(self.truth)))
        ]

    def cross_fitted_loss(self, start: Combination) -> float:
        """Returns the mean log loss of all rows, each by weights fitted without it."""
        total = 0.0
        for fold, c in enumerate(self.fit_folds(start)):
            rows = self.only(self.folds == fold)
            scores = c.recurrent * rows.recurrent + c.ngrams * rows.ngrams + c.intercept
            total += float(rows._loss(scores)[0].sum())
        return total / len(self.truth)

    def _loss(self, scores: Floats) -> tuple[Floats, Floats]:
        """Returns the weighted losses, and their derivatives by the ``scores`` (n, C)."""
        if self.label_kind == "multiclass":
            logs = log_softmax(scores, axis=1)
            rows = np.arange(len(scores))
            slopes = np.exp(logs)
            slopes[rows, self.truth] -= 1
            return -logs[rows, self.truth] * self.weights[:, 0], slopes * self.weights
        if self.label_kind == "binary":
            loss = np.logaddexp(0, scores) - self.truth * scores
            return loss * self.weights, (expit(scores) - self.truth) * self.weights
        positive = self.weights * self.truth
        negative = 1 - self.truth
        loss = positive * np.logaddexp(0, -scores) + negative * np.logaddexp(0, scores)
        return loss, negative * expit(scores) - positive * expit(-scores)
