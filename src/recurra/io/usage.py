"""The size of the cache: what is in it and in use, and what is removed if it is larger than its limit."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from recurra.directories import locked
from recurra.errors import ConfigError, OutputError

if sys.platform != "win32":
    import fcntl

__all__ = ["KINDS", "LIMIT", "Entry", "entries", "in_use", "limit", "make_room", "mark_used", "remove"]

LIMIT = "RECURRA_CACHE_MB"
_DEFAULT = 10_000
KINDS = {
    "": "rows",
    ".tokenizer.json": "tokenizer",
    ".ngrams.safetensors": "n-grams",
    ".evidence.safetensors": "n-grams of each word",
    ".soft-labels.safetensors": "labels of texts without labels",
    ".language-model": "language model",
}
"""What an entry of the cache holds, by the end of its name; nothing else in the folder is ever removed."""
_KEY = re.compile(r"[0-9a-f]{32}")
_SEAL = "cache.json"
_SECONDS = 10.0  # that a reader waits for a process that looks whether a file is in use


@dataclass(frozen=True)
class Entry:
    """A file or folder of the cache.

    Attributes:
        path: its place.
        kind: a value of `KINDS`.
        size: its bytes.
        used: when it was last used, in seconds since 1970.
    """

    path: Path
    kind: str
    size: int
    used: float


def limit() -> int:
    """Returns the limit of the cache in bytes: ``RECURRA_CACHE_MB`` megabytes, or 10,000.

    Raises:
        ConfigError: it is not a number from 0 on.
    """
    text = os.environ.get(LIMIT, "").strip() or str(_DEFAULT)
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = -1.0
    if not 0 <= megabytes < float("inf"):
        hint = f"set it to the megabytes that the cache may take, such as {_DEFAULT}"
        raise ConfigError(f"{text!r} is not a number of megabytes", where=LIMIT, hint=hint)
    return int(megabytes * 1_000_000)


def entries(folder: Path) -> list[Entry]:
    """Returns what is in the cache, the longest unused first, without compiled kernels and data sets."""
    found: list[Entry] = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            kind = KINDS.get(path.name[32:]) if _KEY.match(path.name) else None
            if kind is not None and not path.is_symlink():
                with suppress(OSError):  # another process removed it
                    found += _entry(path, kind)
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def _entry(path: Path, kind: str) -> Iterator[Entry]:
    files = [path]
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
        if kind == KINDS[""] and path / _SEAL not in files:
            return
    yield Entry(path, kind, sum(file.stat().st_size for file in files), path.stat().st_mtime)


def mark_used(path: Path) -> None:
    """Notes that an entry of the cache is used now."""
    with suppress(OSError):  # the cache may be read-only
        os.utime(path)


def in_use(file: BinaryIO) -> None:
    """Locks a file of the cache, so that `remove` leaves it there, until its last descriptor is closed.

    A mapping of the file has a descriptor of its own: the lock ends when the mapping is freed, or with the
    process. Without such locks (Windows), the system removes no file that is open.

    Raises:
        OSError: another process is removing it.
    """
    if sys.platform == "win32":
        return
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            break
        except BlockingIOError:  # is being looked at by `remove`
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        except OSError:  # the file system has no locks: then nothing there is removed
            return
    if os.fstat(file.fileno()).st_nlink == 0:
        raise FileNotFoundError("removed meanwhile")


def make_room(folder: Path, written: Path) -> list[Entry]:
    """Removes what was not used for the longest time until the cache is within its limit; returns it.

    What a running process has open, and ``written``, stay in any case.

    Raises:
        ConfigError: see `limit`.
    """
    found = entries(folder)
    excess = sum(entry.size for entry in found) - limit()
    removed = []
    for entry in found:
        if excess <= 0:
            break
        if entry.path != written and remove(entry):
            removed.append(entry)
            excess -= entry.size
    return removed


def remove(entry: Entry) -> bool:
    """Removes an entry; returns whether it is gone, and not in use."""
    with suppress(FileNotFoundError):
        try:
            with _unused(entry.path):
                trash = entry.path.with_name(f".{entry.path.name}.{os.getpid()}-{secrets.token_hex(8)}.draft")
                entry.path.rename(trash)
        except (OSError, OutputError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            return False
        if trash.is_dir():
            shutil.rmtree(trash, ignore_errors=True)
        else:
            trash.unlink(missing_ok=True)
    return True


@contextmanager
def _unused(path: Path) -> Iterator[None]:
    """Context in which no process uses an entry; OSError or OutputError if one does."""
    with ExitStack() as held:
        if path.is_dir() and not (path / _SEAL).exists():  # a model
            held.enter_context(locked(path))
        elif sys.platform != "win32":
            # The seal first: who opens the columns holds it meanwhile.
            files = [path / _SEAL, *path.glob("*.npy")] if path.is_dir() else [path]
            for file in files:
                fcntl.flock(held.enter_context(file.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
