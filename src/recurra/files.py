"""A file takes its place complete or not at all: written beside it, synced to the disk, then renamed."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recurra.errors import OutputError

__all__ = ["replacing"]

_ABANDONED = 24 * 3600  # seconds after which a temporary file is taken for that of a killed process


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path; what is written there becomes ``path`` when the block ends well.

    If the block raises, or the process is killed in it, the former file at ``path`` is untouched. Several
    processes may write the same path: the last one stays. What a killed one left goes with the next write.

    Args:
        path: the file to write; its folder is made when missing.

    Raises:
        OutputError: the place can't be written, or is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"can't be written ({error.strerror or error})",
            where=path,
            hint="make room or choose another folder; what was there before is unchanged",
        ) from error


def _remove_abandoned(path: Path) -> None:
    """Clear what processes that are gone left beside ``path``."""
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        owner = old.name.split(".")[-2]
        with suppress(FileNotFoundError):  # its owner may just have renamed it
            if time.time() - old.stat().st_mtime > _ABANDONED or (owner.isdigit() and _is_gone(int(owner))):
                old.unlink()


def _is_gone(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is no mere question
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and another user's
        return False
    return False


def _sync(path: Path) -> None:
    """Waits until the bytes are on the disk: a rename may otherwise outlive a power cut that they don't."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Waits until the rename itself is on the disk, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
