"""Texts without labels as training rows, labelled with the class probabilities of the n-gram model.

The network learns from many more texts what the n-grams know, and from the order of their words what the
n-grams don't (knowledge distillation: Hinton, Vinyals and Dean 2015; self-training: Lee 2013).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from recurra.io.cache import cache_folder, cached_examples, content_key
from recurra.io.examples import Chunk, Examples
from recurra.measure.calibration import probabilities
from recurra.tasks.classification.assess import fit_baseline
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

__all__ = ["with_soft_labels"]

_CELLS = 50_000_000
"""Probabilities of all texts in all classes, 200 MB: of more, texts are drawn at random."""
_TEXTS_CHUNK = 1_024


def with_soft_labels(prepared: ClassifierData, reporter: Reporter) -> ClassifierData:
    """Returns the data with the unlabelled texts among the rows that the network is trained on.

    They follow the training rows, whose labels are as they were. Those of files are in the token cache, so
    that the n-gram model is not needed a second time.
    """
    corpus, train, labels = prepared.corpus, prepared.train, prepared.assets.labels
    assert corpus is not None  # noqa: S101  # the caller has prepared unlabelled texts
    kind, classes = labels.label_kind, len(labels.names)
    most = max(1, _CELLS // classes)
    if len(corpus) > most:
        drawn = np.sort(np.random.default_rng(0).choice(corpus.rows, most, replace=False))
        corpus = replace(corpus, rows=drawn)
        reporter.warn(f"{most:,} of the unlabelled texts are used, drawn at random: there are many classes")
    reporter.step("Unlabelled texts")

    def targets(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        codes = np.asarray(train.examples.labels)[rows]
        return np.asarray(np.eye(classes)[codes] if kind == "multiclass" else codes, np.float32)

    def chunks() -> Iterator[Chunk]:
        ngrams = fit_baseline(prepared, reporter)
        for first in range(0, len(train), _TEXTS_CHUNK):
            rows = train.rows[first : first + _TEXTS_CHUNK]
            ids = [train.examples.ids(int(row)) for row in rows]
            yield _chunk(ids, targets(rows), train.examples.full_lengths[rows], train.examples.unknown[rows])
        texts = iter(corpus)
        with reporter.counting("labelling unlabelled texts", len(corpus)) as tick:
            while chunk := list(islice(texts, _TEXTS_CHUNK)):
                encoded = prepared.assets.tokenizer.encode(chunk)
                p = probabilities(ngrams.logits(chunk), kind).astype(np.float32)
                soft = p[:, 1] if kind == "binary" else p
                yield _chunk(encoded.ids, soft, encoded.full_lengths, encoded.unknown)
                tick(len(chunk))

    if prepared.key:
        rows = hashlib.sha256(train.rows.tobytes()).hexdigest()
        chosen = hashlib.sha256(corpus.rows.tobytes()).hexdigest()
        key = content_key([], prepared.key, rows, corpus.key, chosen, "soft labels")
        examples = cached_examples(cache_folder(), key, chunks)
    else:  # texts from Python
        parts = [*chunks()]
        ids = [each for part in parts for each in part.ids]
        examples = Examples.from_arrays(ids, np.concatenate([np.asarray(part.labels) for part in parts]))
    reporter.facts(
        {"training": f"{len(train):,} labelled rows and {len(corpus):,} texts labelled by the n-grams"}
    )
    name = f"{train.where} and {corpus.name}"
    weights = train.weights
    if weights is not None:
        weights = np.concatenate([weights[train.rows], np.ones(len(corpus), np.float32)])
    together = Part("training", name, examples, np.arange(len(examples)), lambda rows: iter(()), weights)
    digest = hashlib.sha256(np.asarray(examples.labels).tobytes()).hexdigest()
    return replace(prepared, soft=together, key=content_key([], prepared.key, digest) if prepared.key else "")


def _chunk(
    ids: list[NDArray[np.int32]],
    labels: NDArray[np.float32],
    full_lengths: NDArray[np.int64],
    unknown: NDArray[np.int64],
) -> Chunk:
    return Chunk(ids, labels, np.arange(len(ids)), None, full_lengths, unknown)
