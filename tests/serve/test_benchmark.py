"""The load test runs: rates, latencies, and a short soak in which nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import serving
from recurra.serve import running
from tests.conftest import Fitted


@contextmanager
def served_here(model: Path, *more: str) -> Iterator[tuple[Any, int]]:
    """A server in this process: the start of others is tested with the command."""
    with running([model], refresh=0) as address:
        process = SimpleNamespace(pid=os.getpid(), poll=lambda: None, returncode=0)
        yield process, int(address.rstrip("/").rpartition(":")[2])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("a great film\nit was dull , not great\n\nnothing new here\n")
    return path


def test_load_and_soak(
    trained: Fitted,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(serving, "CLIENTS", (1, 4))
    monkeypatch.setattr(serving, "can_run_peer", lambda: False)
    monkeypatch.setattr(serving, "recurra_server", served_here)
    results = tmp_path / "results.jsonl"
    given = ["--model", str(trained.folder), "--texts", str(texts), "--results", str(results)]
    serving.main(["load", *given, "--seconds", "0.3", "--rounds", "1"])
    serving.main(["soak", *given, "--minutes", "0.02"])
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [row["clients"] for row in rows[:2]] == [1, 4]
    assert all(row["requests"] > 0 and row["p99_ms"] >= row["p50_ms"] > 0 for row in rows[:2])
    assert all(row["processor_ms_a_request"] > 0 for row in rows[:2])
    soak = rows[2]
    assert soak["asked"] == soak["answered"] > 0
    assert soak["lost"] == soak["different"] == 0
    assert sum(soak["hostile"].values()) > 0
    capsys.readouterr()
    serving.main(["table", "--results", str(results)])
    table = capsys.readouterr().out
    assert "| recurra serve | 4 |" in table
    assert "0 lost" in table
