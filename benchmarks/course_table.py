"""The rows of `course.py` as the Markdown tables of docs/experiments.md."""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from math import sqrt
from pathlib import Path

TEST_ROWS = 25_000


def wilson(share: float, rows: int = TEST_ROWS) -> tuple[float, float]:
    z = 1.959964
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = z / (1 + z * z / rows) * sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return centre - reach, centre + reach


def main(path: Path) -> None:
    found: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[row["recipe"], row["system"].split()[0]].append(row)
    head = "seed: best epoch, valid -> test accuracy (95% interval)"
    print(f"| recipe | system | parameters | {head} | mean test |")
    print("|---|---|---|---|---|")
    for (recipe, system), rows in found.items():
        rows.sort(key=lambda row: row["seed"])
        cells = []
        for row in rows:
            low, high = wilson(row["test_accuracy"])
            cells.append(
                f"{row['seed']}: epoch {row['best_epoch']}, {100 * row['valid_accuracy']:.1f} -> "
                f"{100 * row['test_accuracy']:.2f} ({100 * low:.2f} to {100 * high:.2f})"
            )
        mean = statistics.mean(row["test_accuracy"] for row in rows)
        parameters = f"{rows[0]['parameters']:,}"
        print(f"| `{recipe}` | {system} | {parameters} | {'<br>'.join(cells)} | **{100 * mean:.2f}** |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
