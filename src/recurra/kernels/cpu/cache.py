"""Numba's cache of compiled functions, with a checksum in each file: a damaged one is compiled anew."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["VerifiedCache"]

_DIGEST = hashlib.sha256().digest_size
_PATIENCE = 0.04  # seconds of waiting for a lock, after which a process looks for what the other compiled


class VerifiedCache(FunctionCache):
    """The cache of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = self._impl.locator.get_source_stamp()
        base = self._impl.filename_base
        self._cache_file = _VerifiedFile(self._cache_path, base, stamp)  # type: ignore[no-untyped-call]

    @property
    def object_file(self) -> bytes:
        """The machine code of the function, which was compiled or loaded."""
        file: Any = self._cache_file
        return bytes(file.object_file)

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

    object_file = b""

    def save(self, key: Any, data: Any) -> None:
        """Writes a function, and only then that it is there: other processes may read at any time."""
        self.object_file = _object_file(data)
        names = self._load_index()
        name = names.get(key, self._data_name(len(names) + 1))  # type: ignore[no-untyped-call]
        self._save_data(name, data)  # type: ignore[no-untyped-call]
        self._save_index({**names, key: name})  # type: ignore[no-untyped-call]

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
            data = pickle.loads(_verified(Path(self._cache_path) / name))  # noqa: S301
        except OSError as error:  # numba compiles the function again
            _say_once(error)
            raise
        self.object_file = _object_file(data)
        return data


def _object_file(data: Any) -> bytes:
    """Returns the machine code in what Numba keeps of a function."""
    (_, _, (machine_code, _)), *_ = data
    return bytes(machine_code)


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
