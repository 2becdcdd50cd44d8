"""`recurra data cache` shows what the cache holds, and clears it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from recurra.io.cache import Chunk, cached_examples, cached_text
from tests.conftest import Run

KEY = f"{7:032x}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("RECURRA_CACHE", str(place))
    one = np.arange(1)
    cached_examples(place, KEY, lambda: [Chunk([one], None, one, None, one, one)])
    cached_text(place, f"{KEY}.tokenizer.json", lambda: "{}")
    (place / "notes.txt").write_text("mine")
    return place


def test_shown(folder: Path, run: Run) -> None:
    done = run("data", "cache", "--json")
    assert done.code == 0
    result = json.loads(done.out)
    assert {entry["name"]: entry["kind"] for entry in result["entries"]} == {
        KEY: "rows",
        f"{KEY}.tokenizer.json": "tokenizer",
    }
    assert result["size"] == sum(entry["size"] for entry in result["entries"]) > 0
    assert result["limit"] == 10_000_000_000
    assert "10,000 MB" in done.err
    assert "--clear" in done.err


@pytest.mark.skipif(os.name != "posix", reason="other systems have other locks")
def test_cleared_but_for_what_is_in_use(folder: Path, run: Run) -> None:
    examples = cached_examples(folder, KEY, list)
    assert "removed 1 entry" in run("data", "cache", "--clear").out
    assert sorted(path.name for path in folder.iterdir()) == [KEY, "notes.txt"]
    del examples
    assert run("data", "cache", "--clear").code == 0
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_wrong_limit_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("RECURRA_CACHE_MB", "10 GB")
    done = run("data", "cache")
    assert done.code == 2
    assert done.err == (
        "recurra: RECURRA_CACHE_MB: '10 GB' is not a number of megabytes; set it to the megabytes that the "
        "cache may take, such as 10000\n"
    )
