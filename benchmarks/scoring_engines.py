"""Rows per second of scoring a file: in one process, in several, and on a Ray cluster of this machine.

    python -m benchmarks.scoring_engines run --model MODEL --data FILE --runs 3 --jobs 2
    python -m benchmarks.scoring_engines table                # of the results so far

Each way writes the file, in an order that changes from run to run; one run more of one process comes first
and is not counted: it compiles the kernels, if they are not in the cache. The lines of its answers that
another way has otherwise are counted: the last decimal of a rare answer depends on the number of threads.
The rows per second are those of the whole call, with loading the model and starting processes or Ray; and of
the time from the first answers that are written to the last, which is that of a long file ("later"). One
process has the threads of the machine, each of several its share. Results go to
results/scoring_engines.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from recurra import predict_files
from recurra.tasks.reporter import Reporter

RESULTS = Path(__file__).parent / "results" / "scoring_engines.jsonl"
Row = dict[str, Any]
_RARE = 0.001


class Clock(Reporter):
    """Notes when answers are written."""

    def __init__(self) -> None:
        self.written: list[tuple[float, int]] = []

    @contextmanager
    def counting(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Yields the function that is told of further answers."""
        yield lambda rows: self.written.append((time.perf_counter(), rows))

    def rate(self) -> float | None:
        """Rows per second from the first answers to the last; None if they came at once."""
        (first, rows), (last, _) = self.written[0], self.written[-1]
        return (sum(n for _, n in self.written) - rows) / (last - first) if last > first else None


def ways(jobs: int) -> dict[str, dict[str, Any]]:
    """The arguments of each way, by name."""
    return {
        "one process": {},
        f"processes x{jobs}": {"engine": "processes", "jobs": jobs},
        f"ray x{jobs}": {"engine": "ray", "jobs": jobs},
    }


def measure(model: Path, data: Path, runs: int, jobs: int) -> Iterator[Row]:
    """Yields a row of results for each run of each way.

    Raises:
        ValueError: the answers of a way differ in more than rare lines.
    """
    names = list(ways(jobs))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.csv")
        predict_files(model, data, out)
        first = out.read_bytes().splitlines()
        for run in range(runs):
            for name in names[run % len(names) :] + names[: run % len(names)]:
                load, clock, begun = os.getloadavg()[0], Clock(), time.perf_counter()
                scored = predict_files(model, data, out, reporter=clock, **ways(jobs)[name])
                seconds = time.perf_counter() - begun
                lines = out.read_bytes().splitlines()
                other = sum(a != b for a, b in zip(first, lines, strict=False))
                if len(lines) != len(first) or other > _RARE * len(lines):
                    raise ValueError(f"the answers of {name} differ: {other} of {len(lines)} lines")
                yield {
                    "date": time.strftime("%Y-%m-%d"),
                    "way": name,
                    "rows": scored.answers,
                    "seconds": round(seconds, 3),
                    "rate": clock.rate(),
                    "other_lines": other,
                    "model": model.name,
                    "data": data.name,
                    "load": round(load, 2),
                    "cores": len(os.sched_getaffinity(0)),
                    "python": platform.python_version(),
                    "versions": {each: version(each) for each in ("recurra", "torch", "ray", "numpy")},
                }


def table(rows: Sequence[Row]) -> str:
    """Returns the results as a table, with medians over the runs of a way."""
    lines = [
        "| model | file | rows | way | runs | rows/s, whole call | rows/s, later | other lines | cores |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("date", "model", "data", "rows", "way", "cores"))
        groups.setdefault(key, []).append(row)
    for (_, model, data, count, way, cores), group in groups.items():
        whole = median(row["rows"] / row["seconds"] for row in group)
        rates = [row["rate"] for row in group if row["rate"]]
        later = f"{median(rates):,.0f}" if rates else ""
        lines.append(
            f"| {model} | {data} | {count:,} | {way} | {len(group)} | {whole:,.0f} | {later} | "
            f"{max(row['other_lines'] for row in group)} | {cores} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--model", type=Path, required=True)
    run.add_argument("--data", type=Path, required=True)
    run.add_argument("--runs", type=int, default=3)
    run.add_argument("--jobs", type=int, default=2)
    commands.add_parser("table")
    given = parser.parse_args()
    if given.command == "run":
        RESULTS.parent.mkdir(exist_ok=True)
        for row in measure(given.model, given.data, given.runs, given.jobs):
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['way']}: {row['rows'] / row['seconds']:,.0f} rows/s")
    else:
        lines = RESULTS.read_text(encoding="utf-8").splitlines()
        print(table([json.loads(line) for line in lines]))


if __name__ == "__main__":
    main()
