"""What labels texts without labels: the n-gram model, together with a regression over document vectors.

The n-grams have learned from labelled texts alone. Document vectors are learned from all texts; a regression
over them knows what an n-gram is worth that occurs in no labelled text, beside others that do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recurra.io.examples import Examples
from recurra.layers.evidence import id_hashes
from recurra.tasks.classification.document_vectors import DocumentVectors
from recurra.tasks.classification.evidence import encoded_texts
from recurra.tasks.classification.experts import Combination, fit_combination
from recurra.tasks.classification.ngrams.features import Features
from recurra.tasks.classification.ngrams.keys import passes
from recurra.tasks.classification.soft_regression import log_ratios
from recurra.tasks.reporter import Reporter

__all__ = ["logits_of_texts"]

_C = 3.0
"""Inverse of the penalty of the regression over vectors; from 1 to 10 nothing changes."""
_VISITS = 300_000
"""Least number of texts visited in all passes: of few texts more passes are made, within 100."""
_MOST_PASSES = 100
_LEAST = 5
"""Texts in which an n-gram must occur."""
_LEAST_LABELLED = 3
"""Labelled texts in which an n-gram must occur to be drawn: its ratio is not known otherwise."""


def logits_of_texts(
    examples: Examples,
    labels: NDArray[np.int64],
    valid: Examples,
    valid_rows: NDArray[np.int64],
    valid_labels: NDArray[np.int64],
    ngrams: NDArray[np.floating],
    valid_ngrams: NDArray[np.floating],
    *,
    classes: int,
    vocab_size: int,
    size: int,
    epochs: int,
    seconds: float = math.inf,
    reporter: Reporter,
) -> tuple[NDArray[np.float64], Combination]:
    """Returns the logits of ``M`` texts by n-grams and document vectors, (M, 1) or (M, C), and their weights.

    The weights are fitted on validation rows, on which neither was trained.

    Args:
        examples: the ``n`` labelled training texts, followed by the M texts.
        labels: classes of the labelled ones, of shape (n,).
        valid: examples of the validation rows.
        valid_rows: the validation rows, of shape (v,).
        valid_labels: their classes, of shape (v,).
        ngrams: logits of the n-gram model for the M texts.
        valid_ngrams: logits of the n-gram model for the validation rows.
        classes: ``C``; binary labels have one logit.
        vocab_size: ``V``.
        size: the size of a vector.
        epochs: passes over all texts; of few texts more are made.
        seconds: the time for these passes.
        reporter: receives the progress.
    """
    from sklearn.linear_model import LogisticRegression

    binary, labelled = ngrams.shape[1] == 1, len(labels)
    if len(np.unique(labels)) < 2:  # nothing to tell apart
        return np.asarray(ngrams, np.float64), Combination(0.0, 1.0)
    hashes = id_hashes(vocab_size)
    encoded = encoded_texts(examples, np.arange(len(examples)))
    with reporter.counting("counting n-grams", len(examples) * (passes(encoded) + 1)) as tick:
        known, features = Features.learn(encoded, hashes, _LEAST, tick)
        del encoded
        importance = _importance(features[:labelled], labels, [1] if binary else range(classes))
        kept = np.flatnonzero(importance)
        features = features[:, kept].tocsr()
    epochs = max(epochs, min(_MOST_PASSES, _VISITS // len(examples)))
    with reporter.counting("learning document vectors", epochs * len(examples)) as tick:
        vectors = DocumentVectors.learn(features, importance[kept], size, epochs, tick, seconds)
    words = encoded_texts(valid, valid_rows)
    own = csr_matrix((len(valid_rows), len(kept)), dtype=np.float32)
    if len(valid_rows):
        own = known.matrix(hashes[words.ids], words.lengths)[:, kept].tocsr()
    regression = LogisticRegression(C=_C, max_iter=200).fit(vectors.texts[:labelled], labels)

    def scores(of: NDArray[np.float32]) -> NDArray[np.float64]:
        found = np.zeros((len(of), ngrams.shape[1]))
        if not len(of):
            return found
        values = regression.decision_function(of).reshape(len(of), -1)
        if binary:
            found[:] = values
        else:  # classes without a training row have the lowest score of all
            if values.shape[1] == 1:
                values = np.concatenate([-values, values], 1) / 2
            found[:] = values.min(axis=1, keepdims=True)
            found[:, regression.classes_] = values
        return found

    kind = "binary" if binary else "multiclass"
    fit = fit_combination(scores(vectors.infer(own)), valid_ngrams, valid_labels, kind)
    c = fit.combination
    loss = (
        f" (log loss {fit.losses['both']:.4f}, n-grams alone {fit.losses['ngrams']:.4f})"
        if fit.losses
        else ""
    )
    reporter.note(
        f"texts without labels are labelled by document vectors ({vectors.epochs} passes, weight "
        f"{c.recurrent:.2f}) and n-grams (weight {c.ngrams:.2f}); weights of {len(valid_rows):,} validation "
        f"rows{loss}"
    )
    return c.logits(scores(vectors.texts[labelled:]), ngrams), c


def _importance(
    features: csr_matrix, labels: NDArray[np.int64], columns: range | list[int]
) -> NDArray[np.float64]:
    """Returns the largest absolute log-count ratio of each n-gram, (F,), over the classes."""
    often = np.bincount(features.indices, minlength=features.shape[1]) >= _LEAST_LABELLED
    found = np.zeros(features.shape[1])
    for column in columns:
        np.maximum(found, np.abs(log_ratios(features, (labels == column).astype(np.float64))), out=found)
    return found * often
