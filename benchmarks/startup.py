"""Time of `recurra predict MODEL --text` as a whole process, from the start of Python to its end.

    python -m benchmarks.startup run --model MODEL --runs 10
    python -m benchmarks.startup table                # of the results so far

One run more comes first and is not counted: it compiles the kernels, if they are not in the cache, and reads
the files of the libraries from the disk. Seconds of the wall and of the processors, of the process and its
children; the load of the machine before the first run is in each row. Results are appended to
results/startup.jsonl. `python -X importtime -m recurra predict ...` says which import takes long.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results" / "startup.jsonl"
TEXT = "I expected a dull film, but it was great."
Row = dict[str, Any]


class Taken(NamedTuple):
    """Seconds of one process."""

    wall: float
    processor: float


def timed(command: Sequence[str]) -> Taken:
    """Runs a command to its end and returns its time.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(model: Path, runs: int) -> Row:
    """Returns a row of results."""
    command = [sys.executable, "-m", "recurra", "predict", str(model), "--text", TEXT]
    load = os.getloadavg()[0]
    timed(command)
    taken = [timed(command) for _ in range(runs)]
    settings = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "runs": runs,
        "wall": [round(one.wall, 3) for one in taken],
        "processor": [round(one.processor, 3) for one in taken],
        "load": round(load, 2),
        "cores": len(os.sched_getaffinity(0)),
        "experts": sorted(settings.get("experts", {}).get("weights", {"recurrent": 1})),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("recurra", "torch", "numba", "numpy")},
    }


def table(rows: Sequence[Row]) -> str:
    """Returns the results as a table."""
    lines = ["| date | runs | wall, median (s) | fastest | processor, median (s) | load before | cores |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        wall, processor = median(row["wall"]), median(row["processor"])
        lines.append(
            f"| {row['date']} | {row['runs']} | {wall:.2f} | {min(row['wall']):.2f} | {processor:.2f} | "
            f"{row['load']:.1f} | {row['cores']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    if options.what == "run":
        if options.model is None:
            parser.error("run needs --model")
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(measure(options.model, options.runs)) + "\n")
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    print(table(rows))


if __name__ == "__main__":
    main()
