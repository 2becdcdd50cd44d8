"""The cache keeps to its limit: the longest unused entries go first, and none that a process uses."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from recurra.directories import locked
from recurra.errors import ConfigError
from recurra.io.cache import Chunk, Examples, cached_examples, cached_text, replacing_cached
from recurra.io.usage import entries, limit, make_room, remove

KEYS = [f"{number:032x}" for number in range(9)]
ROWS = 10_000  # of one token: about 0.34 MB an entry
SIZE = 0.34

posix = pytest.mark.skipif(os.name != "posix", reason="other systems have other locks")


def chunks(first: int = 0) -> Iterator[Chunk]:
    rows = np.arange(first, first + ROWS)
    ids = [np.array([1 + row % 60_000]) for row in rows]
    yield Chunk(ids, None, rows, None, np.ones(ROWS, np.int64), np.zeros(ROWS, np.int64))


def build(folder: Path, key: str, used: float | None = None) -> Examples:
    examples = cached_examples(folder, key, chunks)
    if used is not None:
        os.utime(folder / key, (used, used))
    return examples


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def set_limit(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    monkeypatch.setenv("RECURRA_CACHE_MB", str(megabytes))


def test_the_longest_unused_entries_are_removed_and_the_newest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, key in enumerate(KEYS[:4]):
        build(tmp_path, key, used=1_000.0 + age)
    build(tmp_path, KEYS[0])  # opened again: no longer the oldest
    set_limit(monkeypatch, 3.5 * SIZE)
    build(tmp_path, KEYS[4])
    assert names(tmp_path) == [KEYS[0], KEYS[3], KEYS[4]]


def test_what_was_just_written_stays_even_if_it_is_larger_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, KEYS[0], used=1_000.0)
    set_limit(monkeypatch, 0)
    assert len(build(tmp_path, KEYS[1])) == ROWS
    assert names(tmp_path) == [KEYS[1]]
    with replacing_cached(tmp_path / f"{KEYS[2]}.ngrams.safetensors") as draft:
        draft.write_bytes(b"weights")
    assert names(tmp_path) == [f"{KEYS[2]}.ngrams.safetensors"]
    cached_text(tmp_path, f"{KEYS[3]}.tokenizer.json", lambda: "{}")
    assert names(tmp_path) == [f"{KEYS[3]}.tokenizer.json"]


def test_nothing_else_in_the_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ["notes.txt", KEYS[0] + ".jpg", "datasets", "kernels-1", KEYS[1], "0" * 31]
    for name in mine:
        if "." in name:
            (tmp_path / name).write_text("mine")
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text("mine")
    (tmp_path / KEYS[2]).symlink_to(tmp_path / "datasets")
    set_limit(monkeypatch, 0)
    build(tmp_path, KEYS[5])
    assert names(tmp_path) == sorted([*mine, KEYS[2], KEYS[5]])
    assert [entry.path.name for entry in entries(tmp_path)] == [KEYS[5]]


@posix
def test_an_entry_stays_as_long_as_one_of_its_arrays_is_in_memory(tmp_path: Path) -> None:
    build(tmp_path, KEYS[0])
    numbers = build(tmp_path, KEYS[0]).numbers
    gc.collect()
    assert not remove(entries(tmp_path)[0])
    assert numbers[-1] == ROWS - 1
    del numbers
    gc.collect()
    assert remove(entries(tmp_path)[0])
    assert names(tmp_path) == []


@posix
def test_a_model_that_is_being_trained_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"{KEYS[0]}.language-model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(1_000))
    set_limit(monkeypatch, 0)
    with locked(folder):
        assert make_room(tmp_path, tmp_path / "other") == []
    assert [entry.size for entry in make_room(tmp_path, tmp_path / "other")] == [1_000]
    assert not folder.exists()


USER = """
import sys
from pathlib import Path
from recurra.io.cache import cached_examples
examples = cached_examples(Path(sys.argv[1]), sys.argv[2], None)
print(examples.flat.sum(), flush=True)
sys.stdin.read()
print(examples.flat.sum(), flush=True)
"""


@contextmanager
def user_of(folder: Path, key: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has opened an entry and waits."""
    command = [sys.executable, "-c", USER, str(folder), key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        yield process


@posix
def test_an_entry_that_another_process_uses_stays_until_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, key in enumerate(KEYS[:2]):
        build(tmp_path, key, used=1_000.0 + age)
    set_limit(monkeypatch, 1.5 * SIZE)
    with user_of(tmp_path, KEYS[0]) as process:
        os.utime(tmp_path / KEYS[0], (0, 0))
        build(tmp_path, KEYS[2])
        assert names(tmp_path) == [KEYS[0], KEYS[2]]
        out, _ = process.communicate(timeout=60)
        assert int(out) > 0
        assert process.returncode == 0
    gc.collect()
    build(tmp_path, KEYS[3], used=3_000.0)
    assert KEYS[0] not in names(tmp_path)


@posix
def test_an_entry_that_a_killed_process_used_is_removed(tmp_path: Path) -> None:
    build(tmp_path, KEYS[0])
    with user_of(tmp_path, KEYS[0]) as process:
        assert not remove(entries(tmp_path)[0])
        process.kill()
    assert remove(entries(tmp_path)[0])


WRITER = """
import sys
from pathlib import Path
import numpy as np
from recurra.io.cache import Chunk, cached_examples
folder, first = Path(sys.argv[1]), int(sys.argv[2])
for turn in range(12):
    number = (first + turn) % 5
    rows = np.full(2_000, number)
    chunk = Chunk([np.array([1 + number])] * 2_000, None, rows, None, rows, rows)
    examples = cached_examples(folder, f"{number:032x}", lambda: [chunk])
    assert (examples.flat == 1 + number).all() and (examples.numbers == number).all()
"""


@posix
def test_processes_that_write_read_and_remove_at_once_all_get_their_arrays(tmp_path: Path) -> None:
    settings = {**os.environ, "RECURRA_CACHE_MB": "0.15"}  # two entries of five
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)], env=settings)
        for n in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(names(tmp_path)) < 5
    assert all(name in KEYS for name in names(tmp_path))


@pytest.mark.parametrize("wrong", ["much", "-1", "nan", "inf", "10 GB"])
def test_a_limit_that_is_no_number_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("RECURRA_CACHE_MB", wrong)

    def never() -> list[Chunk]:
        raise AssertionError("worked")

    with pytest.raises(ConfigError, match=r"RECURRA_CACHE_MB: .*is not a number of megabytes; set it to"):
        cached_examples(tmp_path, KEYS[0], never)
    assert names(tmp_path) == []


def test_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_CACHE_MB", raising=False)
    assert limit() == 10_000_000_000
    for text, size in ((" ", 10_000_000_000), ("0", 0), ("0.5", 500_000)):
        monkeypatch.setenv("RECURRA_CACHE_MB", text)
        assert limit() == size
