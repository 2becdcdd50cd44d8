"""Atomic replacement of files, also with several writers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recurra.errors import OutputError
from recurra.files import replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file.txt"]


def test_an_error_in_the_block_keeps_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("previous")
    with pytest.raises(UnicodeEncodeError), replacing(path) as draft:
        draft.write_text("half, and then \ud800", encoding="utf-8")
    assert path.read_text() == "previous"
    assert names(tmp_path) == ["file.txt"]


def test_a_disk_error_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"file\.txt: can't be written \(No space left"),
        replacing(tmp_path / "file.txt"),
    ):
        raise OSError(28, os.strerror(28))


@pytest.mark.skipif(os.name != "posix", reason="only POSIX can tell whether a process exists")
def test_temporary_files_of_killed_processes_are_removed_and_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "file[1].txt"
    killed = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    (tmp_path / f".file[1].txt.{int(killed.stdout)}.tmp").write_text("half")
    (tmp_path / f".file[1].txt.{10**30}.tmp").write_text("of no process")
    living = tmp_path / f".file[1].txt.{os.getppid()}.tmp"
    living.write_text("being written")
    with replacing(path) as draft:
        draft.write_text("whole")
    assert names(tmp_path) == sorted([living.name, path.name])
