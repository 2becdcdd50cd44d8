"""New rows for a classifier that is trained further: its classes, its vocabulary and more, its experts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from recurra.errors import DataError
from recurra.io.cache import content_key
from recurra.io.detect import detect
from recurra.io.extend import extended
from recurra.io.splits import divide
from recurra.tasks.base import Prepared
from recurra.tasks.classification.assets import ClassifierAssets, ClassifierBundle
from recurra.tasks.classification.fitted import ngrams_as_fitted
from recurra.tasks.classification.prepare import ClassifierData, measured_part
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.corpus import contents_of
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import open_part

__all__ = ["continued"]


def continued(
    bundle: ClassifierBundle,
    data: Path,
    config: ClassifierConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> ClassifierData:
    """Returns new rows with the classes of a model, and with its vocabulary and new words after that.

    Raises:
        DataError: a file can't be used, or has a label that is not a class of the model.
    """
    reporter.step("Reading")
    labels, old, like = bundle.assets.labels, bundle.assets.tokenizer, bundle.assets.source
    source = detect(data, config.data, like=like)
    reporter.facts(source.describe())
    whole = open_part("training", data, old, labels, config.data, reporter, like=like)
    rows = np.arange(len(whole)), np.empty(0, np.int64)
    if valid is None:
        rows = divide(whole.labels, config.data, whole.examples.groups)
    tokenizer, model = old, config.model
    if not model.evidence and not model.bigrams:
        tokenizer = extended(old, whole.texts(rows[0]))
        whole = open_part("training", data, tokenizer, labels, config.data, Reporter(), like=like)
    reporter.facts(
        {
            "rows": f"{len(rows[0]):,} for training",
            "vocabulary": f"{old.vocab_size:,} entries of the model, "
            f"{tokenizer.vocab_size - old.vocab_size:,} new ones",
        }
    )
    train = replace(whole, rows=rows[0])
    held_out = replace(whole, name="validation", rows=rows[1])
    if valid is not None:
        held_out = open_part("validation", valid, tokenizer, labels, config.data, reporter, like=like)
    if not len(held_out):
        raise DataError("there are no validation rows", where=data, hint="give some with --valid")
    held_out = measured_part(held_out, len(labels.names), reporter)
    tested = None
    if test is not None:
        tested = open_part("test", test, tokenizer, labels, config.data, reporter, like=like)
        tested = measured_part(tested, len(labels.names), reporter)
    fitted: dict[str, object] = {}
    if bundle.assets.experts is not None:
        fitted = {**ngrams_as_fitted(bundle.assets.experts.ngrams, held_out)}
    assets = ClassifierAssets(tokenizer, source, labels=labels)
    key = content_key([], contents_of(source), tokenizer.fingerprint, labels.to_json())
    return Prepared(config, assets, train, held_out, tested, key, fitted=fitted, goes_on=True)
