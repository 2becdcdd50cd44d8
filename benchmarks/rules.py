"""Do the course's four rules hold? Each is measured with `recurra compare` on four sets of texts.

    export RECURRA_DATA=DATA                     # holds sst2/, chnsenticorp/, ag_news/, imdb/
    python benchmarks/rules.py run --work /tmp/rules --sets sst2 --jobs 2
    python benchmarks/rules.py table             # of what has been measured so far

The rules: "always LSTM instead of SimpleRNN", "bidirectional whenever possible", "stack if n is large",
"pretrain the embedding if n is small". One thing is changed at a time: every arm is the recipe `lstm` (100
units, Adam, 10,000 words) but for the one setting that its rule names. `small` is 1,000 training rows (on
SST-2 also 250), drawn by the seed, up to 60 epochs in batches of 32; `large` is every row (of IMDB 4,000), up
to 15 epochs in batches of 64. The validation rows choose the epoch, by accuracy for `small` and by loss for
`large`. A study that was stopped goes on with the same command; its figures go to the results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results" / "rules.jsonl"
ARMS = {
    "lstm+model.cell=simple_rnn": "SimpleRNN",
    "lstm+model.bidirectional=true": "bidirectional",
    "lstm+model.layers=2": "stacked",
    "lstm+pretrained": "pretrained, frozen",
    "lstm+pretrained-tuned": "pretrained, tuned",
}
RULES = {
    "always LSTM instead of SimpleRNN": ["SimpleRNN"],
    "bidirectional whenever possible": ["bidirectional"],
    "stack if n is large": ["stacked"],
    "pretrain the embedding if n is small": ["pretrained, frozen", "pretrained, tuned"],
}
VERDICTS = {"better": "better", "worse": "worse", "same": "no difference that matters", "open": "not shown"}
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
    arms = ["lstm", *ARMS] if scale == "small" else ["lstm", *list(ARMS)[:3]]
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
    """A Markdown table of every rule on every set, and one of the accuracies."""
    names = ("rule", "set", "training rows", "difference, points", "verdict", "time")
    lines = [f"| {' | '.join(names)} |", "|---|---|---|---|---|---|", *_rule_lines(rows)]
    others = ("set", "training rows", "seeds", "LSTM", *ARMS.values(), "n-grams")
    lines += ["", f"| {' | '.join(others)} |", "|---" * len(others) + "|", *_accuracy_lines(rows)]
    return "\n".join(lines)


def _rule_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    for rule, techniques in RULES.items():
        for row in rows:
            technique = ARMS.get(row["arm"])
            if technique not in techniques or "difference" not in row:
                continue
            low, high = row["difference_interval"]
            # The first rule is about the LSTM, which is what the others are compared to.
            sign = -1 if technique == "SimpleRNN" else 1
            opposite = {"better": "worse", "worse": "better"}
            verdict = opposite.get(row["verdict"], row["verdict"]) if sign < 0 else row["verdict"]
            cost = row["cost"] ** sign
            cells = (
                f"{rule}{f' ({technique})' if len(techniques) > 1 else ''}",
                SETS[row["set"]].name,
                f"{row['training_rows']:,}",
                f"{100 * sign * row['difference']:+.1f} ± {50 * (high - low):.1f}".replace("-", "−"),
                VERDICTS[verdict],
                f"{cost:.1f} times",
            )
            yield f"| {' | '.join(cells)} |"


def _accuracy_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    keys = ["lstm", *ARMS, "n-grams"]
    for place in dict.fromkeys((row["set"], row["training_rows"]) for row in rows):
        mine = {row["arm"]: row for row in rows if (row["set"], row["training_rows"]) == place}
        shown = [f"{100 * mine[key]['accuracy']:.1f}" if key in mine else "" for key in keys]
        seeds = max(row["seeds"] for row in mine.values())
        yield f"| {' | '.join([SETS[place[0]].name, f'{place[1]:,}', str(seeds), *shown])} |"


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
