"""Replacement of a whole directory by one process at a time: its path always has the former or the new one.

Files beside DIR while it is written:

.DIR.recurra-lock     held by the process that writes DIR; released by the system when the process ends
.DIR.recurra-draft    the new directory, incomplete
.DIR.recurra-new      the new directory, complete: on systems that can't exchange two directories
.DIR.recurra-old      the former directory, no longer needed

If a process was killed, the next one that writes or reads DIR finishes the replacement or removes these.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from recurra.errors import OutputError
from recurra.files import sync, sync_folder

__all__ = ["Claim", "claimed", "locked", "recover"]

_HINT = "give another --out"
_RECOVERY_SECONDS = 10.0  # that a reader waits for a writer between two renames


@dataclass(frozen=True)
class Claim:
    """The right to replace a directory, from `claimed`.

    Attributes:
        folder: the directory, without symbolic links. It need not exist.
        keep: the name of a directory inside that a replacement keeps.
    """

    folder: Path
    keep: str

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """Context that yields an empty directory; at the end it replaces ``folder``.

        If the block raises an exception, or the process is killed, ``folder`` is unchanged.

        Raises:
            OutputError: the directory can't be written, or the disk is full.
        """
        draft = _beside(self.folder, "draft")
        try:
            _remove(draft)
            draft.mkdir()
            if self.folder.exists():
                shutil.copymode(self.folder, draft)
            yield draft
            for path in draft.rglob("*"):
                if path.is_file():
                    sync(path)
            self._put_in_place(draft)
        except OSError as error:
            raise OutputError(f"can't be written ({error.strerror or error})", where=self.folder) from error
        finally:
            _remove(draft)

    def _put_in_place(self, draft: Path) -> None:
        folder = self.folder
        if not folder.exists():
            draft.rename(folder)
        elif not (_link_tree(folder / self.keep, draft / self.keep) and _exchange(draft, folder)):
            draft.rename(_beside(folder, "new"))
            _finish(folder, self.keep)
        sync_folder(folder.parent)


@contextmanager
def claimed(folder: Path, keep: str) -> Iterator[Claim]:
    """Context in which only this process may replace ``folder``; what killed processes left is removed.

    Parent directories are created, and removed again if they are empty at the end.

    Args:
        folder: the directory; a symbolic link stands for the directory that it points to.
        keep: the name of a directory inside that a replacement keeps.

    Raises:
        OutputError: another process has claimed ``folder``, or it can't be replaced: it is a mount point, the
            working directory, or in a directory that can't be written.
    """
    with locked(folder) as place:
        try:
            _finish(place, keep)
            _check_replaceable(place)
        except OSError as error:
            raise _unwritable(place, error) from error
        yield Claim(place, keep)


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Context in which no other process or thread has locked ``folder``; yields its path without links.

    Raises:
        OutputError: it is locked, or its parent directory can't be written.
    """
    try:
        folder = folder.resolve()
        created = [parent for parent in folder.parents if not parent.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder.parent).close()  # filelock tells no reason if it can't write there
        lock = _lock(folder)
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(
            "is being written by another run", where=folder, hint=f"wait until that has ended, or {_HINT}"
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: symbolic links in a circle
        raise _unwritable(folder, error) from error
    try:
        yield folder
    finally:
        _release(lock)
        with suppress(OSError):  # no longer empty
            for parent in created:
                parent.rmdir()


def recover(folder: Path, keep: str) -> None:
    """Finishes the replacement of ``folder`` if a process was killed between its two renames.

    Raises:
        OutputError: ``folder`` can't be written.
    """
    if folder.exists():
        return
    folder = folder.absolute()
    if not folder.name or not any(_beside(folder, kind).exists() for kind in ("new", "old")):
        return
    lock = _lock(folder)
    try:
        lock.acquire(timeout=_RECOVERY_SECONDS)
        try:
            _finish(folder, keep)
        finally:
            _release(lock)
    except (OSError, Timeout) as error:
        raise _unwritable(folder, error) from error


def _finish(folder: Path, keep: str) -> None:
    """Finishes a replacement in two steps, and removes what is left beside ``folder``."""
    new, old = _beside(folder, "new"), _beside(folder, "old")
    if new.exists():
        try:
            if (folder / keep).exists() and not (new / keep).exists():
                (folder / keep).rename(new / keep)
            if folder.exists():
                _remove(old)
                folder.rename(old)
            new.rename(folder)
        except OSError:
            if old.exists() and not folder.exists():
                old.rename(folder)
            if (new / keep).exists() and not (folder / keep).exists():
                (new / keep).rename(folder / keep)
            _remove(new)
            raise
    elif old.exists() and not folder.exists():
        old.rename(folder)
    _remove(old)
    _remove(_beside(folder, "draft"))


def _check_replaceable(folder: Path) -> None:
    """Tries the rename that a replacement needs, onto a directory that is not empty.

    The system refuses that, but only after it has checked everything else: permissions, mount points, disks.
    """
    with suppress(FileNotFoundError):  # the working directory was removed
        if folder in (Path.cwd(), *Path.cwd().parents):
            what = "is the working directory, or around it, and can't be replaced"
            raise OutputError(what, where=folder, hint=_HINT)
    draft = _beside(folder, "draft")
    inside = draft / "inside"
    try:
        inside.mkdir(parents=True)
        if folder.exists():
            folder.rename(draft)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            what = "is a mount point, which can't be replaced by a new model"
            hint = f"give a directory inside it: {folder / 'model'}"
            raise OutputError(what, where=folder, hint=hint) from error
        expected = (errno.ENOTEMPTY, errno.EEXIST, *([errno.EACCES] if os.name == "nt" else []))
        if not folder.exists() or error.errno not in expected:
            raise
    finally:
        _remove(draft)


def _link_tree(source: Path, target: Path) -> bool:
    """Makes hard links to all files of ``source``, if it exists. Returns whether the system can."""
    if not source.exists():
        return True
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except (OSError, shutil.Error):
        _remove(target)
        return False
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two directories in one step. Returns whether the system can."""
    if sys.platform == "linux":
        AT_FDCWD, RENAME_EXCHANGE = -100, 2  # fcntl.h and linux/fs.h
        name = "renameat2"  # in glibc since 2.28
        arguments = (AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    elif sys.platform == "darwin":
        RENAME_SWAP = 2  # sys/stdio.h
        name, arguments = "renamex_np", (os.fsencode(one), os.fsencode(other), RENAME_SWAP)
    else:
        return False
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    return function is not None and function(*arguments) == 0


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}.recurra-{kind}")


def _lock(folder: Path) -> FileLock:
    return FileLock(_beside(folder, "lock"))


def _release(lock: FileLock) -> None:
    # Removed while it is held: a process that waits for it notices that the file is gone and makes its own.
    with suppress(OSError):  # Windows removes no open file; an empty file is left there
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _unwritable(folder: Path, error: Exception) -> OutputError:
    return OutputError(
        f"can't be written ({getattr(error, 'strerror', None) or error})", where=folder, hint=_HINT
    )
