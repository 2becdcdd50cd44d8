"""Multi-label defaults measured on a made set of 28 labels, most of them rare (docs/experiments.md).

No public multi-label set is at hand, so one is made from real sentences with the proportions of GoEmotions
(Demszky et al. 2020: 43,410 short comments, 27 emotions and neutral, from 30% to 0.2% of the rows):

1. Sentences of 4 to 30 words are cut from the training reviews of IMDB, and a sample is drawn.
2. Words are dealt out to 27 labels until the share of sentences with a word of the label reaches its share
   of a Zipf distribution. A word that follows a negation by at most 3 words gives the next label instead,
   so that single words do not tell all.
3. Each label is dropped with a probability of 0.2, and to 1 in 20 sentences a label is added at random, by
   frequency. Sentences without a label are `neutral`.

    python -m benchmarks.multilabel make DATA/imdb/train.parquet FOLDER --rows 43000
    python -m benchmarks.multilabel measure FOLDER --without bias --set train.learning_rate=0.003
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABELS = 28
NEGATIONS = frozenset({"not", "no", "never", "n't", "nothing", "without", "hardly"})
_SENTENCE = re.compile(r"(?<=[.!?])\s+|<br\s*/?>")
_WORD = re.compile(r"n't\b|\w+?(?=n't\b)|\w+")
Row = tuple[str, tuple[str, ...]]


def sentences(reviews: Iterable[str]) -> list[str]:
    """Returns the sentences of 4 to 30 words, each once."""
    found = (part.strip() for review in reviews for part in _SENTENCE.split(review))
    return list(dict.fromkeys(part for part in found if 4 <= len(part.split()) <= 30))


def labelled(texts: Sequence[str], seed: int = 0) -> list[Row]:
    """Returns the sentences with their labels, made as described above."""
    rng = np.random.default_rng(seed)
    words = [_WORD.findall(text.lower()) for text in texts]
    holders: dict[str, set[int]] = {}
    for row, row_words in enumerate(words):
        for word in row_words:
            holders.setdefault(word, set()).add(row)
    usable = sorted(w for w, rows in holders.items() if len(w) > 2 and 5 <= len(rows) <= len(texts) * 0.02)
    usable = [word for word in usable if word not in NEGATIONS]
    rng.shuffle(usable)
    shares = 0.25 / np.arange(1, LABELS) ** 1.4
    owner: dict[str, int] = {}
    for label, share in enumerate(shares):
        rows: set[int] = set()
        while usable and len(rows) < share * len(texts):
            # A word of a rare label must not fill it alone.
            at = next(
                (i for i, w in enumerate(usable) if len(holders[w]) < share * len(texts) / 3), len(usable) - 1
            )
            word = usable.pop(at)
            rows |= holders[word]
            owner[word] = label
    found = [_told(row, owner) for row in words]
    frequency = np.bincount([label for row in found for label in row], minlength=LABELS - 1) + 1.0
    result = []
    for text, labels in zip(texts, found, strict=True):
        kept = {label for label in sorted(labels) if rng.random() >= 0.2}
        if rng.random() < 0.05:
            kept.add(int(rng.choice(LABELS - 1, p=frequency / frequency.sum())))
        names = tuple(f"label{label + 1:02}" for label in sorted(kept)) or ("neutral",)
        result.append((text, names))
    return result


def _told(words: Sequence[str], owner: dict[str, int]) -> set[int]:
    labels = set()
    for at, word in enumerate(words):
        if word in owner:
            negated = any(before in NEGATIONS for before in words[max(0, at - 3) : at])
            labels.add((owner[word] + negated) % (LABELS - 1))
    return labels


def make(reviews: Iterable[str], folder: Path, rows: int, seed: int = 0) -> Counter[str]:
    """Writes ``train.csv`` and ``test.csv`` (a fifth), and returns the frequencies of the labels."""
    texts = sentences(reviews)
    chosen = np.random.default_rng(seed).permutation(len(texts))[: rows + rows // 5]
    made = labelled([texts[row] for row in chosen], seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", made[:rows]), ("test", made[rows:])):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "labels"])
            writer.writerows((text, "|".join(names)) for text, names in part)
    return Counter(name for _, names in made for name in names)


def measure(folder: Path, settings: Sequence[str], without: Sequence[str], baseline: bool) -> dict[str, Any]:
    """Trains on the set, and returns the figures of the test with and without fitted thresholds."""
    from recurra.config import load_recipe
    from recurra.measure.metrics import classification_metrics
    from recurra.tasks.classification.assess import fit_baseline
    from recurra.tasks.classification.network import Classifier
    from recurra.tasks.classification.outputs import predict_part
    from recurra.tasks.classification.task import TASK
    from recurra.tasks.reporter import Reporter
    from recurra.tasks.settings import build_config, parse_assignment
    from recurra.tasks.training import train_bundle

    if "bias" in without:
        Classifier.expect = lambda self, shares: None  # type: ignore[method-assign]
    own = {"data": {"label_separator": "|"}}
    config: Any = build_config(load_recipe("default"), own, *map(parse_assignment, settings))
    prepared = TASK.prepare(folder / "train.csv", config, Reporter(), test=folder / "test.csv")
    test = prepared.test
    assert test is not None
    names = prepared.assets.labels.names

    def figures(p: NDArray[np.float64], thresholds: NDArray[np.float64] | None) -> dict[str, Any]:
        found = classification_metrics(test.labels, p, names, "multilabel", thresholds)
        shown = {
            name: getattr(found, name) for name in ("macro_f1", "micro_f1", "accuracy", "auc", "log_loss")
        }
        return {name: round(value, 4) for name, value in shown.items()}

    found: dict[str, Any] = {}
    if baseline:
        model = fit_baseline(prepared, Reporter())
        p = model.predict_proba(test.texts(test.rows))
        found["baseline"] = {"0.5": figures(p, None), "fitted": figures(p, model.thresholds)}
    trained = train_bundle(TASK, prepared)
    bundle = trained.bundle
    p = predict_part(bundle, test)
    found["model"] = {"0.5": figures(p, None), "fitted": figures(p, bundle.assets.limits)}
    found["best_epoch"] = trained.outcome.best_epoch
    shown = ("valid_loss", "valid_macro_f1", "valid_micro_f1", "valid_auc")
    found["epochs"] = [
        " ".join(f"{record.metrics[name]:.4f}" for name in shown) for record in trained.outcome.history
    ]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the set, or trains on it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make")
    made.add_argument("reviews", type=Path)
    made.add_argument("folder", type=Path)
    made.add_argument("--rows", type=int, default=43_000)
    measured = commands.add_parser("measure")
    measured.add_argument("folder", type=Path)
    measured.add_argument("--set", action="append", default=[], dest="settings")
    measured.add_argument("--without", action="append", default=[], choices=["bias"])
    measured.add_argument("--no-baseline", action="store_false", dest="baseline")
    options = parser.parse_args(arguments)
    if options.command == "make":
        import pyarrow.parquet

        reviews = pyarrow.parquet.read_table(options.reviews, columns=["text"])["text"].to_pylist()
        for name, count in make(reviews, options.folder, options.rows).most_common():
            print(f"{name:10}{count:7,}")
    else:
        found = measure(options.folder, options.settings, options.without, options.baseline)
        json.dump(found, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()
