"""Atomic file replacement: write a temporary file, sync it to the disk, then rename it."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recurra.errors import OutputError

__all__ = ["has_ended", "replacing", "sync", "sync_folder"]

_ABANDONED = 24 * 3600  # seconds after which a temporary file is considered abandoned


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context that yields a temporary path; the file written there replaces ``path`` at the end.

    If the block raises an exception, or the process is killed, the previous file at ``path`` is unchanged.
    Several processes can write the same path: the last one wins. Temporary files of killed processes are
    removed by the next write.

    Args:
        path: the file to write; its folder is created if necessary.

    Raises:
        OutputError: ``path`` can't be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(path)
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"can't be written ({error.strerror or error})",
            where=path,
            hint="free some space or choose another folder; the previous file is unchanged",
        ) from error


def _remove_abandoned(path: Path) -> None:
    """Removes the temporary files for ``path`` of processes that no longer exist."""
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = old.name.split(".")[-2]
        with suppress(FileNotFoundError):  # its process may just have renamed it
            if time.time() - old.stat().st_mtime > _ABANDONED or (
                process.isdigit() and has_ended(int(process))
            ):
                old.unlink()


def has_ended(process: int) -> bool:
    """Returns whether there is no process of this number; False on systems that can't tell."""
    if os.name != "posix":  # on Windows, os.kill(pid, 0) can end the process
        return False
    try:
        os.kill(process, 0)
    except (OSError, OverflowError) as error:  # PermissionError: it belongs to another user
        return not isinstance(error, PermissionError)
    return False


def sync(path: Path) -> None:
    """Waits until the contents are on the disk; a power failure could otherwise keep the rename only."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the rename is on the disk, on systems that can open a folder."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
