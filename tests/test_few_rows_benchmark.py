"""Drawn rows are stratified and grow by seed; the table has the mean of the seeds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.few_rows import drawn, table


def test_drawn_rows_are_stratified_and_those_of_more_rows_contain_them() -> None:
    labels = ["a"] * 300 + ["b"] * 100
    few, more = drawn(labels, 40, 3), drawn(labels, 200, 3)
    assert Counter(labels[row] for row in few) == {"a": 30, "b": 10}
    assert set(few) < set(more)
    assert few != drawn(labels, 40, 4)
    assert drawn(labels, 1000, 3) == list(range(400))


def test_the_table_has_the_mean_of_the_seeds() -> None:
    def row(seed: int, accuracy: float) -> dict[str, Any]:
        part = {"accuracy": accuracy}
        return {
            "set": "sst2", "rows": 250, "seed": seed, "settings": [], "model": part, "baseline": part,
            "ngrams": part, "difference": [0.01, -0.1, 0.1], "cpu_seconds": 3.0,
        }  # fmt: skip

    line = table([row(1, 0.6), row(2, 0.64), {**row(3, 0.9), "settings": ["model.units=4"]}]).splitlines()[-1]
    assert line == "| SST-2 | 250 | 2 | 62.0 ± 2.8 |  | 62.0 ± 2.8 | 62.0 ± 2.8 | +1.0 ± 0.0 | 3 |"
