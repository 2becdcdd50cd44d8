"""A file takes its place complete or not at all: written beside it, synced to the disk, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recurra.errors import OutputError

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path; what is written there becomes ``path`` when the block ends well.

    If the block raises, or the process is killed in it, the former file at ``path`` is untouched. The
    temporary name is always the same, so a killed process leaves at most one, and the next write takes it.

    Args:
        path: the file to write; its folder is made when missing.

    Raises:
        OutputError: the place can't be written, or is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
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
            mend="make room or choose another folder; what was there before is unchanged",
        ) from error


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
