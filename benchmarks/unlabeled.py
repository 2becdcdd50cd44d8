"""Measures what the unlabelled IMDB reviews give, by the number of labelled rows.

    export RECURRA_DATA=DATA                                      # contains imdb/
    python benchmarks/unlabeled.py run                            # all cells that are not in the results
    python benchmarks/unlabeled.py run --rows all --seeds 1,2,3 --judge test
    python benchmarks/unlabeled.py run --set unlabeled.epochs=2
    python benchmarks/unlabeled.py table

`none` is `recurra fit` with its default recipe, `unlabeled` the same with `--unlabeled`. Both have a limit
of minutes, which `--set train.minutes=null` lifts, for machines that are used by others meanwhile.
Validation rows are whole movies, the same in all runs of a number of rows and a seed; `--judge valid` (the
default) measures on them and reads no test file. The seed determines the labelled rows, weights and batches.
One row per fit is appended to the results, so that an interrupted run continues; the language model, whose
time is in the seconds of the first fit that needs it, is in the cache (RECURRA_CACHE).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.transfer import ALL, data, sampled
from recurra.config import load_recipe, parse_set
from recurra.runtime import facts
from recurra.tasks.fit import fit_files
from recurra.tasks.settings import build_config

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "unlabeled.jsonl"
RECIPES = {"none": "default", "unlabeled": "unlabeled"}
KEY = ("rows", "seed", "start", "settings", "judge")

Row = dict[str, Any]


def measure(rows: str, seed: int, start: str, settings: Sequence[str], judge: str) -> Row:
    """Returns the row of one fit."""
    own = {"data": {"text": ["text"], "label": "label", "group": "movie"}, "train": {"seed": seed}}
    changes = [parse_set(assignment) for assignment in settings]
    config = build_config(load_recipe(RECIPES[start]), *changes, own)
    clock, work = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_files(
            sampled("imdb", rows, seed, Path(folder)),
            config,
            Path(folder) / "model",
            test=data("imdb/test.parquet") if judge == "test" else None,
            unlabeled=data("imdb/unlabeled.parquet") if start == "unlabeled" else None,
            explained=0,
        )
    found = fitted.as_json()
    return {
        "rows": rows, "seed": seed, "start": start, "settings": " ".join(settings), "judge": judge,
        "accuracy": found["model"]["accuracy"], "baseline": (found["baseline"] or {}).get("accuracy"),
        "tested_on": found["model"]["rows"], "best_epoch": found["best_epoch"], "epochs": found["epochs"],
        "pretrained": found["pretrained"], "seconds": round(time.perf_counter() - clock, 1),
        "cpu_seconds": round(time.process_time() - work, 1),
    }  # fmt: skip


def read(path: Path) -> list[Row]:
    """Returns the rows measured so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(arguments: argparse.Namespace) -> None:
    """Measures the fits that are not in the results, small ones first."""
    done = {tuple(row[key] for key in KEY) for row in read(arguments.results)}
    machine = facts()
    commit = ["git", "rev-parse", "--short", "HEAD"]
    where = {
        "run": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
        "commit": subprocess.run(commit, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip(),
        **{name: machine[name] for name in ("recurra", "torch", "cpu", "threads") if name in machine},
    }
    for rows in arguments.rows.split(","):
        for seed in map(int, arguments.seeds.split(",")):
            for start in arguments.starts.split(","):
                if (rows, seed, start, " ".join(arguments.set), arguments.judge) in done:
                    continue
                row = {**measure(rows, seed, start, arguments.set, arguments.judge), **where}
                arguments.results.parent.mkdir(parents=True, exist_ok=True)
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(rows, seed, start, f"{100 * row['accuracy']:.2f}%", f"{row['seconds']} s", flush=True)


def table(rows: Sequence[Row]) -> str:
    """Returns a Markdown table: accuracy in percent, its mean over seeds, and minutes."""
    lines = [
        "| labelled rows | judged on | settings | seeds | n-grams | none | unlabeled | minutes |",
        "|---" * 8 + "|",
    ]
    kinds = dict.fromkeys((row["rows"], row["judge"], row["settings"]) for row in rows)
    for kind in sorted(
        kinds, key=lambda kind: (float("inf") if kind[0] == ALL else float(kind[0]), *kind[1:])
    ):
        of_kind = [row for row in rows if (row["rows"], row["judge"], row["settings"]) == kind]
        by_start = {start: [row for row in of_kind if row["start"] == start] for start in RECIPES}
        seeds = {row["seed"] for row in of_kind}
        baseline = {row["seed"]: row["baseline"] for row in of_kind if row["baseline"] is not None}
        figures = [_mean([100 * value for value in baseline.values()])]
        figures += [_mean([100 * row["accuracy"] for row in found]) for found in by_start.values()]
        minutes = " / ".join(_mean([row["seconds"] / 60 for row in found], 1) for found in by_start.values())
        lines.append(f"| {' | '.join([*kind, str(len(seeds)), *figures, minutes])} |")
    return "\n".join(lines)


def _mean(values: Sequence[float], digits: int = 2) -> str:
    return f"{statistics.mean(values):.{digits}f}" if values else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "table"):
        verbs.add_parser(verb).add_argument("--results", type=Path, default=RESULTS)
    running = verbs.choices["run"]
    running.add_argument("--rows", default=f"250,1000,4000,{ALL}")
    running.add_argument("--seeds", default="1,2,3")
    running.add_argument("--starts", default="none,unlabeled")
    running.add_argument("--judge", choices=("valid", "test"), default="valid")
    running.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if arguments.verb == "run":
        run(arguments)
    else:
        print(table(read(arguments.results)))


if __name__ == "__main__":
    main()
