"""A cache of token ids on disk, under a key of the files' contents and the settings."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from recurra import runtime
from recurra.errors import DataError, OutputError
from recurra.files import is_abandoned, replacing
from recurra.io.examples import Chunk, Examples

__all__ = ["Chunk", "Column", "Examples", "cache_folder", "cached_examples", "cached_text", "content_key"]

_FORMAT = 1
_SEAL = "cache.json"  # written last: the columns, their sizes and checksums
_COLUMNS = {"ids", "offsets", "labels", "numbers", "groups", "full_lengths", "unknown"}
_OPTIONAL = {"labels", "groups"}
_BLOCK = 1 << 20


def cached_examples(folder: Path, key: str, build: Callable[[], Iterable[Chunk]]) -> Examples:
    """Returns the examples in ``folder / key``, mapped from disk, after building them if they are not there.

    Chunks are written to disk one by one, so that memory holds a few of them. The folder is complete or
    absent, so that several processes may build it at once. A cache that is truncated or changed is built
    again. ``build`` is called only if the cache has to be built.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
        ValueError: chunks have different columns.
    """
    place = folder / key
    examples = _open(place)
    if examples is not None:
        return examples
    draft = _make_draft(folder, key)
    try:
        _write(draft, build())
        with _writing(place):
            _publish(draft, place)
        examples = _open(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    if examples is None:
        raise OutputError("the token cache was changed while it was written", where=place, hint="try again")
    return examples


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
            return content.decode("utf-8")
    text = build()
    content = text.encode("utf-8")
    with replacing(path) as draft:
        draft.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return text


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


def _checksum(file: BinaryIO) -> tuple[int, int]:
    """The number of bytes of a file, and their checksum."""
    size = checksum = 0
    file.seek(0)
    while block := file.read(_BLOCK):
        checksum = zlib.crc32(block, checksum)
        size += len(block)
    return size, checksum


class Column:
    """An array ``(n, *rest)`` in a .npy file, written row by row; n is not known before the end.

    A column of uint16 becomes one of int32 when a value does not fit. ``path`` must not exist.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], rest: tuple[int, ...] = ()) -> None:
        self.path = path
        self.dtype = dtype
        self.rest = rest
        self.rows = 0
        self._file = path.open("x+b")
        self._file.write(self._header())

    def append(self, values: NDArray[Any]) -> None:
        """Appends ``values (n, *rest)``.

        Raises:
            ValueError: a row has another shape.
            OSError: the file can't be written.
        """
        if values.shape[1:] != self.rest:
            raise ValueError(f"a row of shape {values.shape[1:]}, before it {self.rest}")
        if self.dtype == np.uint16 and len(values) and int(values.max()) > 0xFFFF:
            self._widen()
        self._file.write(np.ascontiguousarray(values, self.dtype).data)
        self.rows += len(values)

    def close(self) -> dict[str, int]:
        """Completes the file on disk, and returns its number of rows and bytes and its checksum."""
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()
        os.fsync(self._file.fileno())
        size, checksum = _checksum(self._file)
        self._file.close()
        return {"rows": self.rows, "bytes": size, "crc32": checksum}

    def abandon(self) -> None:
        """Closes the incomplete file."""
        try:
            self._file.close()
        except OSError:
            # The data that could not be flushed is not needed.
            self._file.raw.close()

    def _header(self) -> bytes:
        """The header; numpy pads it, so that the number of rows can be replaced."""
        header = BytesIO()
        descr = np.lib.format.dtype_to_descr(self.dtype)
        values = {"descr": descr, "fortran_order": False, "shape": (self.rows, *self.rest)}
        np.lib.format.write_array_header_1_0(header, values)
        return header.getvalue()

    def _widen(self) -> None:
        wider = Column(self.path.with_suffix(".wider"), np.dtype(np.int32), self.rest)
        self._file.seek(len(self._header()))
        while block := self._file.read(_BLOCK):
            wider.append(np.frombuffer(block, self.dtype).astype(np.int32))
        self._file.close()
        wider.path.replace(self.path)
        self._file, self.dtype = wider._file, wider.dtype


class _Columns:
    """The columns of one draft, opened with the first chunk that has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open: dict[str, Column] = {}
        self.present: set[str] | None = None
        self.tokens = 0
        self.codes: dict[str, int] = {}

    def add(self, chunk: Chunk) -> None:
        lengths = np.array([len(ids) for ids in chunk.ids], np.int64)
        if len(lengths) == 0:
            return
        if lengths.min() == 0:
            raise ValueError("a text without any token")
        ids = np.concatenate(list(chunk.ids))
        if ids.min() < 0 or ids.max() > np.iinfo(np.int32).max:
            raise ValueError("a token id that is not between 0 and 2,147,483,647")
        values: dict[str, NDArray[Any]] = {
            "ids": ids,
            "offsets": self.tokens + np.cumsum(lengths),
            "numbers": np.asarray(chunk.numbers, np.int64),
            "full_lengths": np.asarray(chunk.full_lengths, np.int64),
            "unknown": np.asarray(chunk.unknown, np.int64),
        }
        if chunk.labels is not None:
            whole = np.issubdtype(chunk.labels.dtype, np.integer)
            values["labels"] = chunk.labels.astype(np.int64 if whole else np.float32)
        if chunk.groups is not None:
            codes = [self.codes.setdefault(name, len(self.codes)) for name in chunk.groups]
            values["groups"] = np.array(codes, np.int64)
        if self.present is None:
            self.present = set(values)
        if set(values) != self.present or any(
            len(value) != len(lengths) for name, value in values.items() if name != "ids"
        ):
            raise ValueError("chunks of different columns or sizes")
        self.tokens += int(lengths.sum())
        for name, value in values.items():
            self._column(name, value).append(value)

    def _column(self, name: str, value: NDArray[Any]) -> Column:
        if name not in self.open:
            dtype = np.dtype(np.uint16) if name == "ids" else value.dtype
            self.open[name] = Column(self.folder / f"{name}.npy", dtype, value.shape[1:])
            if name == "offsets":
                self.open[name].append(np.zeros(1, np.int64))
        return self.open[name]

    def close(self) -> dict[str, Any]:
        nothing = np.zeros(0, np.int64)
        for name in sorted(_COLUMNS - _OPTIONAL):
            self._column(name, nothing)
        return {name: column.close() for name, column in self.open.items()}

    def abandon(self) -> None:
        for column in self.open.values():
            column.abandon()


def _write(draft: Path, chunks: Iterable[Chunk]) -> None:
    """Writes the chunks into ``draft``. Only errors of the disk become `OutputError`."""
    columns = _Columns(draft)
    try:
        for chunk in chunks:
            with _writing(draft.parent):
                columns.add(chunk)
        with _writing(draft.parent):
            seal = json.dumps({"format": _FORMAT, "columns": columns.close()}, indent=1)
            (draft / _SEAL).write_text(seal, encoding="utf-8")
    finally:
        columns.abandon()


def _publish(draft: Path, place: Path) -> None:
    """Gives the draft its name, unless another process has built a valid cache there by now."""
    for _ in range(10):
        with suppress(OSError):
            draft.rename(place)
            return
        if _open(place) is not None:
            return
        damaged = draft.with_name(f"{draft.name}.damaged")
        with suppress(FileNotFoundError):  # another process may have moved it first
            place.rename(damaged)
        if damaged.is_dir() and not damaged.is_symlink():
            shutil.rmtree(damaged, ignore_errors=True)
        else:
            damaged.unlink(missing_ok=True)
    draft.rename(place)


def _open(place: Path) -> Examples | None:
    """The examples in ``place``, or None if they are absent, damaged or of another version."""
    try:
        seal = json.loads((place / _SEAL).read_text(encoding="utf-8"))
        columns = seal["columns"]
        names = set(columns)
        if seal["format"] != _FORMAT or not _COLUMNS - _OPTIONAL <= names <= _COLUMNS:
            return None
        arrays = {name: _mapped(place / f"{name}.npy", columns[name]) for name in names}
        return Examples(arrays.pop("ids"), **arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _mapped(path: Path, sealed: dict[str, Any]) -> NDArray[Any]:
    """The array of one file, mapped from disk; ValueError if it is not the one that was written.

    The checksum takes one read of the file (IMDB: 10 ms), which the first epoch needs in any case.
    """
    with path.open("rb") as file:
        if _checksum(file) != (sealed["bytes"], sealed["crc32"]):
            raise ValueError("truncated or changed")
    array: NDArray[Any] = np.load(path, mmap_mode="r" if sealed["rows"] else None, allow_pickle=False)
    return np.asarray(array)
