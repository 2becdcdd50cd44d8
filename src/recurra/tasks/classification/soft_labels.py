"""Texts without labels as training rows, labelled with the class probabilities of a teacher.

The teacher is the n-gram model, for up to 20 classes together with document vectors of all texts (`teacher`).
The evidence of n-grams is then fitted on all rows, and the network is trained on them (knowledge
distillation: Hinton, Vinyals and Dean 2015; self-training: Lee 2013).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from recurra.io.cache import cache_folder, cached_examples, content_key, replacing_cached
from recurra.io.examples import Chunk, Examples
from recurra.io.usage import mark_used
from recurra.measure.calibration import probabilities
from recurra.tasks.classification.assess import fit_baseline
from recurra.tasks.classification.evidence import CLASSES
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.classification.teacher import logits_of_texts
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

__all__ = ["with_soft_labels"]

_CELLS = 50_000_000
"""Probabilities of all texts in all classes, 200 MB: of more, texts are drawn at random."""
_TEXTS_CHUNK = 1_024


def with_soft_labels(
    prepared: ClassifierData, reporter: Reporter, seconds: float = math.inf
) -> ClassifierData:
    """Returns the data with the unlabelled texts among the rows that the network is trained on.

    They follow the training rows, whose labels are as they were. Those of files are in the cache, so that
    n-grams and document vectors are not learned a second time.

    Args:
        prepared: the data, with a corpus.
        reporter: receives the progress.
        seconds: the time for document vectors.
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
    by = "the n-grams"
    if prepared.config.unlabeled.vectors and kind != "multilabel" and classes <= CLASSES:
        by = "n-grams and document vectors"
        examples = _taught(prepared, examples, reporter, seconds)
    reporter.facts({"training": f"{len(train):,} labelled rows and {len(corpus):,} texts labelled by {by}"})
    name = f"{train.where} and {corpus.name}"
    weights = train.weights
    if weights is not None:
        weights = np.concatenate([weights[train.rows], np.ones(len(corpus), np.float32)])
    together = Part("training", name, examples, np.arange(len(examples)), lambda rows: iter(()), weights)
    digest = hashlib.sha256(np.asarray(examples.labels).tobytes()).hexdigest()
    return replace(prepared, soft=together, key=content_key([], prepared.key, digest) if prepared.key else "")


def _taught(prepared: ClassifierData, examples: Examples, reporter: Reporter, seconds: float) -> Examples:
    """Returns the examples with the probabilities of document vectors and n-grams together."""
    train, valid, settings = prepared.train, prepared.valid, prepared.config.unlabeled
    labelled, kind = len(train), prepared.assets.labels.label_kind
    before = np.asarray(examples.labels, np.float32)
    path: Path | None = None
    if prepared.key:
        parts = [before.tobytes(), np.asarray(examples.flat).tobytes(), valid.rows.tobytes()]
        digests = [hashlib.sha256(part).hexdigest() for part in parts]
        limit = f"{seconds:.0f}"  # another limit may have other passes, and so another model
        key = content_key(
            [], prepared.key, *digests, str(settings.vectors), str(settings.passes), limit, "taught"
        )
        path = cache_folder() / f"{key}.soft-labels.safetensors"
    after = _read(path, before.shape)
    if after is None:
        ngrams = fit_baseline(prepared, reporter)
        logits, _ = logits_of_texts(
            examples,
            np.asarray(train.labels, np.int64),
            valid.examples,
            valid.rows,
            np.asarray(valid.labels, np.int64),
            _logits(before[labelled:], kind),
            ngrams.logits(valid.texts(valid.rows)),
            classes=len(prepared.assets.labels.names),
            vocab_size=prepared.assets.tokenizer.vocab_size,
            size=settings.vectors,
            epochs=settings.passes,
            seconds=seconds,
            reporter=reporter,
        )
        p = probabilities(logits, kind).astype(np.float32)
        after = np.concatenate([before[:labelled], p[:, 1] if kind == "binary" else p])
        if path is not None:
            with replacing_cached(path) as draft:
                safetensors.numpy.save_file({"labels": after}, draft)
    groups = None
    if train.examples.groups is not None:  # rows of a group stay together; each other text is one of its own
        own = train.examples.groups[train.rows]
        groups = np.concatenate([own, own.max(initial=0) + 1 + np.arange(len(examples) - labelled)])
    return Examples(
        examples.flat,
        examples.offsets,
        after,
        examples.numbers,
        groups,
        examples.full_lengths,
        examples.unknown,
    )


def _logits(p: NDArray[np.float32], kind: str) -> NDArray[np.float64]:
    """Returns the logits (M, 1) or (M, C) of probabilities (M,) or (M, C)."""
    smallest = float(np.finfo(np.float32).eps) / 8
    wide = np.clip(p.astype(np.float64), smallest, 1 - smallest)
    if kind == "binary":
        return (np.log(wide) - np.log1p(-wide))[:, None]
    return np.asarray(np.log(wide))


def _read(path: Path | None, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Returns the labels of a file of the cache; None if it is not there or damaged."""
    try:
        found = None if path is None else safetensors.numpy.load_file(path)["labels"]
        if path is not None:
            mark_used(path)
    except (OSError, KeyError, safetensors.SafetensorError):
        return None
    if found is None or found.shape != shape or not np.isfinite(found).all():
        return None
    return np.asarray(found, np.float32)


def _chunk(
    ids: list[NDArray[np.int32]],
    labels: NDArray[np.float32],
    full_lengths: NDArray[np.int64],
    unknown: NDArray[np.int64],
) -> Chunk:
    return Chunk(ids, labels, np.arange(len(ids)), None, full_lengths, unknown)
