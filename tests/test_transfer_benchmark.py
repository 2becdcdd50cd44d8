"""The transfer benchmark: its table, its sampling of rows, and resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import transfer
from recurra.tasks.classification.settings import ClassifierConfig


def row(start: str, seed: int, accuracy: float, rows: str = "250") -> dict[str, Any]:
    return {
        "set": "sst2", "rows": rows, "seed": seed, "start": start, "recipe": "default", "settings": "",
        "pretrained_rows": "all",
        "accuracy": accuracy, "tested_on": 1821, "token_share": None if start == "random" else 0.9,
    }  # fmt: skip


def test_the_table_compares_seed_by_seed_and_omits_what_was_not_measured() -> None:
    rows = [
        row("random", 1, 0.50), row("random", 2, 0.60), row("frozen", 1, 0.55), row("frozen", 2, 0.67),
        row("tuned", 1, 0.58), row("random", 1, 0.8, "all"), row("random", 1, 0.7, "4000"),
    ]  # fmt: skip
    lines = transfer.table(rows).splitlines()
    assert lines[-3] == "| 250 | 2 | 90.0% | 55.00 ± 7.07 | 61.00 ± 8.49 | 58.00 | +6.00 ± 1.41 | +8.00 |"
    assert [line.split(" | ")[0] for line in lines[-2:]] == ["| 4000", "| all"]
    assert lines[-1] == "| all | 1 |  | 80.00 |  |  |  |  |"


def test_a_seed_always_draws_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sst2").mkdir()
    whole = [f"text {n}\t{n % 2}\n" for n in range(50)]
    (tmp_path / "sst2" / "train.tsv").write_text("".join(whole), encoding="utf-8")
    monkeypatch.setenv("RECURRA_DATA", str(tmp_path))
    first, again, other = (
        transfer.sampled("sst2", "10", seed, tmp_path).read_text(encoding="utf-8").splitlines(keepends=True)
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert first == [line for line in whole if line in first]
    assert len(first) == 10
    assert transfer.sampled("sst2", "all", 1, tmp_path).parent.name == "sst2"


def test_few_rows_get_enough_steps() -> None:
    assert transfer.long_enough(ClassifierConfig(), 250) == {"epochs": 150, "patience": 30}
    assert transfer.long_enough(ClassifierConfig(), 1_000_000) == {"epochs": 10, "patience": 3}


def test_an_interrupted_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text(json.dumps(row("random", 1, 0.5)) + "\n", encoding="utf-8")
    measured: list[str] = []

    def measure(name: str, rows: str, seed: int, start: str, *rest: object) -> dict[str, Any]:
        measured.append(start)
        return {**row(start, seed, 0.5), "seconds": 1.0}

    monkeypatch.setattr(transfer, "measure", measure)
    arguments = ["run", "--sets", "sst2", "--rows", "250", "--seeds", "1", "--results", str(results)]
    monkeypatch.setattr("sys.argv", ["transfer.py", *arguments])
    transfer.main()
    assert measured == ["frozen", "tuned"]
    assert len(transfer.read(results)) == 3
