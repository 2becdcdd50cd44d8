"""The evidence of n-grams that a network reads: linear models over token ids, cross-fitted on training rows.

A row of the training part gets the weights of a model that was not trained on its fold. If it got those of a
model that was, the network would learn to trust n-grams of the training texts that say nothing about others.
Rows that were not trained on get the weights of a model of all training rows.

This is stacking (Wolpert, "Stacked Generalization", Neural Networks 5, 1992) within the text: the second
level, a recurrent network, reads the first level's evidence word by word and not its sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from recurra.errors import DataError
from recurra.io.batcher import Batch
from recurra.io.cache import cache_folder, content_key, replacing_cached
from recurra.io.examples import Examples
from recurra.io.usage import mark_used
from recurra.layers.evidence import LONGEST, NgramEvidence, id_hashes
from recurra.tasks.classification.ngrams.features import Features
from recurra.tasks.classification.ngrams.keys import blocks, ngram_keys, passes
from recurra.tasks.classification.ngrams.regression import Regressions, passes_of
from recurra.tasks.classification.ngrams.words import Encoded
from recurra.tasks.classification.soft_regression import fit_soft
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.texts import Part
from recurra.train.objective import StatelessLoss, supervised

__all__ = ["CLASSES", "Evidence", "cached_evidence", "encoded_texts", "fit_evidence", "with_evidence"]

CLASSES = 20
"""Classes up to which the network reads evidence: there are three features and five models of each."""
_FOLDS = 4
_WORK = 20_000_000
"""Tokens times outputs that the models are fitted on, some 30 s: of more, rows are drawn at random."""
_OFTEN = 20_000
"""Rows from which on an n-gram must occur in 3 texts, as in the n-gram model; with fewer rows in 2."""


Weights: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """The weights of ``f`` n-grams in ``K`` outputs.

    Attributes:
        keys: sorted, of shape (f,), int64.
        weights: those of the models without one fold each, and of the model of all training rows, of shape
            (5, f, K), float32.
        model_of: the model of each training row, in their order, of shape (n,), int64.
        scales: factors of the features, of shape (3 K,), float32.
    """

    keys: NDArray[np.int64]
    weights: NDArray[np.float32]
    model_of: NDArray[np.int64]
    scales: NDArray[np.float32]


def cached_evidence(
    key: str, train: Part, label_kind: str, classes: int, vocab_size: int, ngrams: int, reporter: Reporter
) -> Evidence:
    """Returns what `fit_evidence` does, of files from the cache if it is there.

    So a resumed training does not fit it again, and of several processes that train together only one does.

    Args:
        key: the key of the data, `Prepared.key`; empty for texts from Python, which are not cached.
        train, label_kind, classes, vocab_size, ngrams, reporter: as for `fit_evidence`.
    """
    if not key:
        return fit_evidence(train, label_kind, classes, vocab_size, ngrams, reporter)
    columns = [train.rows, _labels(train.examples), train.examples.groups]
    digests = [hashlib.sha256(b"" if each is None else each.tobytes()).hexdigest() for each in columns]
    settings = (label_kind, str(classes), str(vocab_size), str(ngrams), str(_WORK))
    path = cache_folder() / f"{content_key([], key, *digests, *settings, 'evidence 1')}.evidence.safetensors"
    try:
        evidence = Evidence(**safetensors.numpy.load_file(path))
        mark_used(path)
        return evidence
    except (OSError, TypeError, safetensors.SafetensorError):  # not there, or damaged
        found = fit_evidence(train, label_kind, classes, vocab_size, ngrams, reporter)
    with replacing_cached(path) as draft:
        safetensors.numpy.save_file(dict(vars(found)), draft)
    return found


def fit_evidence(
    train: Part, label_kind: str, classes: int, vocab_size: int, ngrams: int, reporter: Reporter
) -> Evidence:
    """Fits the models of `Evidence` on the token ids of the training rows.

    Groups of rows are kept in one fold. The same rows give the same evidence. A million short texts in 14
    classes are more than needed: some are drawn, and the reporter is told how many. Labels may be
    probabilities, as those of texts that were labelled by a model: then all rows are cross-fitted, labelled
    or not.

    Args:
        train: the rows to train on.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        classes: ``C``; ``K`` is 1 for binary and C otherwise.
        vocab_size: ``V``.
        ngrams: the most n-grams that are kept: those that occur in most texts.
        reporter: receives the progress.
    """
    examples, rows = train.examples, train.rows
    if train.weights is not None:  # a row of weight 0 is not there
        rows = rows[train.weights[rows] > 0]
    columns = np.arange(classes)[1 if label_kind == "binary" else 0 :]
    fold_of = _folds(examples, rows, _WORK // len(columns))
    if not (drawn := fold_of[rows] < _FOLDS).all():
        reporter.note(f"the evidence is fitted on {drawn.sum():,} of {len(rows):,} rows, drawn at random")
    rows = rows[drawn]
    hashes, truth = id_hashes(vocab_size), _labels(examples)[rows]
    soft = truth.dtype.kind == "f" and label_kind != "multilabel"
    targets: NDArray[Any] = truth.reshape(len(truth), -1)  # of each output
    if not soft:
        targets = targets > 0 if label_kind == "multilabel" else targets == columns
    encoded, least = encoded_texts(examples, rows), 3 if len(rows) >= _OFTEN else 2
    what = "the evidence of n-grams"
    with reporter.counting(f"counting {what}", len(rows) * (passes(encoded) + 1)) as tick:
        whole, matrix = Features.learn(encoded, hashes, least, tick)

    def weights_of(number: int, features: Features, part: csr_matrix, labels: NDArray[Any]) -> Weights:
        work = len(columns) if soft else passes_of(part.nnz, len(columns)) * len(labels)
        with reporter.counting(f"fitting {what}, {number} of {_FOLDS + 1}", work) as tick:
            if soft:
                return fit_soft(part, list(labels.T), tick).weights * features.idf[:, None]
            return Regressions.fit(part, labels, tick).weights * features.idf[:, None]

    kept = _most_frequent(whole, ngrams)
    keys = whole.keys[kept]
    weights = np.zeros((_FOLDS + 1, len(keys), len(columns)), np.float32)
    weights[_FOLDS] = weights_of(1, whole, matrix, targets)[kept]
    for fold in range(_FOLDS):
        others = np.flatnonzero(fold_of[rows] != fold)
        features, part = whole.of_rows(matrix, others, least)
        of_fold = weights_of(fold + 2, features, part, targets[others])
        places, known = features.columns(keys)
        weights[fold, known] = of_fold[places[known]]
    with reporter.counting(f"scaling {what}", len(rows)) as tick:
        scales = _scales(encoded, hashes, keys, weights[_FOLDS], tick)
    return Evidence(keys.astype(np.int64), weights, fold_of[train.rows], scales)


def with_evidence(
    layer: NgramEvidence, evidence: Evidence, rows: Part, loss: Callable[..., Tensor]
) -> StatelessLoss:
    """Returns the objective ``loss(model(tokens, lengths, features), labels)`` of cross-fitted features.

    Args:
        layer: the layer of the model; it gets the weights of all training rows.
        evidence: fitted on the training rows.
        rows: the rows to train on: those that the evidence was fitted on, and perhaps others after them.
        loss: as in `recurra.train.objective.supervised`.
    """
    layer.set(evidence.keys, evidence.weights[_FOLDS], evidence.scales)
    known = len(evidence.keys)  # of the rows of the layer's table; the others have no weight
    weights = torch.nn.functional.pad(torch.from_numpy(evidence.weights), (0, 0, 0, 1))
    model_of = np.full(len(rows.examples), _FOLDS, np.int64)
    model_of[rows.rows[: len(evidence.model_of)]] = evidence.model_of

    def features(batch: Batch) -> tuple[Tensor]:
        own = torch.from_numpy(model_of[batch.rows])[:, None]
        tokens = batch.tokens.to(layer.keys.device)
        return (
            layer(tokens, lambda columns: weights[own, columns.cpu().clamp(max=known)].to(tokens.device)),
        )

    return supervised(loss, features)


def _folds(examples: Examples, rows: NDArray[np.int64], tokens: int) -> NDArray[np.int64]:
    """Returns the fold of each example, of shape (N,); groups stay together.

    Of rows with more than ``tokens`` tokens in all, some are drawn; the others have the fold 4: the model of
    those that were drawn was not trained on them.
    """
    fold_of, random = np.full(len(examples), _FOLDS, np.int64), np.random.default_rng(0)
    units = np.arange(len(rows)) if examples.groups is None else examples.groups[rows]
    names, unit_of = np.unique(units, return_inverse=True)
    order = random.permutation(len(names))
    fold_of[rows] = (order % _FOLDS)[unit_of]
    lengths = np.bincount(unit_of, examples.lengths[rows], minlength=len(names))
    drawn = np.argsort(order)  # the units in the order of their numbers
    many = np.cumsum(lengths[drawn]) > tokens
    many[: 2 * _FOLDS] = False  # a few are kept in any case
    fold_of[rows[np.isin(unit_of, drawn[many])]] = _FOLDS
    return fold_of


def _labels(examples: Examples) -> NDArray[np.int64] | NDArray[np.float32]:
    if examples.labels is None:
        raise DataError("the training examples have no labels")
    return examples.labels


def encoded_texts(examples: Examples, rows: NDArray[np.int64]) -> Encoded:
    """Returns the token ids of some rows as the words of the n-gram model."""
    lengths = examples.lengths[rows].astype(np.int64)
    starts = np.repeat(examples.offsets[rows], lengths)
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Encoded(examples.flat[starts + within].astype(np.int32), lengths)


def _most_frequent(features: Features, count: int) -> NDArray[np.int64]:
    """Returns the columns of the n-grams of the most texts, ascending; equally frequent ones by key."""
    if len(features) <= count:
        return np.arange(len(features))
    return np.sort(np.argsort(features.idf, kind="stable")[:count])


def _scales(
    encoded: Encoded, hashes: NDArray[np.uint64], keys: NDArray[np.uint64], weights: Weights, tick: Tick
) -> NDArray[np.float32]:
    """Returns 1 / standard deviation of each feature over the tokens; 1 for a feature that is always 0."""
    squares = np.zeros((LONGEST, weights.shape[1]))
    if len(keys) and len(encoded.ids):
        chosen, wide = Features(keys, np.zeros(len(keys), np.float32)), weights.astype(np.float64) ** 2
        for _, words, lengths in blocks(encoded):
            for size, found, _ in ngram_keys(hashes[encoded.ids[words]], lengths):
                columns, known = chosen.columns(found)
                counts = np.bincount(columns[known], minlength=len(keys)).astype(np.float64)
                squares[size - 1] += counts @ wide
            tick(len(lengths))
    deviations = np.sqrt(squares.ravel() / max(1, len(encoded.ids)))
    return np.where(deviations > 0, 1 / np.maximum(deviations, 1e-12), 1.0).astype(np.float32)
