"""Measures an epoch by several processes beside one with as many threads: efficiency on this machine.

    export RECURRA_DATA=DATA                # contains imdb/train.parquet
    python benchmarks/distributed.py --repeats 5 --steps 120        # some 10 minutes
    python benchmarks/distributed.py --processes 4 --recipe default

One process with N threads and N processes with one thread each make the same steps on IMDB, in turns: one of
them computes at a time, and each repeat has both, in alternating order. The time is that of the training
batches of the second epoch, as in ``history.csv``, without reading, validation and checkpoints. One row per
repeat is appended to the results, and the medians are printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from epoch import commit, imdb

from recurra.runtime import facts

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "distributed.jsonl"
EPOCHS = 2


def seconds(recipe: str, processes: int, threads: int, steps: int, folder: Path) -> float:
    """Trains, and returns the seconds of the batches of the second epoch."""
    out = folder / "model"
    settings = {
        "train.epochs": EPOCHS,
        "train.steps_per_epoch": steps,
        "train.minutes": "null",
        "data.valid_rows": 500,
    }
    command = [
        *(sys.executable, "-m", "recurra", "fit", imdb() / "train.parquet", "--out", out, "--overwrite"),
        *("--recipe", recipe, "--workers", processes, "--no-baseline", "--quiet"),
        *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    ]
    environment = {**os.environ, "RECURRA_THREADS": str(threads)}
    subprocess.run([*map(str, command)], check=True, env=environment)
    with (out / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return float(rows[EPOCHS - 1]["seconds"])


def table(rows: list[dict[str, object]]) -> str:
    """Returns the medians of both ways as a Markdown table."""
    first = rows[0]
    times = {name: [float(str(row[name])) for row in rows] for name in ("one", "several")}
    middle = {name: statistics.median(values) for name, values in times.items()}
    shown = [f"{middle[name]:.1f} s ({min(each):.1f} to {max(each):.1f})" for name, each in times.items()]
    count = first["processes"]
    cells = [f"`{first['recipe']}`", count, first["steps"], *shown]
    head = ["recipe", "processes", "steps", f"1 process, {count} threads", f"{count} processes, 1 thread"]
    return "\n".join(
        [
            f"| {' | '.join([*head, 'efficiency'])} |",
            "|---" * (len(head) + 1) + "|",
            f"| {' | '.join(map(str, cells))} | {100 * middle['one'] / middle['several']:.0f}% |",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", default="lstm")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=352, help="steps of an epoch; 352 are all rows")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    ways = {"one": (1, arguments.processes), "several": (arguments.processes, 1)}
    rows: list[dict[str, object]] = []
    for repeat in range(arguments.repeats):
        order = list(ways) if repeat % 2 == 0 else list(reversed(ways))
        with tempfile.TemporaryDirectory() as folder:
            times = {
                way: seconds(arguments.recipe, *ways[way], arguments.steps, Path(folder)) for way in order
            }
        about = {"recipe": arguments.recipe, "processes": arguments.processes, "steps": arguments.steps}
        when = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), **facts()}
        rows.append({**about, **times, "order": order, **when})
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(f"repeat {repeat + 1}: {times}", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
