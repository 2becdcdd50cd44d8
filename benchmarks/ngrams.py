"""Time, memory and figures of the n-gram model beside a plain TF-IDF regression (docs/experiments.md).

    python -m benchmarks.ngrams measure TRAIN [--test TEST] [--plain]
    python -m benchmarks.ngrams short FILE TRAIN[:LABEL] [TRAIN[:LABEL] ...] --rows 1000000

`measure` fits on a file, or on four fifths of its rows if there is no test file. `short` writes pieces of
8 to 12 words, or characters of Chinese, drawn at random from the rows of files, with their labels (those of
the column LABEL).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig
from recurra.io.detect import detect
from recurra.io.formats import Skipped, read
from recurra.io.labels import Labels
from recurra.measure.metrics import classification_metrics
from recurra.runtime import peak_memory
from recurra.tasks.classification.ngrams import NgramModel, words_of
from recurra.tasks.reporter import Tick


def rows_of(
    path: Path, labels: Labels | None, separator: str | None, column: str | None = None
) -> tuple[list[str], Any, Labels]:
    """Returns texts, class numbers and classes of a file; the classes are learned if there are none."""
    source = detect(path, DataConfig(label_separator=separator, label=column))
    labels = labels or Labels.learn(read(source, Skipped()), "auto", source)
    texts: list[str] = []
    codes = []
    for rows in read(source, Skipped()):
        texts += rows.texts
        codes.append(labels.encode(rows, path))
    return texts, np.concatenate(codes), labels


def plain(texts: Sequence[str], codes: NDArray[Any], kind: str, new: Sequence[str]) -> Any:
    """Returns the probabilities of scikit-learn's TF-IDF of words and one logistic regression a class."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    tfidf = TfidfVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False)
    model = LogisticRegression(max_iter=1000)
    pipeline = make_pipeline(tfidf, OneVsRestClassifier(model) if kind == "multilabel" else model)
    return pipeline.fit(texts, codes).predict_proba(new)


def measure(train: Path, test: Path | None, with_plain: bool, separator: str | None) -> dict[str, Any]:
    """Returns figures, CPU seconds and peak memory."""
    texts, codes, labels = rows_of(train, None, separator)
    kind, names = labels.label_kind, labels.names
    if test is None:
        order = np.random.default_rng(0).permutation(len(texts))
        held_out, kept = np.split(order, [len(texts) // 5])
        new, truth = [texts[row] for row in held_out], codes[held_out]
        kept.sort()
        texts, codes = [texts[row] for row in kept], codes[kept]
    else:
        new, truth, _ = rows_of(test, labels, separator)
    found: dict[str, Any] = {"file": train.name, "kind": kind, "classes": len(names), "rows": len(texts)}
    found["before_mb"] = round((peak_memory() or 0) / 1e6)
    phases: dict[str, float] = {}

    @contextmanager
    def counting(what: str, total: int | None = None) -> Iterator[Tick]:
        begun = time.process_time()
        yield lambda rows: None
        phases[what] = round(time.process_time() - begun, 2)

    begun = time.process_time()
    model = NgramModel().fit(texts, codes, kind, len(names), counting)
    fitted = time.process_time()
    p = model.predict_proba(new)
    found["fit_s"], found["phases_s"] = round(fitted - begun, 2), phases
    found["peak_mb"] = round((peak_memory() or 0) / 1e6)
    found["predicted_a_second"] = round(len(new) / (time.process_time() - fitted))
    found["ngrams"], found["saved_mb"] = model.n_ngrams, sum(a.nbytes for a in model.state().values()) / 1e6
    found["note"] = model.note
    systems = {"n-grams": p}
    if with_plain:
        begun = time.process_time()
        systems["plain"] = plain(texts, codes, kind, new)
        found["plain_s"] = round(time.process_time() - begun, 2)
    for name, proba in systems.items():
        figures = classification_metrics(truth, proba, names, kind)
        found[name] = {key: round(getattr(figures, key), 4) for key in ("accuracy", "macro_f1", "log_loss")}
    return found


def short(out: Path, files: Sequence[str], rows: int) -> None:
    """Writes short pieces of the rows of files; the classes of all files are classes."""
    random = np.random.default_rng(0)
    named = [file.partition(":") for file in files]
    pool = [rows_of(Path(path), None, None, column or None) for path, _, column in named]
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(rows):
            which = number % len(files)
            texts, codes, labels = pool[which]
            row, size = int(random.integers(len(texts))), int(random.integers(8, 13))
            words = words_of(texts[row])
            begin = int(random.integers(max(1, len(words) - size)))
            writer.writerow(
                [" ".join(words[begin : begin + size]), f"{which}: {labels.names[int(codes[row])]}"]
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, or writes short rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    measured = commands.add_parser("measure")
    measured.add_argument("train", type=Path)
    measured.add_argument("--test", type=Path)
    measured.add_argument("--plain", action="store_true")
    measured.add_argument("--label-separator")
    cut = commands.add_parser("short")
    cut.add_argument("out", type=Path)
    cut.add_argument("files", nargs="+")
    cut.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    if options.command == "short":
        short(options.out, options.files, options.rows)
        return
    found = measure(options.train, options.test, options.plain, options.label_separator)
    json.dump(found, sys.stdout, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
