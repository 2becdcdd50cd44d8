"""What each lever of the default recipe gives the network, and the network beside the n-gram model.

    export RECURRA_DATA=DATA                     # contains sst2/, ag_news/, chnsenticorp/, imdb/
    python -m benchmarks.levers run --sets sst2,chnsenticorp --arms "base|pairs" --seeds 1
    python -m benchmarks.levers table            # of the results so far

Test files are not read. Held-out rows of the training file (of IMDB a fifth of them, by movie) and a
validation file, if there is one, are the validation rows. Both models train on the other rows. The figures
are of the epoch that training keeps: accuracy and log loss of calibrated probabilities on the validation
rows, of the network alone and of both models, combined by weights that are fitted on four fifths of the
validation rows and measured on the fifth. One thread. Results are appended to results/levers.jsonl; the
same command continues what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.few_rows import texts_of

RESULTS = Path(__file__).parent / "results" / "levers.jsonl"
FOLDS = 5
Row = dict[str, Any]


class Set(NamedTuple):
    """A data set: its files in RECURRA_DATA, and the training rows that are held out."""

    train: str
    valid: str | None
    held_out: int


SETS = {
    "sst2": Set("sst2/train.tsv", "sst2/dev.tsv", 1_420),
    "chnsenticorp": Set("chnsenticorp/train.jsonl", "chnsenticorp/validation.jsonl", 1_200),
    "ag_news": Set("ag_news/train_20k.csv.gz", None, 4_000),
    "imdb": Set("imdb/train.parquet", None, 5_000),
}

_BASE = (
    "model.units=32 model.embedding=64 model.pooling=[mean,max] model.word_dropout=0.2 "
    "train.learning_rate=0.003 train.schedule=cosine train.epochs=6 train.patience=6 train.average=0.5"
)
ARMS = {
    "former": "model.units=32 model.embedding=64 model.pooling=mean train.learning_rate=0.001 "
    "train.epochs=10 train.patience=2",
    "base": _BASE,
    "mean": f"{_BASE} model.pooling=mean",
    "max": f"{_BASE} model.pooling=max",
    "no word dropout": f"{_BASE} model.word_dropout=0",
    "no average": f"{_BASE} train.average=0",
    "wide": f"{_BASE} model.units=128 model.embedding=128",
    "adversarial": f"{_BASE} train.adversarial=0.1",
    "neighbours": f"{_BASE} model.initial_embedding=neighbours",
    "pairs": f"{_BASE} model.bigrams=50000",
    "pairs, adversarial": f"{_BASE} model.bigrams=50000 train.adversarial=0.1",
    "pairs, adversarial, neighbours": f"{_BASE} model.bigrams=50000 train.adversarial=0.1 "
    "model.initial_embedding=neighbours",
    "all, wide": f"{_BASE} model.bigrams=50000 train.adversarial=0.1 model.initial_embedding=neighbours "
    "model.units=128 model.embedding=128",
}
"""Settings of each arm; later ones take precedence."""


class Rows(NamedTuple):
    """The texts and labels of a set."""

    texts: list[str]
    labels: list[str]
    valid_texts: list[str]
    valid_labels: list[str]


@cache
def rows_of(name: str) -> Rows:
    """Returns the training and the validation rows of a set; the same ones each time."""
    data, found = Path(os.environ["RECURRA_DATA"]), SETS[name]
    texts, labels = texts_of(data / found.train)
    held = np.zeros(len(texts), bool)
    if name == "imdb":
        import pandas

        from recurra.io.splits import split

        movies = pandas.read_parquet(data / found.train, columns=["movie"])["movie"].astype(str)
        groups = np.unique(movies, return_inverse=True)[1]
        codes = np.unique(labels, return_inverse=True)[1]
        held[split(codes, found.held_out / len(texts), 1, groups)[1]] = True
    else:
        held[np.random.default_rng(0).choice(len(texts), found.held_out, replace=False)] = True
    more = texts_of(data / found.valid) if found.valid else ([], [])

    def of(values: Sequence[str], which: NDArray[np.bool_]) -> list[str]:
        return [value for value, taken in zip(values, which, strict=True) if taken]

    return Rows(of(texts, ~held), of(labels, ~held), of(texts, held) + more[0], of(labels, held) + more[1])


@cache
def ngrams_of(name: str) -> NDArray[np.float64]:
    """Returns the logarithms of the n-gram model's probabilities of the validation rows, (N, C)."""
    from recurra.tasks.classification.ngrams import NgramModel

    rows = rows_of(name)
    names, codes = np.unique(rows.labels, return_inverse=True)
    kind = "binary" if len(names) == 2 else "multiclass"
    model = NgramModel().fit(rows.texts, codes, kind, len(names))
    return np.log(np.clip(model.predict_proba(rows.valid_texts), 1e-9, 1))


def network_of(name: str, settings: str, seed: int) -> tuple[NDArray[np.float64], Row]:
    """Trains a network; returns the logarithms of its probabilities of the validation rows, and its costs."""
    from recurra import TextClassifier
    from recurra.config import merged_settings
    from recurra.tasks.settings import parse_assignment

    rows = rows_of(name)
    own: Row = {
        "rules": False,
        "tokenizer": {"max_tokens": 400},
        "model": {"experts": ["recurrent"], "evidence": 0, "words": 0, "head_dropout": 0.5},
        "train": {"seed": seed, "schedule": "constant"},
    }
    merged = merged_settings(own, *map(parse_assignment, settings.split()))
    model = TextClassifier(settings=merged, random_state=None)
    model.random_state = seed
    begun = time.process_time()
    model.fit(rows.texts, rows.labels, validation_data=(rows.valid_texts, rows.valid_labels))
    seconds = time.process_time() - begun
    losses = list(model.history_["val_loss"])
    costs = {"epochs": len(losses), "best_epoch": 1 + int(np.argmin(losses)), "cpu_seconds": round(seconds)}
    return np.log(np.clip(model.predict_proba(rows.valid_texts), 1e-9, 1)), costs


def figures(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> tuple[float, float]:
    """Returns the log loss and the accuracy of logits (N, C)."""
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    right = np.arange(len(truth)), truth
    return float(-log_p[right].mean()), float((logits.argmax(axis=1) == truth).mean())


def combined(parts: Sequence[NDArray[np.float64]], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns weighted sums of logits, with weights of 0 or more that are fitted on the other rows.

    Example:
        >>> logits = np.log([[0.9, 0.1], [0.2, 0.8]] * 20)
        >>> combined([logits, 0 * logits], np.array([0, 1] * 20)).argmax(axis=1)[:2].tolist()
        [0, 1]
    """
    fold = np.random.default_rng(7).permutation(len(truth)) % FOLDS
    sums = np.zeros_like(parts[0])
    for number in range(FOLDS):
        fitted, measured = fold != number, fold == number

        def loss(weights: NDArray[np.float64], rows: NDArray[np.bool_] = fitted) -> float:
            return figures(mixed(weights, rows), truth[rows])[0]

        def mixed(weights: NDArray[np.float64], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
            return sum((abs(w) * part[rows] for w, part in zip(weights, parts, strict=True)), np.zeros(()))

        start = np.full(len(parts), 1 / len(parts))
        weights = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 150}).x
        sums[measured] = mixed(weights, measured)
    return sums


def run(sets: Sequence[str], arms: Sequence[str], seeds: int, out: Path) -> None:
    """Runs what is missing in ``out``."""
    done = {(row["set"], row["settings"], row["seed"]) for row in results(out)}
    for name in sets:
        for arm in arms:
            for seed in range(1, seeds + 1):
                if (name, ARMS[arm], seed) in done:
                    continue
                logits, costs = network_of(name, ARMS[arm], seed)
                truth = np.unique(rows_of(name).valid_labels, return_inverse=True)[1]
                pairs = {"network": [logits], "ngrams": [ngrams_of(name)], "both": [logits, ngrams_of(name)]}
                found: Row = {"set": name, "arm": arm, "settings": ARMS[arm], "seed": seed, **costs}
                for key, parts in pairs.items():
                    log_loss, accuracy = figures(combined(parts, truth), truth)
                    found[key] = {"log_loss": round(log_loss, 4), "accuracy": round(accuracy, 4)}
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
                print(json.dumps(found), flush=True)


def results(path: Path = RESULTS) -> list[Row]:
    """Returns the results so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: Sequence[Row]) -> str:
    """Returns the results as a table of Markdown, one line a run."""
    lines = ["| set | arm | seed | network | n-grams | both | epoch | CPU s |", "|---" * 8 + "|"]
    for row in sorted(rows, key=lambda row: (row["set"], list(ARMS).index(row["arm"]), row["seed"])):
        shown = [
            f"{100 * row[k]['accuracy']:.2f} ({row[k]['log_loss']:.4f})"
            for k in ("network", "ngrams", "both")
        ]
        costs = f"{row['best_epoch']} of {row['epochs']} | {row['cpu_seconds']}"
        lines.append(f"| {row['set']} | {row['arm']} | {row['seed']} | {' | '.join(shown)} | {costs} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run")
    running.add_argument("--sets", default=",".join(SETS))
    running.add_argument("--arms", default="|".join(ARMS), help="names, separated by |")
    running.add_argument("--seeds", type=int, default=1)
    verbs.add_parser("table")
    options = parser.parse_args()
    if options.verb == "table":
        print(table(results()))
        return
    run(options.sets.split(","), options.arms.split("|"), options.seeds, RESULTS)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    main()
