"""Prepares files of labelled texts for training: detected, split, tokenized, cached."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import updated
from recurra.io.detect import detect
from recurra.io.formats import Rows, Skipped, Source, read
from recurra.io.labels import Labels
from recurra.io.splits import divide
from recurra.tasks.base import Prepared
from recurra.tasks.classification.assets import ClassifierAssets
from recurra.tasks.classification.rules import by_rules, facts_of
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.corpus import HeldOut, corpus_of_file, texts_of_file, texts_of_rows
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import (
    Part,
    counted_rows,
    numbered_groups,
    official_test,
    report_skipped,
    tokenized_parts,
)

__all__ = ["ClassifierData", "measured_part", "prepare", "report_files"]

_CELLS = 50_000_000
"""Probabilities of all rows of a part in all classes, 400 MB; model and baseline have an array each."""

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
    unlabeled: Path | None = None,
) -> ClassifierData:
    """Detects the format, splits and tokenizes the texts; tokens are cached.

    Texts of ``unlabeled`` that are in the validation or test rows too are left out, and counted.

    Raises:
        DataError: a file can't be used; the message names the row and the solution.
    """
    reporter.step("Reading")
    data, test = official_test(data, test)
    source = detect(data, config.data)
    reporter.facts(source.describe())
    wanted = config.data
    config = updated(config, {"data": source.settings()})
    skipped = Skipped()
    labels, codes, groups = _learn_labels(source, config, skipped, reporter)
    report_skipped(skipped, data, reporter)
    reporter.facts(
        {"labels": labels.label_kind, "classes": _shorten(labels.names), "rows": f"{len(codes):,}"}
    )
    if valid is None:
        rows = divide(codes, config.data, groups)
        by = f"whole groups of {config.data.group!r}" if groups is not None else "stratified by class"
        by = "the first ones" if config.data.valid_rows else by
        reporter.facts({"validation": f"{len(rows[1]):,} rows held out, {by}"})
    else:
        rows = np.arange(len(codes)), np.empty(0, np.int64)

    corpus = None
    if unlabeled is not None:
        held_out = HeldOut()
        held_out.add(
            "validation",
            texts_of_file(valid, config.data, source) if valid else texts_of_rows(source, rows[1]),
        )
        if test is not None:
            held_out.add("test", texts_of_file(test, config.data, source))
        corpus = corpus_of_file(unlabeled, wanted, held_out, reporter, like=source)
    tokenizer, parts, key = tokenized_parts(
        source, rows, labels, config, reporter, valid=valid, test=test, corpus=corpus
    )
    report_files(parts[1:] if valid else parts[2:], reporter)
    train, valid_part, test_part = parts
    facts = facts_of(train, tokenizer, labels, config.train.batch_size)
    if corpus is not None and config.unlabeled.method != "language_model":
        facts = replace(facts, rows=facts.rows + len(corpus))  # all of them are training rows
    config = by_rules(config, facts, reporter)
    valid_part = measured_part(valid_part, len(labels.names), reporter)
    if test_part is not None:
        test_part = measured_part(test_part, len(labels.names), reporter)
    assets = ClassifierAssets(tokenizer, source, labels=labels)
    return Prepared(config, assets, train, valid_part, test_part, key, corpus=corpus)


def measured_part(part: Part, classes: int, reporter: Reporter) -> Part:
    """Returns a part to compute figures on; of many rows of many classes, a random sample.

    The same rows are drawn each time.
    """
    most = max(_CELLS // classes, 1)
    if len(part) <= most:
        return part
    reporter.warn(
        f"{part.name}: the figures are of {most:,} of {len(part):,} rows, drawn at random, since there are "
        f"{classes:,} classes"
    )
    return replace(part, rows=np.sort(np.random.default_rng(0).choice(part.rows, most, replace=False)))


def report_files(parts: Iterable[Part | None], reporter: Reporter) -> None:
    """Reports the files of parts that have a separate file."""
    for part in parts:
        if part is not None:
            reporter.facts({part.name: f"{part.where}, {len(part):,} rows"})


def _learn_labels(
    source: Source, config: ClassifierConfig, skipped: Skipped, reporter: Reporter
) -> tuple[Labels, Codes, NDArray[np.int64] | None]:
    """Reads the classes and the labels of all rows in one pass, of which no texts are kept in memory."""
    numbers: dict[tuple[str, ...], int] = {}  # of each combination of labels
    found: array[int] = array("q")
    groups: list[str] = []

    def kept(chunks: Iterable[Rows]) -> Iterator[Rows]:
        for rows in chunks:
            yield rows
            found.extend(numbers.setdefault(each, len(numbers)) for each in rows.labels or ())
            groups.extend(rows.groups or ())

    with reporter.counting("reading the labels") as tick:
        rows = kept(counted_rows(read(source, skipped), tick))
        labels = Labels.learn(rows, config.data.label_kind, source)
    different = Rows([1] * len(numbers), [""] * len(numbers), list(numbers))
    codes: Codes = labels.encode(different, source.path)[np.array(found)]
    return labels, codes, numbered_groups(groups)


def _shorten(names: Iterable[str], count: int = 12) -> str:
    all_names = list(names)
    more = f", ... ({len(all_names)} in total)" if len(all_names) > count else ""
    return ", ".join(all_names[:count]) + more
