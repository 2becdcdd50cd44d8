"""Explanations of all rows of a file: `recurra inspect MODEL explain FILE --out page.html`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.config import updated
from recurra.errors import BundleError, ConfigError, DataError
from recurra.files import replacing
from recurra.measure.explain import Explanation
from recurra.measure.explained import Explained, deletion_test, page_of, words_by_class
from recurra.measure.report import write_report
from recurra.runtime import use_threads
from recurra.store import AnyBundle
from recurra.tasks.base import PredictRequest
from recurra.tasks.card import now
from recurra.tasks.inputs import whole_number
from recurra.tasks.registry import refuse_other_settings, task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.requested_rows import rows_of
from recurra.tasks.use import bundle_of

__all__ = ["TEXTS", "explain", "write_explanations"]

TEXTS = 1_000
"""Rows that are explained if nothing else is asked for: each takes as many predictions as it has words."""
_SEED = 0


def explain(
    model: Any,
    data: str | Path | Sequence[str],
    *,
    out: str | Path | None = None,
    texts: int = TEXTS,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Explained:
    """Explains the predictions of a classifier for many texts: words of each class, and a test by deletion.

    Args:
        model: A model's directory, a bundle or a fitted estimator.
        data: A file of rows, or texts.
        out: A file to write too: a page (``.html``) with lines (``.jsonl``) beside it, or the lines alone.
            A line has row, label, probability and the contribution of each word.
        texts: Maximum number of rows; of more, as many are drawn at random, always the same ones.
        settings: settings that describe the file, as a nested dictionary.
        reporter: receives the steps; silent if None.

    Returns:
        The explanations, the words by class and the test, as a record; ``model_dump()`` returns a dictionary.

    Raises:
        BundleError: there is no model, or answers of its task can't be explained.
        ConfigError: ``texts`` is below 1, or ``out`` is neither .html nor .jsonl.
        DataError: the file can't be used, or has no rows.

    Example:
        >>> found = recurra.explain("my-model", "reviews.csv")  # doctest: +SKIP
        >>> [word.text for word in found.classes[0].towards[:3]]  # doctest: +SKIP
        ['great', 'perfect', 'enjoyed']
    """
    reporter, texts = reporter or Reporter(), whole_number(texts, "texts", least=1)
    if out is not None and Path(out).suffix not in (".html", ".jsonl"):
        raise ConfigError(
            f"{out} is neither a page nor lines", hint="give a name that ends in .html or .jsonl"
        )
    use_threads()
    bundle = bundle_of(model)
    task = task_named(bundle.task)
    if task.explain is None or task.label_log_odds is None:
        raise BundleError(f"is a model of task {bundle.task}, whose answers can't be explained")
    chosen, total = _chosen(bundle, data, texts, settings or {})
    rows: list[Explanation] = []
    with reporter.counting("explaining", len(chosen)) as tick:
        for number, text in chosen:
            found = task.explain(bundle, text)
            rows.append(Explanation.model_validate({**found.model_dump(), "row": number}))
            tick(1)
    log_odds = task.label_log_odds

    def score(changed: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
        return log_odds(bundle, changed, labels)

    test = deletion_test(rows, score, np.random.default_rng(_SEED))
    explained = Explained(rows=rows, of=total, classes=words_by_class(rows), deletion=test)
    if out is not None:
        name = Path(data).name if isinstance(data, str | Path) else f"{total:,} texts"
        write_explanations(explained, Path(out), f"Explanations of {name}")
    return explained


def _chosen(
    bundle: AnyBundle, data: str | Path | Sequence[str], texts: int, settings: Mapping[str, Any]
) -> tuple[list[tuple[int, str]], int]:
    """Returns at most ``texts`` rows drawn at random, in order, with their texts; and how many there are."""
    refuse_other_settings(bundle.task, settings)
    config = updated(bundle.config, settings) if settings else bundle.config
    random, kept, total = np.random.default_rng(_SEED), list[tuple[int, str]](), 0
    chunks: Iterable[list[tuple[int, str]]]
    if isinstance(data, str | Path):
        found = rows_of(PredictRequest(Path(data), keep=False), bundle.assets.source, config.data)
        chunks = ([*zip(rows.numbers, rows.texts, strict=True)] for rows in found.chunks)
    else:
        if any(not isinstance(text, str) for text in data):
            raise DataError("the texts are not all strings", where="data")
        chunks = [list(enumerate(data, 1))]
    for chunk in chunks:
        for pair in chunk:
            total += 1
            if len(kept) < texts:
                kept.append(pair)
            elif (place := int(random.integers(total))) < texts:  # a reservoir: each row is as likely
                kept[place] = pair
    if not kept:
        raise DataError("there are no rows", where=data if isinstance(data, str | Path) else None)
    return sorted(kept), total


def write_explanations(explained: Explained, out: Path, title: str) -> None:
    """Writes a page and its lines, or the lines alone if ``out`` ends in .jsonl."""
    lines = out.with_suffix(".jsonl")
    with replacing(lines) as draft, draft.open("w", encoding="utf-8") as file:
        for row in explained.rows:
            words = [[part.text, round(part.contribution, 6)] for part in row.parts]
            record = {
                "row": row.row,
                "label": row.label,
                "probability": round(row.probability, 6),
                "words": words,
            }
            file.write(json.dumps({**record, "note": row.note}, ensure_ascii=False) + "\n")
    if out.suffix == ".html":
        write_report(out, page_of(explained, title, now()))
