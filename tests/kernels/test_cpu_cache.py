"""The cache of compiled kernels: what is cut, empty or changed is compiled anew and said."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("numba")

from recurra.kernels.cpu import cache, compiled
from recurra.kernels.cpu.cache import remove_abandoned, remove_former


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


def test_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / "f.nbi.tmp.0123", tmp_path / "f.nbi.tmp.4567"
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [new.name]


def test_folders_of_former_versions_are_removed(tmp_path: Path) -> None:
    now = time.time()
    folders = [tmp_path / f"kernels-{number:016x}" for number in range(14)]
    for number, folder in enumerate(folders):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "f.nbi").touch()
        # those of numbers 11, 12 and 13 were used within the hour, the others before
        os.utime(folder, (now - 86_400 + number if number < 11 else now - 60 + number,) * 2)
    others = [tmp_path / "kernels-of-mine", tmp_path / "0123456789abcdef", tmp_path / "kernels-0123"]
    for other in others:
        other.mkdir()
        os.utime(other, (now - 864_000,) * 2)
    remove_former(folders[0])
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in (*others, folders[0], *folders[7:])
    }
    assert folders[0].stat().st_mtime > now - 60
    for folder in folders:
        folder.mkdir(exist_ok=True)
        os.utime(folder, (now - 60,) * 2)
    remove_former(folders[3])
    assert all(folder.is_dir() for folder in folders)  # a process may be using them


def test_the_folder_of_kernels_removes_former_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURRA_KERNEL_CACHE", str(tmp_path))
    for number in range(20):
        folder = tmp_path / f"kernels-{number:016x}"
        folder.mkdir()
        os.utime(folder, (number,) * 2)
    found = compiled.cache_folder.__wrapped__()
    assert found is not None
    assert found.parent == tmp_path
    assert sorted(tmp_path.iterdir()) == sorted(
        [found, *(tmp_path / f"kernels-{number:016x}" for number in range(13, 20))]
    )
