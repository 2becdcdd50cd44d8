"""The default of `recurra fit` on five sets of texts: accuracy, intervals, calibration and minutes, by seed.

    export RECURRA_DATA=DATA              # contains imdb/, sst2/, chnsenticorp/, ag_news/, zh_shopping/
    python -m benchmarks.default run --work FOLDER --sets sst2,imdb --seeds 1,2,3
    python -m benchmarks.default table    # of the results so far, a line for each set

Each run is one `recurra fit TRAIN --test TEST --seed N` in a process of its own, from the raw files, with no
setting but the group of IMDB (a movie is never on both sides of the validation split). Nothing was chosen on
the test rows: they are read once, after training. Seconds are those of the whole command.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

RESULTS = Path(__file__).parent / "results" / "default.jsonl"
Row = dict[str, Any]
_SHOPPING_SEED = 113  # as in recurra.datasets.load_zh_shopping
_SHOPPING_TEST = 0.1


class Set(NamedTuple):
    """A set of texts.

    Attributes:
        name: the name in tables.
        arguments: the arguments of `recurra fit`, given the folder of the data and one for new files.
    """

    name: str
    arguments: Callable[[Path, Path], list[str]]


def _given(
    train: str, test: str, *options: str, valid: str | None = None
) -> Callable[[Path, Path], list[str]]:
    """Files that are used as they are."""

    def arguments(data: Path, work: Path) -> list[str]:
        held_out = ["--valid", str(data / valid)] if valid else []
        return [str(data / train), "--test", str(data / test), *held_out, *options]

    return arguments


def _shopping(data: Path, work: Path) -> list[str]:
    """The Chinese shop reviews, good or bad, with a tenth drawn at random for testing."""
    [path] = (data / "zh_shopping").glob("*.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["review"].strip()]
    order = np.random.default_rng(_SHOPPING_SEED).permutation(len(rows))
    cut = round(_SHOPPING_TEST * len(rows))
    parts = {"test": order[:cut], "train": order[cut:]}
    for name, numbers in parts.items():
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["label", "review"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows[number] for number in numbers)
        (work / f"shopping-{name}.csv").write_text(text.getvalue(), encoding="utf-8")
    columns = ["--set", "data.text=[review]", "--set", "data.label=label"]
    return [str(work / "shopping-train.csv"), "--test", str(work / "shopping-test.csv"), *columns]


SETS = {
    "imdb": Set("IMDB", _given("imdb/train.parquet", "imdb/test.parquet", "--group", "movie")),
    "sst2": Set("SST-2, sentences", _given("sst2/train.tsv", "sst2/test.tsv", valid="sst2/dev.tsv")),
    "ag_news": Set("AG News, 20,000 rows", _given("ag_news/train_20k.csv.gz", "ag_news/test.csv.gz")),
    "chnsenticorp": Set(
        "ChnSentiCorp",
        _given("chnsenticorp/train.jsonl", "chnsenticorp/test.jsonl", valid="chnsenticorp/validation.jsonl"),
    ),
    "zh_shopping": Set("Shop reviews, Chinese", _shopping),
}


def run(arguments: argparse.Namespace) -> None:
    """Trains every set with every seed, and appends a row to the results after each."""
    data, work = Path(os.environ["RECURRA_DATA"]), arguments.work
    work.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets.split(","):
        files = SETS[name].arguments(data, work)
        for seed in map(int, arguments.seeds.split(",")):
            print(f"{SETS[name].name}, seed {seed}", flush=True)
            row = _measured(name, seed, files, work / f"{name}-{seed}", arguments.set)
            arguments.results.parent.mkdir(parents=True, exist_ok=True)
            with arguments.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(_line([row]), flush=True)


def _measured(name: str, seed: int, files: list[str], out: Path, settings: list[str]) -> Row:
    starter = "import sys; from recurra.cli.main import main; main()"
    chosen = [part for setting in [f"train.seed={seed}", *settings] for part in ("--set", setting)]
    command = ["fit", *files, "--out", str(out), "--overwrite", "--json", *chosen]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", starter, *command], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return {
        "set": name,
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "settings": settings,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_megabytes": round(after.ru_maxrss / 1024),
        **_short(json.loads(done.stdout.splitlines()[-1])),
    }


def _short(value: Any) -> Any:
    """Returns a value without places of files, tables of classes and confusions."""
    if not isinstance(value, dict):
        return value
    dropped = ("model_directory", "report", "classes", "confusion", "confused", "network_thresholds")
    return {key: _short(inner) for key, inner in value.items() if key not in dropped}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def read(path: Path) -> list[Row]:
    """Returns the rows measured so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: list[Row]) -> str:
    """Returns a Markdown table with a line for each set; accuracies in percent, of all seeds."""
    header = (
        "set", "test rows", "seeds", "default", "network alone", "n-grams alone", "default - n-grams (95%)",
        "rows not in training", "calibration error", "minutes", "CPU minutes",
    )  # fmt: skip
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name in dict.fromkeys(row["set"] for row in rows):
        lines.append(_line([row for row in rows if row["set"] == name]))
    return "\n".join(lines)


def _line(rows: list[Row]) -> str:
    """Returns the line of a set: the mean over its seeds, and each seed's paired interval."""

    def mean(*keys: str) -> float:
        return fmean(_at(row, keys) for row in rows)

    seeds = ", ".join(f"{100 * row['model']['accuracy']:.2f}" for row in rows)
    paired = "<br>".join(
        f"{100 * c['difference']:+.2f} ({100 * c['low']:+.2f} to {100 * c['high']:+.2f})"
        for c in (row["comparison"] for row in rows)
    )
    unseen = "all"
    if all(row["model_unseen"] for row in rows):
        unseen = f"{100 * mean('model_unseen', 'accuracy'):.2f}, n-grams "
        unseen += f"{100 * mean('baseline_unseen', 'accuracy'):.2f}"
    chance = ""
    if all("ece_by_chance" in row for row in rows):
        chance = f" (by chance {100 * mean('ece_by_chance'):.1f}%)"
    cells = (
        SETS[rows[0]["set"]].name,
        f"{rows[0]['model']['rows']:,}",
        ", ".join(str(row["seed"]) for row in rows),
        f"**{100 * mean('model', 'accuracy'):.2f}** ({seeds})",
        f"{100 * mean('experts', 'recurrent', 'accuracy'):.2f}",
        f"{100 * mean('baseline', 'accuracy'):.2f}",
        paired,
        unseen,
        f"{100 * mean('model', 'ece'):.1f}%" + chance,
        f"{mean('seconds') / 60:.1f}",
        f"{mean('cpu_seconds') / 60:.1f}",
    )
    return f"| {' | '.join(cells)} |"


class Figures(NamedTuple):
    """The figures of one set in the README, as they are printed: percent, means over the seeds.

    Attributes:
        name: the set.
        rows: test rows.
        seeds: number of seeds.
        accuracy: of the default.
        network: of its network alone.
        ngrams: of its n-grams alone.
        difference: the default minus its n-grams, in points.
        low: the lowest end of the seeds' 95% intervals of the difference.
        high: the highest end.
        minutes: of the whole command.
    """

    name: str
    rows: str
    seeds: int
    accuracy: str
    network: str
    ngrams: str
    difference: str
    low: str
    high: str
    minutes: str


def figures(rows: list[Row]) -> list[Figures]:
    """Returns the figures of each set, in the order of `SETS`; of a seed that was run twice, the newest."""
    found = []
    for name, data_set in SETS.items():
        some = [*{row["seed"]: row for row in rows if row["set"] == name}.values()]
        if not some:
            continue

        def mean(*keys: str, some: list[Row] = some) -> float:
            return fmean(_at(row, keys) for row in some)

        paired = [row["comparison"] for row in some]
        found.append(
            Figures(
                data_set.name,
                f"{some[0]['model']['rows']:,}",
                len(some),
                f"{100 * mean('model', 'accuracy'):.1f}",
                f"{100 * mean('experts', 'recurrent', 'accuracy'):.1f}",
                f"{100 * mean('baseline', 'accuracy'):.1f}",
                f"{100 * mean('comparison', 'difference'):+.1f}",
                f"{100 * min(each['low'] for each in paired):+.1f}",
                f"{100 * max(each['high'] for each in paired):+.1f}",
                f"{mean('seconds') / 60:.1f}",
            )
        )
    return found


def _at(row: Row, keys: tuple[str, ...]) -> float:
    value: Any = row
    for key in keys:
        value = value[key]
    return float(value)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["run", "table"])
    parser.add_argument("--work", type=Path, default=Path("default-models"), help="folder of the models")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--set", action="append", default=[], help="a setting, as of `recurra fit`")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.command == "run":
        run(arguments)
    else:
        print(table(read(arguments.results)))


if __name__ == "__main__":
    main()
