"""Learning curves on few rows: the default recipe, each of its experts alone, and the n-gram baseline.

    export RECURRA_DATA=DATA                     # contains sst2/, ag_news/, chnsenticorp/, imdb/
    python -m benchmarks.few_rows run --sets sst2,ag_news --rows 250,1000,4000 --seeds 3
    python -m benchmarks.few_rows table          # of the results so far

A run draws rows of the training file by its seed, stratified by class, and trains on them as `recurra fit`
does: a tenth of the rows are held out for validation, so that 250 rows are all the labels that there are. The
figures are of the test file, or of 2,000 random rows of it, the same for all runs. One thread. Results are
appended to results/few_rows.jsonl, and the same command continues what is missing. The recipe's limit of ten
minutes does not hold here: how many epochs are trained does not depend on the load of the machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results" / "few_rows.jsonl"
TESTED = 2_000
Row = dict[str, Any]


class Set(NamedTuple):
    """A data set: its name, and its files in RECURRA_DATA."""

    name: str
    train: str
    test: str


SETS = {
    "sst2": Set("SST-2", "sst2/train.tsv", "sst2/test.tsv"),
    "ag_news": Set("AG News", "ag_news/train_20k.csv.gz", "ag_news/test.csv.gz"),
    "chnsenticorp": Set("ChnSentiCorp", "chnsenticorp/train.jsonl", "chnsenticorp/test.jsonl"),
    "imdb": Set("IMDB", "imdb/train.parquet", "imdb/test.parquet"),
}


def texts_of(path: Path) -> tuple[list[str], list[str]]:
    """Returns the texts and labels of a labelled file, as `recurra fit` reads them."""
    from recurra.config import DataConfig
    from recurra.io.detect import detect
    from recurra.io.formats import read

    texts: list[str] = []
    labels: list[str] = []
    for rows in read(detect(path, DataConfig())):
        texts += rows.texts
        labels += map(str, rows.labels or ())
    return texts, labels


def drawn(labels: Sequence[str], count: int, seed: int) -> list[int]:
    """Returns the numbers of ``count`` rows, stratified by label, drawn by ``seed``; all if there are fewer.

    Example:
        >>> sorted("aabbbb"[row] for row in drawn([*"aabbbb"], 3, 1))
        ['a', 'b', 'b']
    """
    import numpy as np

    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    names, codes = np.unique(np.asarray(labels)[order], return_inverse=True)
    # The place of each row among those of its label, as a share: the first ones are a stratified sample.
    place = np.empty(len(order))
    for code in range(len(names)):
        inside = np.flatnonzero(codes == code)
        place[inside] = (np.arange(len(inside)) + 0.5) / len(inside)
    return sorted(order[np.argsort(place, kind="stable")[:count]].tolist())


def write(path: Path, texts: Sequence[str], labels: Sequence[str], rows: Iterable[int]) -> Path:
    """Writes rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((texts[row], labels[row]) for row in rows)
    return path


def figures(metrics: Row) -> Row:
    """Returns accuracy, macro-F1, log loss and calibration error of a model, the part of them in a result."""
    return {name: round(metrics[name], 4) for name in ("accuracy", "macro_f1", "log_loss", "ece")}


def measure(train: Path, test: Path, seed: int, settings: Sequence[str] = ()) -> Row:
    """Trains on a file, and returns the figures of the model, of its experts and of the baseline."""
    from recurra.tasks.fit import fit_files
    from recurra.tasks.settings import build_config, parse_assignment, recipe_under

    # without the limit of minutes, which on a crowded machine would choose fewer epochs
    own: Row = {"data": {"text": ["text"], "label": "label"}, "train": {"seed": seed, "minutes": None}}
    layers = (own, *map(parse_assignment, settings))
    config = build_config(recipe_under("default", *layers), *layers)
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = fit_files(train, config, Path(folder) / "model", test=test, explained=0)
    seconds = time.process_time() - begun
    saved = found.assessment.as_json()
    alone = {
        name: figures(part) for name, part in saved.get("experts", {}).items() if "accuracy" in dict_of(part)
    }
    comparison = saved["comparison"]
    return {
        "model": figures(saved["model"]),
        **alone,
        "baseline": figures(saved["baseline"]),
        "difference": [round(comparison[name], 4) for name in ("difference", "low", "high")],
        "best_epoch": found.outcome.best_epoch,
        "epochs": len(found.outcome.history),
        "set_by_rule": getattr(found.bundle.config, "set_by_rule", []),
        "cpu_seconds": round(seconds, 1),
    }


def dict_of(value: Any) -> Row:
    """Returns ``value`` if it is a dictionary, and an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def run(sets: Sequence[str], sizes: Sequence[int], seeds: int, settings: Sequence[str], out: Path) -> None:
    """Runs what is missing in ``out``."""
    data = Path(os.environ["RECURRA_DATA"])
    done = {(row["set"], row["rows"], row["seed"], tuple(row["settings"])) for row in results(out)}
    for key in sets:
        missing = [
            (size, seed)
            for size in sizes
            for seed in range(1, seeds + 1)
            if (key, size, seed, tuple(settings)) not in done
        ]
        if not missing:
            continue
        texts, labels = texts_of(data / SETS[key].train)
        tests = texts_of(data / SETS[key].test)
        with tempfile.TemporaryDirectory() as folder:
            test = write(Path(folder) / "test.csv", *tests, drawn(tests[1], TESTED, 0))
            for size, seed in missing:
                train = write(Path(folder) / "train.csv", texts, labels, drawn(labels, size, seed))
                found = {"set": key, "rows": size, "seed": seed, "settings": list(settings)}
                found |= measure(train, test, seed, settings)
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
                print(json.dumps(found), flush=True)


def results(path: Path = RESULTS) -> list[Row]:
    """Returns the results so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: Sequence[Row]) -> str:
    """Returns the mean accuracies of each set and number of rows as a table of Markdown."""
    systems = ("model", "recurrent", "ngrams", "baseline")
    lines = [
        f"| set | rows | seeds | {' | '.join(systems)} | model minus baseline | CPU s |",
        "|---" * 9 + "|",
    ]
    for key, size in sorted({(row["set"], row["rows"]) for row in rows}):
        these = [row for row in rows if (row["set"], row["rows"]) == (key, size) and not row["settings"]]
        if not these:
            continue
        shown = [
            shares([row[name]["accuracy"] for row in these]) if all(name in row for row in these) else ""
            for name in systems
        ]
        gain = shares([row["difference"][0] for row in these], "+")
        if len(these) == 1:  # the interval over test rows, which with several seeds is each run's own
            low, high = (100 * value for value in these[0]["difference"][1:])
            gain += f" ({low:+.1f} to {high:+.1f})"
        seconds = fmean(row["cpu_seconds"] for row in these)
        name = SETS[key].name
        lines.append(f"| {name} | {size:,} | {len(these)} | {' | '.join(shown)} | {gain} | {seconds:.0f} |")
    return "\n".join(lines)


def shares(values: Sequence[float], sign: str = "") -> str:
    """Returns the mean of shares in percent, with the standard deviation over seeds.

    Example:
        >>> shares([0.80, 0.82]), shares([0.5]), shares([0.01], "+")
        ('81.0 ± 1.4', '50.0', '+1.0')
    """
    mean = format(100 * fmean(values), f"{sign}.1f")
    return f"{mean} ± {100 * stdev(values):.1f}" if len(values) > 1 else mean


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run")
    running.add_argument("--sets", default=",".join(SETS))
    running.add_argument("--rows", default="250,1000,4000")
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    verbs.add_parser("table")
    options = parser.parse_args()
    if options.verb == "table":
        print(table(results()))
        return
    sizes = [int(size) for size in options.rows.split(",")]
    run(options.sets.split(","), sizes, options.seeds, options.set, RESULTS)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    main()
