"""Accuracy and CPU seconds of the cells without a recurrent matrix beside LSTM and GRU.

    export RECURRA_DATA=DATA                     # contains sst2/, ag_news/, imdb/, series/, ptb/
    python benchmarks/scans.py run --work FOLDER --sets sst2,ag_news
    python benchmarks/scans.py table             # of the results so far

Each set is one `recurra compare`. All arms of a set have the recipe, width and rows of the first one; only
the cell differs. One thread. CPU seconds are those of a training: all epochs until early stopping, with
validation. The same command continues an interrupted study.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results" / "scans.jsonl"
CELLS = ("lstm", "gru", "min_gru", "min_lstm", "sru", "qrnn")
Row = dict[str, Any]


class Set(NamedTuple):
    """A data set, and the options of `recurra compare` for it."""

    name: str
    recipe: str
    files: Callable[[Path, Path], list[str]]
    """The files as arguments, given the folder of the data and one for new files."""
    settings: tuple[str, ...]
    seeds: int
    size: str | None = None
    """Number of training rows; None where the task has no such option."""
    group: str | None = None


def classified(train: str, test: str, valid: str | None = None) -> Callable[[Path, Path], list[str]]:
    """Files that are used as they are."""

    def files(data: Path, work: Path) -> list[str]:
        options = ["--valid", str(data / valid)] if valid else []
        return [str(data / train), "--test", str(data / test), *options]

    return files


def imdb(data: Path, work: Path) -> list[str]:
    """The training reviews, and 5,000 random test reviews."""
    whole, test = pq.read_table(data / "imdb" / "test.parquet"), work / "imdb-test.parquet"
    chosen = np.sort(np.random.default_rng(0).choice(whole.num_rows, 5000, replace=False))
    pq.write_table(whole.take(pa.array(chosen)), test)
    return [str(data / "imdb" / "train.parquet"), "--test", str(test)]


def treebank(data: Path, work: Path) -> list[str]:
    """The first 5,000 training lines, the whole validation and test files."""
    paths = {}
    for name, lines in (("train", 5_000), ("valid", None), ("test", None)):
        text = gzip.decompress((data / "ptb" / f"{name}.txt.gz").read_bytes()).decode("utf-8")
        paths[name] = work / f"ptb-{name}.txt"
        paths[name].write_text("\n".join(text.splitlines()[:lines]) + "\n", encoding="utf-8")
    return [str(paths["train"]), "--valid", str(paths["valid"]), "--test", str(paths["test"])]


TEXTS, SHORT = ("train.epochs=8",), ("train.epochs=5",)
SETS = {
    "sst2": Set(
        "SST-2", "default", classified("sst2/train.tsv", "sst2/test.tsv", "sst2/dev.tsv"), TEXTS, 3, "all"
    ),
    "ag_news": Set(
        "AG News", "default", classified("ag_news/train_20k.csv.gz", "ag_news/test.csv.gz"), SHORT, 2, "4000"
    ),
    "imdb": Set("IMDB", "default", imdb, SHORT, 2, "4000", "movie"),
    "etth1": Set(
        "ETTh1", "forecaster", lambda data, work: [str(data / "series" / "ETTh1.csv.gz")],
        ("series.target=OT", "series.lookback=3d"), 2,
    ),
    "ptb": Set(
        "PTB", "language-model", treebank,
        (
            "tokenizer.level=whitespace", "tokenizer.vocab_size=10001", "model.units=128",
            "model.embedding=128", "model.layers=1", "model.experts=recurrent", "language.samples=1000",
            "train.epochs=3", "train.batch_size=20",
        ), 2,
    ),
}  # fmt: skip


def command(chosen: Set, data: Path, work: Path, out: Path) -> list[str]:
    """The arguments of one study."""
    arms = [f"{chosen.recipe}+model.cell={cell}" for cell in CELLS]
    options = ["--recipes", ",".join(arms), "--seeds", str(chosen.seeds), "--no-stop-early"]
    options += ["--out", str(out), "--jobs", "1"]
    options += ["--sizes", chosen.size] if chosen.size else []
    options += ["--group", chosen.group] if chosen.group else []
    options += [part for setting in chosen.settings for part in ("--set", setting)]
    return ["compare", *chosen.files(data, work), *options]


def run(arguments: argparse.Namespace) -> None:
    """Runs one study after the other; the results of a study are saved when it is complete."""
    data = Path(os.environ["RECURRA_DATA"])
    arguments.work.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets.split(","):
        out = arguments.work / name
        typed = command(SETS[name], data, arguments.work, out)
        print("recurra", *typed, flush=True)
        starter = "import sys; from recurra.cli.main import main; main()"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "RECURRA_THREADS": "1"}
        subprocess.run([sys.executable, "-c", starter, *typed], check=True, env=environment)
        comparison = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
        runs = [json.loads(line) for line in (out / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
        kept = [row for row in read(arguments.results) if row["set"] != name]
        rows = [*kept, *(_row(name, comparison, arm, runs) for arm in comparison["arms"])]
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        arguments.results.write_text("".join(lines), encoding="utf-8")


def _row(name: str, comparison: Row, arm: Row, runs: list[Row]) -> Row:
    """What the comparison says of an arm, and the processor time of each of its runs."""
    spent = [run["cpu_seconds"] for run in runs if run["arm"] == arm["arm"]]
    return {
        "set": name,
        "measured_on": comparison["measured_on"],
        "cell": arm["arm"].split("model.cell=")[-1],
        "cpu_seconds": [round(seconds, 2) for seconds in spent],
        **arm,
    }


def read(path: Path) -> list[Row]:
    """The rows measured so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: list[Row]) -> str:
    """A Markdown table: a line for each set and cell."""
    names = (
        "set",
        "cell",
        "rows",
        "seeds",
        "figure",
        "difference from LSTM",
        "parameters",
        "CPU s",
        "of LSTM's",
    )
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        lstm = next(other for other in rows if other["set"] == row["set"] and other["cell"] == "lstm")
        seconds = fmean(row["cpu_seconds"]) if row["cpu_seconds"] else math.nan
        share = seconds / fmean(lstm["cpu_seconds"])
        cells = [
            SETS[row["set"]].name, f"`{row['cell']}`", f"{row['training_rows']:,}", str(row["seeds"]),
            _figure(row), _difference(row), f"{row['parameters']:,}", f"{seconds:.1f}", f"{share:.2f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(row: Row) -> str:
    """The criterion in the unit of its task, with its 95% interval."""
    if "accuracy" in row:
        values = [100 * row["accuracy"], *(100 * end for end in row["accuracy_interval"] or ())]
        return _interval(values, "{:.1f}%", "{:.1f}")
    name = next(
        key.removesuffix("_interval")
        for key in row
        if key.endswith("_interval") and key != "difference_interval"
    )
    values = [row[name], *(row[f"{name}_interval"] or ())]
    if SETS[row["set"]].recipe == "language-model":
        return "perplexity " + _interval([math.exp(value) for value in values], "{:.1f}", "{:.1f}")
    return _interval(values, "{:.3f}", "{:.3f}")


def _interval(values: list[float], first: str, end: str) -> str:
    interval = f" ({end.format(values[1])} to {end.format(values[2])})" if len(values) == 3 else ""
    return first.format(values[0]) + interval


def _difference(row: Row) -> str:
    """The difference in points or hundredths, bold where it is shown."""
    if "difference" not in row:
        return ""
    low, high = row["difference_interval"]
    text = f"{100 * row['difference']:+.1f} ± {50 * (high - low):.1f}".replace("-", "−")
    return f"**{text}**" if row["verdict"] in ("better", "worse") else text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "table"):
        verbs.add_parser(verb).add_argument("--results", type=Path, default=RESULTS)
    running = verbs.choices["run"]
    running.add_argument("--work", type=Path, required=True, help="the folder of the studies")
    running.add_argument("--sets", default=",".join(SETS))
    arguments = parser.parse_args()
    if arguments.verb == "run":
        if "RECURRA_DATA" not in os.environ:
            sys.exit("set RECURRA_DATA to the folder of the data sets")
        run(arguments)
    else:
        print(table(read(arguments.results)))


if __name__ == "__main__":
    main()
