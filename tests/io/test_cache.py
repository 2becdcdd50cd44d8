"""The token cache returns what was built, is rebuilt if damaged, and leaves nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import DataError, OutputError
from recurra.io import cache
from recurra.io.cache import (
    Chunk,
    Examples,
    cache_folder,
    cached_examples,
    cached_text,
    content_key,
)
from recurra.io.columns import Column


def chunk(ids: list[list[int]], first: int = 1, **other: Any) -> Chunk:
    count = len(ids)
    columns: dict[str, Any] = {
        "labels": np.arange(count) % 2,
        "numbers": np.arange(first, first + count),
        "groups": [f"g{i % 3}" for i in range(count)],
        "full_lengths": np.array([len(one) + 7 for one in ids], np.int64),
        "unknown": np.arange(count),
        **other,
    }
    return Chunk([np.array(one, np.int32) for one in ids], **columns)


CHUNKS = [chunk([[1, 5, 6], [1]]), chunk([]), chunk([[1, 9], [2], [3, 3, 3, 3]], first=3)]


def build() -> list[Chunk]:
    return CHUNKS


def never() -> list[Chunk]:
    raise AssertionError("built again")


def shown(examples: Examples) -> dict[str, Any]:
    return {
        "ids": [examples.ids(row).tolist() for row in range(len(examples))],
        **{
            name: None if (column := getattr(examples, name)) is None else column.tolist()
            for name in ("labels", "numbers", "groups", "full_lengths", "unknown", "lengths")
        },
    }


WHOLE = {
    "ids": [[1, 5, 6], [1], [1, 9], [2], [3, 3, 3, 3]],
    "labels": [0, 1, 0, 1, 0],
    "numbers": [1, 2, 3, 4, 5],
    "groups": [0, 1, 0, 1, 2],
    "full_lengths": [10, 8, 9, 8, 11],
    "unknown": [0, 1, 0, 1, 2],
    "lengths": [3, 1, 2, 1, 4],
}


def test_built_once_and_then_only_opened(tmp_path: Path) -> None:
    assert shown(cached_examples(tmp_path, "key", build)) == WHOLE
    assert shown(cached_examples(tmp_path, "key", never)) == WHOLE
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_another_key_is_another_cache(tmp_path: Path) -> None:
    cached_examples(tmp_path, "one", build)
    assert len(cached_examples(tmp_path, "two", lambda: CHUNKS[:1])) == 2


@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 99), min_size=1, max_size=5), max_size=4)
    )
)
@settings(max_examples=40, deadline=None)
def test_examples_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    result = cached_examples(folder, "key", lambda: [chunk(ids) for ids in chunks])
    assert shown(result)["ids"] == [one for ids in chunks for one in ids]
    shutil.rmtree(folder)


def test_small_vocabularies_take_two_bytes_a_token_and_large_ones_four(tmp_path: Path) -> None:
    small = cached_examples(tmp_path, "small", lambda: [chunk([[1, 65_535]])])
    large = cached_examples(tmp_path, "large", lambda: [chunk([[1, 65_535]]), chunk([[65_536]])])
    assert small.flat.dtype == np.uint16
    assert large.flat.dtype == np.int32
    assert large.flat.tolist() == [1, 65_535, 65_536]


def test_multi_label_and_absent_columns(tmp_path: Path) -> None:
    hot = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
    several = cached_examples(tmp_path, "hot", lambda: [chunk([[1], [2]], labels=hot)] * 2)
    assert several.labels is not None
    assert several.labels.dtype == np.float32
    assert several.labels.tolist() == [*hot.tolist(), *hot.tolist()]
    bare = cached_examples(tmp_path, "bare", lambda: [chunk([[1]], labels=None, groups=None)])
    assert bare.labels is None
    assert bare.groups is None


def test_a_cache_of_no_rows(tmp_path: Path) -> None:
    for again in (lambda: [], never):
        assert len(cached_examples(tmp_path, "key", again)) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        chunk([[1], []]),
        chunk([[-1]]),
        chunk([[1]], numbers=np.arange(2)),
        chunk([[1]], labels=None),
        chunk([[1]], labels=np.array([[1.0, 0.0]], np.float32)),
        chunk([[1]], groups=None),
    ],
)
def test_chunks_that_do_not_fit_leave_nothing(tmp_path: Path, wrong: Chunk) -> None:
    with pytest.raises(ValueError):
        cached_examples(tmp_path, "key", lambda: [CHUNKS[0], wrong])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [DataError("the row is broken", row=3), KeyboardInterrupt(), OSError("read")]
)
def test_an_error_of_the_source_is_raised_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def broken() -> Iterator[Chunk]:
        yield CHUNKS[0]
        raise error

    with pytest.raises(type(error)) as caught:
        cached_examples(tmp_path, "key", broken)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("harm", [truncate, flip, lengthen, Path.unlink])
@pytest.mark.parametrize(
    "column", ["ids", "offsets", "labels", "numbers", "groups", "full_lengths", "unknown"]
)
def test_a_damaged_cache_is_built_again(tmp_path: Path, harm: Callable[[Path], None], column: str) -> None:
    cached_examples(tmp_path, "key", build)
    harm(tmp_path / "key" / f"{column}.npy")
    assert shown(cached_examples(tmp_path, "key", build)) == WHOLE
    assert shown(cached_examples(tmp_path, "key", never)) == WHOLE
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    "seal",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format": 0, "columns": {}}',
        '{"format": 2, "columns": {"../x": {}}}',
        "[" * 9_999,
    ],
)
def test_a_cache_with_an_invalid_seal_is_built_again(tmp_path: Path, seal: str) -> None:
    cached_examples(tmp_path, "key", build)
    (tmp_path / "key" / "cache.json").write_text(seal)
    assert shown(cached_examples(tmp_path, "key", build)) == WHOLE


def test_columns_that_disagree_are_built_again(tmp_path: Path) -> None:
    cached_examples(tmp_path, "key", build)
    cached_examples(tmp_path, "other", lambda: CHUNKS[:1])
    seals = [tmp_path / key / "cache.json" for key in ("key", "other")]
    first, other = (json.loads(seal.read_text()) for seal in seals)
    shutil.copy(tmp_path / "other" / "labels.npy", tmp_path / "key" / "labels.npy")
    first["columns"]["labels"] = other["columns"]["labels"]
    seals[0].write_text(json.dumps(first))
    assert shown(cached_examples(tmp_path, "key", build)) == WHOLE


@pytest.mark.parametrize("what", ["file", "empty folder"])
def test_something_else_under_the_name_is_replaced(tmp_path: Path, what: str) -> None:
    (tmp_path / "key").touch() if what == "file" else (tmp_path / "key").mkdir()
    assert shown(cached_examples(tmp_path, "key", build)) == WHOLE
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_a_builder_that_finishes_first_is_used(tmp_path: Path) -> None:
    def overtaken() -> Iterator[Chunk]:
        yield CHUNKS[0]
        cached_examples(tmp_path, "key", build)
        yield from CHUNKS[1:]

    before = cached_examples(tmp_path, "key", overtaken)
    assert shown(before) == WHOLE
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


BUILDER = """
import sys, time
from pathlib import Path
import numpy as np
from recurra.io.cache import Chunk, cached_examples

folder, ready, builders = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def chunks():
    (ready / sys.argv[4]).touch()
    while len(list(ready.iterdir())) < builders:  # all of them have found no cache
        time.sleep(0.01)
    for first in range(0, 2_000, 100):
        rows = np.arange(first, first + 100)
        yield Chunk([np.array([1, row]) for row in rows], None, rows, None, rows, rows)

examples = cached_examples(folder, "key", chunks)
assert examples.flat.reshape(-1, 2)[:, 1].tolist() == list(range(2_000))
"""


def test_builders_in_several_processes_all_get_it(tmp_path: Path) -> None:
    folder, ready = tmp_path / "cache", tmp_path / "ready"
    ready.mkdir()
    builders = [
        subprocess.Popen([sys.executable, "-c", BUILDER, folder, ready, "3", str(number)])
        for number in range(3)
    ]
    assert [builder.wait(60) for builder in builders] == [0, 0, 0]
    assert [p.name for p in folder.iterdir()] == ["key"]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX can tell whether a process exists")
def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True)
    ended, living = int(killed.stdout), os.getppid()
    gone = [f".a.{ended}-0f.draft", f".a.{ended}-0f.draft.damaged", f".a.json.{ended}.tmp", ".old.1.draft"]
    kept = [f".b.{living}-0f.draft", f".b.json.{living}.tmp"]
    for name in (*gone, *kept):
        (tmp_path / name).touch() if name.endswith("tmp") else (tmp_path / name).mkdir()
    os.utime(tmp_path / ".old.1.draft", (0, 0))
    cached_examples(tmp_path, "key", build)
    assert sorted(path.name for path in tmp_path.glob(".*")) == kept


@pytest.mark.parametrize("harm", ["empty", "cut", "longer", "first byte", "middle byte", "last byte"])
def test_a_text_that_was_cut_or_changed_is_built_anew(tmp_path: Path, harm: str) -> None:
    text = "zwei Wörter\n" * 20
    assert cached_text(tmp_path, "t.json", lambda: text) == text
    path = tmp_path / "t.json"
    assert cached_text(tmp_path, "t.json", lambda: "another") == text
    content = bytearray(path.read_bytes())
    places = {"first byte": 0, "middle byte": len(content) // 2, "last byte": -1}
    if harm in places:
        content[places[harm]] ^= 1
    sizes = {"empty": 0, "cut": len(content) // 2}
    path.write_bytes(bytes(content[: sizes.get(harm, len(content))]) + (b"x" if harm == "longer" else b""))
    assert cached_text(tmp_path, "t.json", lambda: "anew") == "anew"
    assert cached_text(tmp_path, "t.json", lambda: "another") == "anew"


@pytest.mark.parametrize("failing", ["append", "close"])
def test_a_full_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Column, failing, full)
    with pytest.raises(OutputError, match=r"No space left on device.*RECURRA_CACHE"):
        cached_examples(tmp_path, "key", build)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_limit_of_file_size_is_reported(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match="token cache can't be written"):
            cached_examples(tmp_path, "key", lambda: [chunk([[1] * 30_000])] * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="token cache can't be written"):
        cached_examples(tmp_path / "file" / "cache", "key", build)


def test_the_cache_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "mine" / "own"))
    assert cache_folder() == tmp_path / "mine" / "own"
    assert cache_folder().is_dir()
    assert list(cache_folder().iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the place is Linux's")
def test_the_usual_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "recurra"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "recurra"


def test_a_cache_folder_that_can_not_be_written_is_replaced_by_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "file" / "cache"))
    result = cache_folder()
    assert result == cache_folder()
    assert tmp_path not in result.parents
    assert shown(cached_examples(result, "key", build)) == WHOLE


def test_without_a_home_folder_the_cache_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("RECURRA_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.Path, "home", homeless)
    assert cache_folder().is_dir()


def test_keys_change_with_contents_and_settings_and_with_nothing_else(tmp_path: Path) -> None:
    one, same, other = tmp_path / "one", tmp_path / "same", tmp_path / "other"
    for path, content in (
        (one, b"a" * 3_000_000),
        (same, b"a" * 3_000_000),
        (other, b"b" + b"a" * 2_999_999),
    ):
        path.write_bytes(content)
    assert content_key([one], "x") == content_key([same], "x")
    os.utime(one, (0, 0))
    assert content_key([one], "x") == content_key([same], "x")
    keys = [
        content_key([]),
        content_key([one]),
        content_key([other]),
        content_key([one, other]),
        content_key([other, one]),
        content_key([one], "x"),
        content_key([one], "y"),
        content_key([one], "x", "y"),
        content_key([one], "xy"),
        content_key([one], "", "xy"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(key.isalnum() and len(key) == 32 for key in keys)


def test_keys_of_folders_follow_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "aclImdb"
    keys = []

    def note() -> None:
        keys.append(content_key([folder]))

    for name in ("pos/2", "pos/1", "neg/1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    note()
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert content_key([copy]) == keys[0]
    (folder / "neg/1").rename(folder / "neg/2")
    note()
    (folder / "neg/2").write_text("changed")
    note()
    (folder / "pos/3").touch()
    note()
    assert len(set(keys)) == 4


def test_a_missing_file_has_no_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: can't be read"):
        content_key([tmp_path / "gone.csv"])
