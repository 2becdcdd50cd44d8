"""The cache of compiled kernels: what is cut, empty or changed is compiled anew and said."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba")

from recurra.kernels.cpu import cache, compiled
from recurra.kernels.cpu import folder as folders
from recurra.kernels.cpu.folder import cached_functions, folder_name, remove_abandoned, remove_former


def add(a: int, b: int) -> int:
    return a + b


@pytest.fixture
def compile_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Compiles `add` with a cache in ``tmp_path``, and returns whether it was loaded from there."""
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(cache, "_said", False)

    def run() -> bool:
        function = compiled.compiled(add)
        assert function(2, 3) == 5
        return sum(function.stats.cache_hits.values()) == 1  # type: ignore[attr-defined]

    return run


def test_an_undamaged_cache_is_used(compile_add: Callable[[], bool], tmp_path: Path) -> None:
    assert not compile_add()
    assert compile_add()
    assert len(list(tmp_path.rglob("*.nb[ic]"))) == 2


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("harm", ["empty", "cut", "longer", "first byte", "middle byte", "last byte"])
def test_a_damaged_file_is_compiled_anew(
    compile_add: Callable[[], bool], tmp_path: Path, suffix: str, harm: str
) -> None:
    compile_add()
    (path,) = tmp_path.rglob(f"*.{suffix}")
    content = bytearray(path.read_bytes())
    places = {"first byte": 0, "middle byte": len(content) // 2, "last byte": -1}
    if harm in places:
        content[places[harm]] ^= 1
    sizes = {"empty": 0, "cut": len(content) // 2}
    path.write_bytes(bytes(content[: sizes.get(harm, len(content))]) + (b"x" if harm == "longer" else b""))
    with pytest.warns(UserWarning, match="is damaged .* compiling anew"):
        assert not compile_add()
    with warnings.catch_warnings(action="error"):
        assert compile_add()


def test_a_missing_file_is_compiled_anew(compile_add: Callable[[], bool], tmp_path: Path) -> None:
    compile_add()
    for path in tmp_path.rglob("*.nbi"):
        path.unlink()
    assert not compile_add()


def test_a_function_is_in_the_index_only_when_it_is_there(
    compile_add: Callable[[], bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_index = cache._VerifiedFile._save_index
    written: list[int] = []

    def save(self: Any, names: dict[Any, str]) -> None:
        written.append(len(list(tmp_path.rglob("*.nbc"))))
        save_index(self, names)

    monkeypatch.setattr(cache._VerifiedFile, "_save_index", save)
    assert not compile_add()
    assert written == [1]  # other processes may load it from now on


def test_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / "f.nbi.tmp.0123", tmp_path / "f.nbi.tmp.4567"
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [new.name]


HOUR, DAY = 3600, 86_400


def test_old_folders_are_removed(tmp_path: Path) -> None:
    def folder(machine: str, version: str, age: float) -> Path:
        path = tmp_path / folder_name(machine, version)
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "f.nbi").touch()
        os.utime(path, (time.time() - age,) * 2)
        return path

    own = folder("avx2", "now", 9 * DAY)
    kept = [
        folder("avx2", "other installation", 2 * DAY),
        folder("avx512", "now", 3 * DAY),
        folder("avx512", "other installation", 6 * DAY),
    ]
    removed = [
        folder("avx2", "third", 2 * DAY + 60),
        folder("avx2", "last week", 8 * DAY),
        folder("avx512", "last week", 8 * DAY),
    ]
    unnamed = tmp_path / "kernels-0123456789abcdef"  # as the first versions named theirs
    strangers = [tmp_path / "kernels-of-mine", tmp_path / "0123456789abcdef", tmp_path / "kernels-0123"]
    for path in (unnamed, *strangers):
        path.mkdir()
        os.utime(path, (time.time() - 30 * DAY,) * 2)
    remove_former(own)
    assert set(tmp_path.iterdir()) == {own, *kept, *strangers}
    assert not any(path.exists() for path in removed)
    assert own.stat().st_mtime > time.time() - HOUR  # marked as used

    in_use = [folder("avx2", str(number), HOUR / 2) for number in range(4)]
    remove_former(own)
    assert all(path.exists() for path in in_use)  # a process may be using them
    assert not kept[0].exists()  # four other versions were used since
    assert kept[1].exists()


def test_the_folder_of_kernels_removes_former_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURRA_KERNEL_CACHE", str(tmp_path))
    old = tmp_path / "kernels-0123456789abcdef"
    old.mkdir()
    os.utime(old, (0, 0))
    found = folders.cache_folder.__wrapped__()
    assert found is not None
    assert list(tmp_path.iterdir()) == [found]


def test_the_functions_of_a_cache_are_known_by_name(compile_add: Callable[[], bool], tmp_path: Path) -> None:
    assert cached_functions(None) == set()
    assert cached_functions(tmp_path) == set()
    compile_add()
    assert cached_functions(tmp_path) == {"test_cpu_cache.add"}
