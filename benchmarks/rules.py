"""Do the course's four rules hold? Each is measured with `recurra compare` on four sets of texts.

    export RECURRA_DATA=DATA                     # holds sst2/, chnsenticorp/, ag_news/, imdb/
    python benchmarks/rules.py run --work /tmp/rules --sets sst2 --jobs 2
    python benchmarks/rules.py table             # of what has been measured so far

The rules: "always LSTM instead of SimpleRNN", "bidirectional whenever possible", "stack if n is large",
"pretrain the embedding if n is small". One thing is changed at a time: every arm is the recipe `lstm` (100
units, Adam, 10,000 words) but for the one setting that its rule names (two layers are a stack). `small` is
1,000 training rows (on SST-2 also 250), drawn by the seed, up to 60 epochs in batches of 32; `large` is every
row (of IMDB 4,000), up to 15 epochs in batches of 64. The validation rows choose the epoch, by accuracy for
`small` and by loss for `large`. A study that was stopped goes on with the same command.
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
# On few rows the loss is lowest before much is learned.
SMALL = ("train.batch_size=32", "train.epochs=60", "train.patience=12", "train.monitor=accuracy")
LARGE = ("train.batch_size=64", "train.epochs=15", "train.patience=3")
EVERY = ("train.clip_norm=1.0", "model.embedding=64")  # as wide as the pretrained vectors


class Set(NamedTuple):
    """A data set's files below RECURRA_DATA, and what it needs."""

    name: str
    train: str
    valid: str | None
    test: str
    tokens: int
    vectors: str
    """What the vectors were pretrained on: below ``--work``/vectors."""
    group: str | None = None
    small: str = "1000"
    large: str = "all"
    seeds_small: int = 3
    seeds_large: int = 3
    tested: int | None = None
    """So many random test rows in place of all."""


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


def command(found: Set, scale: str, arguments: argparse.Namespace, out: Path) -> list[str]:
    """What to type for one study."""
    data = Path(os.environ["RECURRA_DATA"])
    test = data / found.test
    if found.tested:
        whole = pq.read_table(test)
        chosen = np.sort(np.random.default_rng(0).choice(whole.num_rows, found.tested, replace=False))
        test = arguments.work / f"{out.name}-test.parquet"
        pq.write_table(whole.take(pa.array(chosen)), test)
    arms = ["lstm", *RULES] if scale == "small" else ["lstm", *list(RULES)[:3]]
    seeds = found.seeds_small if scale == "small" else found.seeds_large
    options = ["--recipes", ",".join(arms), "--seeds", str(seeds), "--test", str(test)]
    options += ["--out", str(out), "--jobs", str(arguments.jobs)]
    options += ["--sizes", found.small if scale == "small" else found.large]
    options += ["--pretrained", str(arguments.work / "vectors" / found.vectors)] if scale == "small" else []
    options += ["--valid", str(data / found.valid)] if found.valid else []
    options += ["--group", found.group] if found.group else []
    settings = [*EVERY, *(SMALL if scale == "small" else LARGE), f"tokenizer.max_tokens={found.tokens}"]
    options += [part for one in settings for part in ("--set", one)]
    return ["recurra", "compare", str(data / found.train), *options]


def run(arguments: argparse.Namespace) -> None:
    """One study after the other; what each found is added to the results when it is complete."""
    for name in arguments.sets.split(","):
        for scale in arguments.scales.split(","):
            out = arguments.work / f"{name}-{scale}"
            typed = command(SETS[name], scale, arguments, out)
            print(*typed, flush=True)
            starter = "import sys; from recurra.cli.main import main; main()"
            subprocess.run([sys.executable, "-c", starter, *typed[1:]], check=True)
            found = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
            former = [row for row in read(arguments.results) if (row["set"], row["scale"]) != (name, scale)]
            rows = [
                {"set": name, "scale": scale, "measured_on": found["measured_on"], **arm}
                for arm in found["arms"]
            ]
            arguments.results.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in (*former, *rows)]
            arguments.results.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows measured so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: a line a training set, a column a rule; what is real stands in bold."""
    names = ("set", "rows", "seeds", "n-grams", "LSTM", *RULES.values())
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for name, count in dict.fromkeys((row["set"], row["training_rows"]) for row in rows):
        mine = {row["arm"]: row for row in rows if (row["set"], row["training_rows"]) == (name, count)}
        seeds = max(row["seeds"] for row in mine.values())
        cells = [SETS[name].name, f"{count:,}", str(seeds)]
        cells += [f"{100 * mine[key]['accuracy']:.1f}" for key in ("n-grams", "lstm")]
        cells += [_gain(mine.get(arm)) for arm in RULES]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _gain(row: dict[str, Any] | None) -> str:
    """The points that the rule gains and, in brackets, how many times the time it takes."""
    if row is None or "difference" not in row:
        return ""
    # The first rule is about the LSTM, which is what the others are compared to.
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
    running.add_argument("--work", type=Path, required=True, help="for the studies, and vectors/ below it")
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
