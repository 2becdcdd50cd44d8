"""Replacement of directories: killed at any moment, by one process at a time, only where it can be done."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recurra import directories
from recurra.directories import claimed, locked, recover
from recurra.errors import OutputError
from tests.conftest import ROOT


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def replace(folder: Path, content: str) -> None:
    with claimed(folder, "kept") as claim, claim.replacing() as draft:
        (draft / "file").write_text(content)


@pytest.fixture(params=["exchange", "two renames", "no hard links"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems that can exchange directories and make hard links, and those that can't."""

    def unable(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    if request.param != "exchange":
        monkeypatch.setattr(directories, "_exchange", lambda one, other: False)
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", unable)


@pytest.mark.usefixtures("system")
def test_a_directory_is_replaced_and_the_kept_part_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "m"
    replace(folder, "one")
    (folder / "kept" / "deep").mkdir(parents=True)
    (folder / "kept" / "deep" / "mark").write_text("here")
    (folder / "old").write_text("of the former directory")
    folder.chmod(0o700)
    replace(folder, "two")
    assert (folder / "file").read_text() == "two"
    assert (folder / "kept" / "deep" / "mark").read_text() == "here"
    assert names(folder) == ["file", "kept"]
    assert names(folder.parent) == ["m"]
    assert os.name != "posix" or folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("system")
def test_an_error_while_writing_leaves_the_former_directory(tmp_path: Path) -> None:
    replace(tmp_path / "m", "one")
    with (
        pytest.raises(ZeroDivisionError),
        claimed(tmp_path / "m", "kept") as claim,
        claim.replacing() as draft,
    ):
        (draft / str(1 / 0)).touch()
    assert (tmp_path / "m" / "file").read_text() == "one"
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_replacement_in_two_steps_is_finished_by_the_next_process(tmp_path: Path, renames: int) -> None:
    folder, new, old = (tmp_path / name for name in ("m", ".m.recurra-new", ".m.recurra-old"))
    for place, content in ((folder, "one"), (new, "two")):
        place.mkdir()
        (place / "file").write_text(content)
    (folder / "kept").mkdir()
    if renames:
        (folder / "kept").rename(new / "kept")
    if renames == 2:
        folder.rename(old)
        recover(folder, "kept")
        assert (folder / "file").read_text() == "two"
    with claimed(folder, "kept"):
        pass
    assert (folder / "file").read_text() == "two"
    assert (folder / "kept").is_dir()
    assert names(tmp_path) == ["m"]


def test_a_former_directory_that_was_moved_away_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".m.recurra-old").mkdir()
    recover(tmp_path / "m", "kept")
    assert names(tmp_path) == ["m"]


def test_only_one_process_or_thread_writes_at_a_time(tmp_path: Path) -> None:
    errors: list[str] = []

    def other() -> None:
        try:
            replace(tmp_path / "link", "two")
        except OutputError as error:
            errors.append(str(error))

    (tmp_path / "m").mkdir()
    (tmp_path / "link").symlink_to("m")
    script = "from pathlib import Path; from recurra.directories import locked\nwith locked(Path('m')): pass"
    with claimed(tmp_path / "m", "kept"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        process = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert "is being written by another run" in errors[0]
    assert "is being written by another run" in process.stderr
    replace(tmp_path / "m", "three")
    assert names(tmp_path) == ["link", "m"]


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    script = "import os; from pathlib import Path; from recurra.directories import locked\n"
    script += "with locked(Path('m')): os._exit(9)"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    with locked(tmp_path / "m"):
        pass
    assert names(tmp_path) == []


def test_parents_that_were_made_for_nothing_are_removed(tmp_path: Path) -> None:
    with claimed(tmp_path / "a" / "b" / "m", "kept"):
        assert (tmp_path / "a" / "b").is_dir()
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_mount_point_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "m").mkdir()

    def busy(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "rename", busy)
    with (
        pytest.raises(OutputError, match=r"is a mount point.*; give a directory inside it"),
        claimed(tmp_path / "m", ""),
    ):
        pass
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize("inside", ["", "sub"])
def test_the_working_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    (tmp_path / "m" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "m" / inside)
    with pytest.raises(OutputError, match="is the working directory"), claimed(tmp_path / "m", "kept"):
        pass
    assert names(tmp_path) == ["m"]


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m").symlink_to("m")
    with pytest.raises(OutputError, match="can't be written"), claimed(tmp_path / "m", "kept"):
        pass


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_killed_before_any_change_a_model_is_there_and_nothing_is_left(tmp_path: Path) -> None:
    script = [sys.executable, "-m", "tests.kill_at_each_change", "save:5,overwrite:25", tmp_path]
    environment = {**os.environ, "RECURRA_THREADS": "1", "OMP_NUM_THREADS": "1"}
    found = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    results = json.loads(found.stdout.splitlines()[-1])
    assert {command: result["faults"] for command, result in results.items()} == {"save": {}, "overwrite": {}}
    assert all(result["changes"] > 25 for result in results.values())
