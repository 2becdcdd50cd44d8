"""Formats the rows of `epoch.py` as Markdown tables, one per recipe, with ratios to recurra.

python benchmarks/epoch_table.py benchmarks/results/epoch.jsonl            # the last run
python benchmarks/epoch_table.py benchmarks/results/epoch.jsonl RUN        # the run of this date and time
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
OURS = "recurra"
COLUMNS = (
    "program",
    "seconds per epoch, training only: median (min to max)",
    "first epoch",
    "/ ours",
    "with validation",
    "/ ours",
    "test accuracy in percent (95%)",
    "peak memory in MB: training, whole",
    "/ ours",
)


def table(rows: Sequence[Row]) -> str:
    """Returns the tables of one run, each with a caption of the machine and the settings."""
    parts = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        recipe_rows = [row for row in rows if row["recipe"] == recipe]
        by_program = {
            name: [row for row in recipe_rows if row["program"] == name]
            for name in dict.fromkeys(row["program"] for row in recipe_rows)
        }
        ours = by_program.get(OURS)
        lines = [_line(name, program_rows, ours) for name, program_rows in by_program.items()]
        head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        parts.append("\n".join([_caption(recipe_rows), "", *head, *lines, *_roofline(ours)]))
    return "\n\n".join(parts)


def _roofline(ours: Sequence[Row] | None) -> list[str]:
    """How far recurra's epoch is from the time that its products would take at the machine's peak."""
    if not ours or "flops" not in ours[0]:
        return []
    row = ours[0]
    tera = 1e-12 * row["flops"] * row["scale"]
    seconds = statistics.median(_seconds(ours, "train_seconds"))
    least = 1e3 * tera / row["peak_gflops"]
    return [
        "",
        f"The products of an epoch are {tera:.2f} TFLOP at true tokens. At the peak that was measured, "
        f"{row['peak_gflops']:.0f} GFLOP/s in vectors of {row['lanes']} numbers, they take {least:.1f} s: "
        f"recurra runs at {100 * least / seconds:.0f}% of the peak.",
    ]


def _caption(rows: Sequence[Row]) -> str:
    first = rows[0]
    seeds, epochs = len({row["seed"] for row in rows}), [row["epochs"] for row in rows]
    facts = [
        f"`{first['recipe']}`, batch {first['batch']}, seeds {seeds}, epochs {min(epochs)} to {max(epochs)}",
        f"{first['threads']} threads on {first['cores']} cores of {first['cpu']}"
        + (f", vectors of {first['lanes']} numbers" if "lanes" in first else ""),
        f"{first['run']}, commit {first['commit']}",
        *dict.fromkeys(row["system"] for row in rows),
    ]
    if first["scale"] != 1:
        facts.append(f"seconds of {first['rows']:,} reviews, scaled by {first['scale']:.2f}")
    return "; ".join(facts) + "."


def _line(name: str, rows: Sequence[Row], ours: Sequence[Row] | None) -> str:
    seconds = _seconds(rows, "train_seconds")
    first = max(row["train_seconds"][0] * row["scale"] for row in rows)
    spread = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
    whole = statistics.median(_seconds(rows, "epoch_seconds"))
    peaks = [max(row[key] for row in rows) for key in ("peak_memory_training", "peak_memory")]
    ratios = ["", "", ""]
    if ours is not None:
        ratios = [
            f"{statistics.median(seconds) / statistics.median(_seconds(ours, 'train_seconds')):.2f}",
            f"{whole / statistics.median(_seconds(ours, 'epoch_seconds')):.2f}",
            f"{peaks[0] / max(row['peak_memory_training'] for row in ours):.2f}",
        ]
    memory = ", ".join(f"{peak / 1e6:,.0f}" for peak in peaks)
    accuracies = "<br>".join(_accuracy(row) for row in rows if row["test_accuracy"] is not None)
    cells = [f"`{name}`", spread, f"{first:.1f}", ratios[0], f"{whole:.1f}", ratios[1], accuracies, memory]
    return f"| {' | '.join([*cells, ratios[2]])} |"


def _seconds(rows: Sequence[Row], key: str) -> list[float]:
    return [seconds * row["scale"] for row in rows for seconds in row[key]]


def _accuracy(row: Row) -> str:
    low, high = (100 * end for end in row["interval"])
    return f"{100 * row['test_accuracy']:.2f} ({low:.2f} to {high:.2f}), epoch {row['best_epoch']}"


def main(path: Path, run: str | None = None) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    run = run or max(row["run"] for row in rows)
    print(table([row for row in rows if row["run"] == run]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
