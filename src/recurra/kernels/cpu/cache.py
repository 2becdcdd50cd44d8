"""Numba's cache of compiled functions, with a checksum in each file: a damaged one is compiled anew."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from filelock import FileLock
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["VerifiedCache", "remove_abandoned", "remove_former"]

_DIGEST = hashlib.sha256().digest_size
_ABANDONED = 3600  # seconds after which a file that was to be renamed is that of a killed process
_KEPT = 8  # folders: versions of recurra and machines that share a home directory take turns
_FOLDER = re.compile("kernels-[0-9a-f]{16}")


class VerifiedCache(FunctionCache):
    """The cache of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = self._impl.locator.get_source_stamp()
        base = self._impl.filename_base
        self._cache_file = _VerifiedFile(self._cache_path, base, stamp)  # type: ignore[no-untyped-call]

    @contextmanager
    def one_compiler(self) -> Iterator[None]:
        """Context in which one process compiles the function, unless it is cached; others wait for it.

        Four processes that compiled everything at once took 66 s on two cores, where one takes 15 s.
        """
        index = Path(self._cache_file._index_path)
        with ExitStack() as stack:
            if not index.exists():
                # Without a lock, as on some network drives, each process compiles for itself.
                with suppress(OSError, NotImplementedError):
                    index.parent.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(FileLock(index.parent / "compiling.lock"))
            yield


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


def remove_former(folder: Path) -> None:
    """Marks a folder of kernels as used now, and removes those of former versions beside it.

    The 8 that were used last are kept, and those that were used within an hour, which a process may be using.
    """
    used: list[tuple[float, Path]] = []
    with suppress(OSError):  # a folder that can be read, but not changed
        os.utime(folder)
        for path in folder.parent.iterdir():
            if path != folder and _FOLDER.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                used.append((path.stat().st_mtime, path))
    for last, path in sorted(used, reverse=True)[_KEPT - 1 :]:
        if time.time() - last > _ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
