"""Prepares files of labelled texts for training: detected, split, tokenized, cached."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import updated
from recurra.errors import DataError
from recurra.io.cache import cache_folder, cached_examples, content_key
from recurra.io.detect import detect
from recurra.io.examples import Chunk, Examples
from recurra.io.formats import Skipped, Source, read
from recurra.io.labels import Labels
from recurra.io.splits import split
from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.base import Prepared
from recurra.tasks.classification.bundle import ClassifierAssets
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part, Rowset, learned_tokenizer, official_test, report_skipped, texts_of

__all__ = ["ClassifierData", "open_part", "prepare"]

Codes = NDArray[np.int64] | NDArray[np.float32]


ClassifierData: TypeAlias = Prepared[ClassifierConfig, ClassifierAssets, Part]
"""Labelled texts ready for training."""


def prepare(
    data: Path,
    config: ClassifierConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> ClassifierData:
    """Detects the format, splits and tokenizes the texts; tokens are cached.

    Raises:
        DataError: a file can't be used; the message names the row and the solution.
    """
    reporter.step("Reading")
    data, test = official_test(data, test)
    source = detect(data, config.data)
    reporter.facts(source.describe())
    config = updated(config, {"data": source.settings()})
    skipped = Skipped()
    labels, codes, groups = _learn_labels(source, config, skipped)
    report_skipped(skipped, data, reporter)
    reporter.facts(
        {"labels": labels.label_kind, "classes": _shorten(labels.names), "rows": f"{len(codes):,}"}
    )
    if valid is None:
        train_rows, valid_rows = split(codes, config.data.valid_fraction, config.data.split_seed, groups)
        by = f"whole groups of {config.data.group!r}" if groups is not None else "stratified by class"
        reporter.facts({"validation": f"{len(valid_rows):,} rows held out, {by}"})
    else:
        train_rows, valid_rows = np.arange(len(codes)), np.empty(0, np.int64)

    reporter.step("Tokenizing")
    contents = content_key([data], json.dumps(source.settings(), sort_keys=True, default=str))
    tokenizer = learned_tokenizer(source, train_rows, config.tokenizer, contents)
    reporter.facts({"vocabulary": f"{tokenizer.vocab_size:,} entries, from the training rows only"})
    whole = _examples(source, contents, tokenizer, labels)

    def part(name: str, rows: Rowset) -> Part:
        return Part(name, str(data), whole, rows, lambda numbers: texts_of(source, numbers))

    train_part = part("training", train_rows)
    if valid is None:
        valid_part = part("validation", valid_rows)
    else:
        valid_part = open_part("validation", valid, config, labels, tokenizer, reporter, like=source)
    test_part = None
    if test is not None:
        test_part = open_part("test", test, config, labels, tokenizer, reporter, like=source)
    key = content_key(
        [], contents, tokenizer.fingerprint, labels.to_json(), valid_part.where, str(len(valid_part))
    )
    assets = ClassifierAssets(tokenizer, labels, source)
    return Prepared(config, assets, train_part, valid_part, test_part, key)


def open_part(
    name: str,
    path: Path,
    config: ClassifierConfig,
    labels: Labels,
    tokenizer: TextTokenizer,
    reporter: Reporter,
    *,
    like: Source | None = None,
) -> Part:
    """Opens a whole labelled file with the tokenizer and the classes of an existing model.

    Raises:
        DataError: the file can't be used, has no rows, or has a label that the model lacks.
    """
    source = detect(path, config.data, like=like)
    contents = content_key([path], json.dumps(source.settings(), sort_keys=True, default=str))
    skipped = Skipped()
    examples = _examples(source, contents, tokenizer, labels, skipped)
    report_skipped(skipped, path, reporter)
    if not len(examples):
        raise DataError("there are no rows", where=path)
    reporter.facts({name: f"{path}, {len(examples):,} rows"})
    return Part(
        name, str(path), examples, np.arange(len(examples)), lambda numbers: texts_of(source, numbers)
    )


def _learn_labels(
    source: Source, config: ClassifierConfig, skipped: Skipped
) -> tuple[Labels, Codes, NDArray[np.int64] | None]:
    """Reads the classes, then the labels of all rows; in two passes, so that no texts are kept in memory."""
    labels = Labels.learn(read(source, skipped), config.data.label_kind, source)
    codes: list[NDArray[Any]] = []
    groups: list[str] = []
    for rows in read(source, Skipped()):
        codes.append(labels.encode(rows, source.path))
        if rows.groups is not None:
            groups += rows.groups
    group_ids = np.unique(groups, return_inverse=True)[1].astype(np.int64) if groups else None
    return labels, np.concatenate(codes), group_ids


def _examples(
    source: Source, contents: str, tokenizer: TextTokenizer, labels: Labels, skipped: Skipped | None = None
) -> Examples:
    def chunks() -> Iterable[Chunk]:
        for rows in read(source, skipped if skipped is not None else Skipped()):
            encoded = tokenizer.encode(rows.texts)
            yield Chunk(
                ids=encoded.ids,
                labels=labels.encode(rows, source.path),
                numbers=np.array(rows.numbers, np.int64),
                groups=rows.groups,
                full_lengths=encoded.full_lengths,
                unknown=encoded.unknown,
            )

    key = content_key([], contents, tokenizer.fingerprint, labels.to_json())
    return cached_examples(cache_folder(), key, chunks)


def _shorten(names: Iterable[str], count: int = 12) -> str:
    all_names = list(names)
    more = f", ... ({len(all_names)} in total)" if len(all_names) > count else ""
    return ", ".join(all_names[:count]) + more
