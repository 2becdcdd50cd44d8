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
from recurra.kernels.cpu.cache import remove_abandoned


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
