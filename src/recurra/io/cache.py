"""A cache of what was read from files, on disk, under a key of the files' contents and the settings."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recurra import runtime
from recurra.errors import DataError, OutputError
from recurra.files import is_abandoned, replacing
from recurra.io.columns import Arrays, open_columns, write_columns
from recurra.io.examples import Chunk, Examples
from recurra.io.usage import limit, make_room, mark_used

__all__ = [
    "Chunk",
    "Examples",
    "cache_folder",
    "cached_columns",
    "cached_examples",
    "cached_text",
    "content_key",
    "replacing_cached",
]

_FORMAT = 1
T = TypeVar("T")


def cached_examples(folder: Path, key: str, build: Callable[[], Iterable[Chunk]]) -> Examples:
    """Returns the examples in ``folder / key``, as `cached_columns` does, from chunks of texts.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
        ValueError: chunks have different columns.
    """

    def read(columns: dict[str, NDArray[Any]]) -> Examples:
        return Examples(columns.pop("ids"), **columns)

    return cached_columns(folder, key, lambda: _example_columns(build()), read)


def cached_columns(
    folder: Path,
    key: str,
    build: Callable[[], Iterable[Arrays]],
    read: Callable[[dict[str, NDArray[Any]]], T],
) -> T:
    """Returns what ``read`` makes of the arrays in ``folder / key``, mapped from disk, after building them.

    Chunks are written to disk one by one, so that memory holds a few of them. The folder is complete or
    absent, so that several processes may build it at once. A cache that is truncated or changed is built
    again. What was not used for the longest time is removed if the cache is larger than its limit.

    Args:
        folder: the folder of the cache.
        key: the name of the arrays there.
        build: arrays by name, see `write_columns`; called only if they are not in the cache.
        read: makes an object of the arrays; with ValueError or TypeError, they are built again.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
        ConfigError: the limit of the cache is not a number.
        ValueError: arrays don't fit together.
    """
    limit()  # a wrong one is refused before the work
    place = folder / key
    found = _opened(place, read)
    if found is not None:
        mark_used(place)
        return found
    draft = _make_draft(folder, key)
    try:
        write_columns(draft, build(), lambda: _writing(folder))
        with _writing(place):
            _publish(draft, place, lambda: _opened(place, read) is not None)
        found = _opened(place, read)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    if found is None:
        raise OutputError("the token cache was changed while it was written", where=place, hint="try again")
    make_room(folder, place)
    return found


def _opened(place: Path, read: Callable[[dict[str, NDArray[Any]]], T]) -> T | None:
    columns = open_columns(place)
    if columns is None:
        return None
    try:
        return read(columns)
    except (ValueError, TypeError, KeyError):
        return None


def cached_text(folder: Path, name: str, build: Callable[[], str]) -> str:
    """Returns the text in ``folder / name``, after building it if it is not there, or cut or changed.

    The first line of the file is the SHA-256 of the rest.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
    """
    path = folder / name
    with suppress(FileNotFoundError):
        digest, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() == digest:
            mark_used(path)
            return content.decode("utf-8")
    text = build()
    content = text.encode("utf-8")
    with replacing_cached(path) as draft:
        draft.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return text


@contextmanager
def replacing_cached(path: Path) -> Iterator[Path]:
    """Context of `recurra.files.replacing` for a file of the cache, which then is brought to its limit."""
    limit()
    with replacing(path) as draft:
        yield draft
    make_room(path.parent, path)


def cache_folder() -> Path:
    """Returns ``RECURRA_CACHE``, or the user's cache folder; a temporary one if that can't be written.

    A temporary folder is removed when the process ends.
    """
    return _usable(runtime.user_cache())


def content_key(paths: Iterable[Path], *settings: str) -> str:
    """Returns a key of the contents of files or folders (with the names inside) and of settings.

    Raises:
        DataError: a file can't be read.
    """
    digest = hashlib.sha256(f"recurra tokens {_FORMAT}".encode())
    for path in paths:
        digest.update(_content(path))
    for setting in settings:
        digest.update(hashlib.sha256(setting.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()[:32]


def _content(path: Path) -> bytes:
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        digest = hashlib.sha256(b"folder")
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        for name in names:
            digest.update(hashlib.sha256(os.fsencode(name)).digest() + _content(path / name))
        return digest.digest()
    except OSError as error:
        raise DataError(f"can't be read ({error.strerror})", where=path) from error


@functools.cache
def _usable(folder: Path | None) -> Path:
    if folder is not None:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
    temporary = Path(tempfile.mkdtemp(prefix="recurra-cache-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary


def _make_draft(folder: Path, key: str) -> Path:
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        draft = folder / f".{key}.{os.getpid()}-{secrets.token_hex(8)}.draft"
        draft.mkdir()
        return draft


def _remove_abandoned(folder: Path) -> None:
    """Removes drafts and temporary files of processes that have ended."""
    for old in (*folder.glob(".*.draft*"), *folder.glob(".*.tmp")):
        process = old.name.split(".draft")[0].removesuffix(".tmp").split(".")[-1].partition("-")[0]
        if is_abandoned(old, process):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """A context in which errors of the disk become an `OutputError`."""
    try:
        yield
    except OSError as error:
        what = f"the token cache can't be written ({error.strerror or error})"
        hint = "make room there, or name another folder in RECURRA_CACHE"
        raise OutputError(what, where=place, hint=hint) from error


def _example_columns(chunks: Iterable[Chunk]) -> Iterator[Arrays]:
    """The columns of `Examples`; those of no text if there is none."""
    present: set[str] | None = None
    tokens = 0
    codes: dict[str, int] = {}
    for chunk in chunks:
        lengths = np.array([len(ids) for ids in chunk.ids], np.int64)
        if len(lengths) == 0:
            continue
        if lengths.min() == 0:
            raise ValueError("a text without any token")
        ids = np.concatenate(list(chunk.ids))
        if ids.min() < 0 or ids.max() > np.iinfo(np.int32).max:
            raise ValueError("a token id that is not between 0 and 2,147,483,647")
        values: dict[str, NDArray[Any]] = {
            "numbers": np.asarray(chunk.numbers, np.int64),
            "full_lengths": np.asarray(chunk.full_lengths, np.int64),
            "unknown": np.asarray(chunk.unknown, np.int64),
        }
        if chunk.labels is not None:
            whole = np.issubdtype(chunk.labels.dtype, np.integer)
            values["labels"] = chunk.labels.astype(np.int64 if whole else np.float32)
        if chunk.groups is not None:
            numbers = [codes.setdefault(name, len(codes)) for name in chunk.groups]
            values["groups"] = np.array(numbers, np.int64)
        first = present is None
        present = set(values) if present is None else present
        if set(values) != present or any(len(value) != len(lengths) for value in values.values()):
            raise ValueError("chunks of different columns or sizes")
        ends = tokens + np.cumsum(lengths)
        small = ids.max() <= np.iinfo(np.uint16).max  # the column becomes one of int32 where they are not
        yield {
            "ids": ids.astype(np.uint16 if small else np.int32),
            "offsets": np.concatenate([[0], ends]) if first else ends,
            **values,
        }
        tokens = int(ends[-1])
    if present is None:
        nothing = np.zeros(0, np.int64)
        yield {"ids": nothing.astype(np.uint16), "offsets": np.zeros(1, np.int64)}
        yield dict.fromkeys(("numbers", "full_lengths", "unknown"), nothing)


def _publish(draft: Path, place: Path, is_valid: Callable[[], bool]) -> None:
    """Gives the draft its name, unless another process has built a valid cache there by now."""
    for _ in range(10):
        with suppress(OSError):
            draft.rename(place)
            return
        if is_valid():
            return
        damaged = draft.with_name(f"{draft.name}.damaged")
        with suppress(FileNotFoundError):  # another process may have moved it first
            place.rename(damaged)
        if damaged.is_dir() and not damaged.is_symlink():
            shutil.rmtree(damaged, ignore_errors=True)
        else:
            damaged.unlink(missing_ok=True)
    draft.rename(place)
