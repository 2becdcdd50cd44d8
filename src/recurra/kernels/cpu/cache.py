"""Numba's cache of compiled functions, with a checksum in each file: a damaged one is compiled anew."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["VerifiedCache", "cached_functions", "folder_name", "remove_abandoned", "remove_former"]

_DIGEST = hashlib.sha256().digest_size
_ABANDONED = 3600  # seconds after which a file that was to be renamed is that of a killed process
_PYTHON = f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
_PATIENCE = 0.04  # seconds of waiting for a lock, after which a process looks for what the other compiled
_UNUSED = 7 * 24 * 3600  # seconds after which a folder is not kept any more
_FOLDER = re.compile("kernels-(?:(?P<machine>[0-9a-f]{8})-)?[0-9a-f]{16}")  # the first ones named none


class VerifiedCache(FunctionCache):
    """The cache of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = self._impl.locator.get_source_stamp()
        base = self._impl.filename_base
        self._cache_file = _VerifiedFile(self._cache_path, base, stamp)  # type: ignore[no-untyped-call]

    @property
    def is_empty(self) -> bool:
        """Whether the function is to be compiled."""
        return not self._index.exists()

    @property
    def _index(self) -> Path:
        return Path(self._cache_file._index_path)

    @contextmanager
    def one_compiler(self) -> Iterator[None]:
        """Context in which one process compiles the function, unless it is cached; others wait for it.

        Four processes that compiled everything at once took 66 s on two cores, where one takes 15 s.
        """
        lock = FileLock(self._index.with_suffix(".lock"))
        # Without a lock, as on some network drives, each process compiles for itself.
        with suppress(OSError, NotImplementedError):
            self._index.parent.mkdir(parents=True, exist_ok=True)
            while self.is_empty and not lock.is_locked:
                with suppress(Timeout):  # the other process may be done by now: then no lock is needed
                    lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 4)
        try:
            yield
        finally:
            lock.release()


class _VerifiedFile(IndexDataCacheFile):
    """The files of one function: each begins with the SHA-256 of the rest.

    Numba unpickles what it finds, and runs the machine code in it: a cut or changed file ended the process.
    """

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[IO[bytes]]:
        buffer = BytesIO()
        yield buffer
        content = buffer.getvalue()
        with super()._open_for_write(filepath) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_index(self) -> dict[Any, str]:
        try:
            file = BytesIO(_verified(Path(self._index_path)))
        except FileNotFoundError:
            return {}
        except OSError as error:
            _say_once(error)
            return {}
        if pickle.load(file) != self._version:  # noqa: S301 - written by this user, and verified
            return {}
        stamp, names = pickle.load(file)  # noqa: S301
        return dict(names) if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        try:
            return pickle.loads(_verified(Path(self._cache_path) / name))  # noqa: S301
        except OSError as error:  # numba compiles the function again
            _say_once(error)
            raise


def _verified(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: it can't be read, or is not what was written.
    """
    content = path.read_bytes()
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        raise OSError(f"{path} was changed or cut short")
    return content[_DIGEST:]


_said = False


def _say_once(error: OSError) -> None:
    global _said
    if not _said:
        _said = True
        warnings.warn(f"the cache of compiled kernels is damaged ({error}): compiling anew", stacklevel=2)


def remove_abandoned(folder: Path) -> None:
    """Removes files that killed processes did not finish."""
    for path in folder.glob("**/*.tmp.*"):
        with suppress(FileNotFoundError):  # its process may just have renamed it
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def cached_functions(folder: Path | None) -> set[str]:
    """The functions that a folder has, as ``module.function``."""
    if folder is None:
        return set()
    # Numba names an index by module, function, line and version of Python: tile.f-12.py311.nbi
    return {path.name.rpartition("-")[0] for path in folder.glob(f"**/*.{_PYTHON}.nbi")}


def folder_name(machine: str, version: str) -> str:
    """The name of the folder of the kernels of a version, compiled for a kind of machine."""
    digests = (hashlib.sha256(text.encode()).hexdigest() for text in (machine, version))
    return "kernels-{:.8}-{:.16}".format(*digests)


def remove_former(folder: Path) -> None:
    """Marks a folder of kernels as used now, and removes old ones beside it.

    Kept are those that were used within an hour, which a process may be using, and, of those that were used
    within a week, the last one of another version for this machine, since two installations take turns, and
    those of other machines, which share the home directory.
    """
    used: list[tuple[float, Path, bool]] = []
    with suppress(OSError):  # a folder that can be read, but not changed
        os.utime(folder)
        for path in folder.parent.iterdir():
            match = _FOLDER.fullmatch(path.name)
            if match and path != folder and path.is_dir() and not path.is_symlink():
                machine = match["machine"]
                former = machine is None or folder.name.startswith(f"kernels-{machine}-")
                used.append((path.stat().st_mtime, path, former))
    kept = 0
    for last, path, former in sorted(used, reverse=True):
        age = time.time() - last
        kept += former
        if age > _UNUSED or (age > _ABANDONED and former and kept > 1):
            shutil.rmtree(path, ignore_errors=True)
