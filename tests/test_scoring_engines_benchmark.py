"""The benchmark of scoring compares the bytes of all ways before it gives a figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scoring_engines
from recurra.tasks.fit import Fitted


def test_each_way_is_measured_on_the_same_answers(
    trained: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_engines, "ways", lambda jobs: {"one": {}, "inline": {"engine": "inline"}})
    data = tmp_path / "rows.csv"
    data.write_text("text\n" + "great\n" * 2000)
    rows = list(scoring_engines.measure(trained.folder, data, runs=2, jobs=2))
    assert [row["way"] for row in rows] == ["one", "inline", "inline", "one"]
    assert all(row["rows"] == 2000 and row["rate"] > 0 for row in rows)
    *_, first, second = scoring_engines.table(rows).splitlines()
    assert first.startswith(f"| {trained.folder.name} | rows.csv | 2,000 | one | 2 | ")
    assert " inline | 2 | " in second
    monkeypatch.setattr(
        scoring_engines, "ways", lambda jobs: {"one": {}, "tsv": {"form": "tsv", "keep": False}}
    )
    with pytest.raises(ValueError, match="the answers of tsv differ"):
        list(scoring_engines.measure(trained.folder, data, runs=1, jobs=2))


def test_the_ways_are_engines() -> None:
    assert {name: given.get("engine") for name, given in scoring_engines.ways(2).items()} == {
        "one process": None, "processes x2": "processes", "ray x2": "ray",
    }  # fmt: skip
