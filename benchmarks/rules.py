"""Tests four rules of the course with `recurra compare` on four data sets.

    export RECURRA_DATA=DATA                     # contains sst2/, chnsenticorp/, ag_news/, imdb/
    python benchmarks/rules.py run --work /tmp/rules --sets sst2 --jobs 2
    python benchmarks/rules.py table             # of the results so far

The rules: "always LSTM instead of SimpleRNN", "bidirectional whenever possible", "stack if n is large",
"pretrain the embedding if n is small". Every arm is the recipe `lstm` (100 units, Adam, 10,000 words) with
the one setting of its rule changed (a stack has two layers). `small` uses 1,000 random training rows (on
SST-2 also 250), up to 60 epochs and batches of 32; `large` uses all rows (4,000 of IMDB), up to 15 epochs and
batches of 64. The validation rows choose the epoch, by accuracy for `small` and by loss for `large`. The same
command continues an interrupted study.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results" / "rules.jsonl"
SIMPLE_RNN = "lstm+model.cell=simple_rnn"
RULES = {
    SIMPLE_RNN: "LSTM, not SimpleRNN",
    "lstm+model.bidirectional=true": "bidirectional",
    "lstm+model.layers=2": "stacked",
    "lstm+pretrained": "pretrained, frozen",
    "lstm+pretrained-tuned": "pretrained, tuned",
}
# With few rows the loss is lowest before much is learned.
SMALL = ("train.batch_size=32", "train.epochs=60", "train.patience=12", "train.monitor=accuracy")
LARGE = ("train.batch_size=64", "train.epochs=15", "train.patience=3")
EVERY = ("train.clip_norm=1.0", "model.embedding=64")  # the size of the pretrained vectors


class Set(NamedTuple):
    """The files of a data set in RECURRA_DATA, and its settings."""

    name: str
    train: str
    valid: str | None
    test: str
    tokens: int
    vectors: str
    """The data set of the pretrained vectors, a folder in ``--work``/vectors."""
    group: str | None = None
    small: str = "1000"
    large: str = "all"
    seeds_small: int = 3
    seeds_large: int = 3
    tested: int | None = None
    """Number of random test rows; None: all rows."""


SETS = {
    "sst2": Set(
        "SST-2", "sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv", 60, "imdb", None, "250,1000", "all", 5, 12
    ),
    "chnsenticorp": Set(
        "ChnSentiCorp",
        "chnsenticorp/train.jsonl",
        "chnsenticorp/validation.jsonl",
        "chnsenticorp/test.jsonl",
        100,
        "zh_shopping",
        seeds_large=5,
    ),
    "ag_news": Set("AG News", "ag_news/train_20k.csv.gz", None, "ag_news/test.csv.gz", 60, "imdb"),
    "imdb": Set(
        "IMDB",
        "imdb/train.parquet",
        None,
        "imdb/test.parquet",
        80,
        "sst2",
        "movie",
        large="4000",
        seeds_large=5,
        tested=5000,
    ),
}


def command(data_set: Set, scale: str, arguments: argparse.Namespace, out: Path) -> list[str]:
    """Returns the command of one study."""
    data = Path(os.environ["RECURRA_DATA"])
    test = data / data_set.test
    if data_set.tested:
        whole = pq.read_table(test)
        chosen = np.sort(np.random.default_rng(0).choice(whole.num_rows, data_set.tested, replace=False))
        test = arguments.work / f"{out.name}-test.parquet"
        pq.write_table(whole.take(pa.array(chosen)), test)
    arms = ["lstm", *RULES] if scale == "small" else ["lstm", *list(RULES)[:3]]
    seeds = data_set.seeds_small if scale == "small" else data_set.seeds_large
    options = ["--recipes", ",".join(arms), "--seeds", str(seeds), "--test", str(test)]
    options += ["--out", str(out), "--jobs", str(arguments.jobs)]
    options += ["--sizes", data_set.small if scale == "small" else data_set.large]
    options += (
        ["--pretrained", str(arguments.work / "vectors" / data_set.vectors)] if scale == "small" else []
    )
    options += ["--valid", str(data / data_set.valid)] if data_set.valid else []
    options += ["--group", data_set.group] if data_set.group else []
    settings = [*EVERY, *(SMALL if scale == "small" else LARGE), f"tokenizer.max_tokens={data_set.tokens}"]
    options += [part for setting in settings for part in ("--set", setting)]
    return ["recurra", "compare", str(data / data_set.train), *options]


def run(arguments: argparse.Namespace) -> None:
    """Runs one study after the other; the results of a study are saved when it is complete."""
    for name in arguments.sets.split(","):
        for scale in arguments.scales.split(","):
            out = arguments.work / f"{name}-{scale}"
            command_line = command(SETS[name], scale, arguments, out)
            print(*command_line, flush=True)
            starter = "import sys; from recurra.cli.main import main; main()"
            subprocess.run([sys.executable, "-c", starter, *command_line[1:]], check=True)
            comparison = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
            kept = [row for row in read(arguments.results) if (row["set"], row["scale"]) != (name, scale)]
            rows = [
                {"set": name, "scale": scale, "measured_on": comparison["measured_on"], **arm}
                for arm in comparison["arms"]
            ]
            arguments.results.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in (*kept, *rows)]
            arguments.results.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """Returns the rows measured so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: a line per training set, a column per rule, real differences in bold."""
    names = ("set", "rows", "seeds", "n-grams", "LSTM", *RULES.values())
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for name, count in dict.fromkeys((row["set"], row["training_rows"]) for row in rows):
        arms = {row["arm"]: row for row in rows if (row["set"], row["training_rows"]) == (name, count)}
        seeds = max(row["seeds"] for row in arms.values())
        cells = [SETS[name].name, f"{count:,}", str(seeds)]
        cells += [f"{100 * arms[key]['accuracy']:.1f}" for key in ("n-grams", "lstm")]
        cells += [_gain(arms.get(arm)) for arm in RULES]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _gain(row: dict[str, Any] | None) -> str:
    """Returns the gain of the rule in points and, in brackets, its relative time."""
    if row is None or "difference" not in row:
        return ""
    # The first rule is about the LSTM, with which the other arms are compared.
    sign = -1 if row["arm"] == SIMPLE_RNN else 1
    low, high = row["difference_interval"]
    points = f"{round(100 * sign * row['difference'], 1) + 0.0:+.1f} ± {50 * (high - low):.1f}".replace(
        "-", "−"
    )
    real = "**" if row["verdict"] in ("better", "worse") else ""
    return f"{real}{points}{real} ({row['cost'] ** sign:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "table"):
        verbs.add_parser(verb).add_argument("--results", type=Path, default=RESULTS)
    running = verbs.choices["run"]
    running.add_argument(
        "--work", type=Path, required=True, help="the folder of the studies, with vectors/ in it"
    )
    running.add_argument("--sets", default=",".join(SETS))
    running.add_argument("--scales", default="large,small")
    running.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.verb == "run":
        if "RECURRA_DATA" not in os.environ:
            sys.exit("set RECURRA_DATA to the folder of the data sets")
        run(arguments)
    else:
        print(table(read(arguments.results)))


if __name__ == "__main__":
    main()
