"""Arrays in a folder: written chunk by chunk, with sizes and checksums, and mapped from disk."""

from __future__ import annotations

import itertools
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from recurra.io.usage import in_use

__all__ = [
    "SEAL",
    "Arrays",
    "Column",
    "open_columns",
    "text_of",
    "texts_of",
    "to_bytes",
    "to_texts",
    "write_columns",
]

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by the name of their column, in small letters."""
SEAL = "cache.json"
"""Written last: the columns, their sizes and checksums."""

_FORMAT = 2
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BLOCK = 1 << 20


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
            ValueError: a row has another shape, or values of another kind.
            OSError: the file can't be written.
        """
        if values.shape[1:] != self.rest:
            raise ValueError(f"a row of shape {values.shape[1:]}, before it {self.rest}")
        if (
            not np.can_cast(values.dtype, self.dtype, "same_kind")
            and values.dtype.kind + self.dtype.kind != "iu"
        ):
            raise ValueError(f"values of {values.dtype}, before them {self.dtype}")
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


def write_columns(
    draft: Path, chunks: Iterable[Arrays], writing: Callable[[], AbstractContextManager[None]]
) -> None:
    """Writes arrays into the empty folder ``draft``: each chunk extends the columns that it has.

    Args:
        draft: the folder.
        chunks: arrays by name; those of one name have the same shape but for their first dimension.
        writing: a context around what is written, in which errors are those of the disk.

    Raises:
        ValueError: arrays of one name do not fit together.
    """
    columns: dict[str, Column] = {}
    try:
        for chunk in chunks:
            with writing():
                for name, values in chunk.items():
                    if name not in columns:
                        if not _NAME.fullmatch(name):
                            raise ValueError(f"{name!r} is no name of a column")
                        columns[name] = Column(draft / f"{name}.npy", values.dtype, values.shape[1:])
                    columns[name].append(values)
        with writing():
            sealed = {name: column.close() for name, column in columns.items()}
            seal = json.dumps({"format": _FORMAT, "columns": sealed}, indent=1)
            (draft / SEAL).write_text(seal, encoding="utf-8")
    finally:
        for column in columns.values():
            column.abandon()


def open_columns(place: Path) -> dict[str, NDArray[Any]] | None:
    """Returns the arrays in a folder, mapped from disk; None if absent, damaged or of another version.

    As long as an array of the folder is in memory, `recurra.io.usage` knows that the folder is in use.
    """
    try:
        with (place / SEAL).open("rb") as file:
            in_use(file)
            seal = json.loads(file.read())
            columns = seal["columns"]
            if seal["format"] != _FORMAT or not all(map(_NAME.fullmatch, columns)):
                return None
            return {name: _mapped(place / f"{name}.npy", columns[name]) for name in columns}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _mapped(path: Path, sealed: dict[str, Any]) -> NDArray[Any]:
    """The array of one file, mapped from disk; ValueError if it is not the one that was written.

    The checksum takes one read of the file (IMDB: 10 ms), which the first epoch needs in any case.
    """
    with path.open("rb") as file:
        in_use(file)
        if _checksum(file) != (sealed["bytes"], sealed["crc32"]):
            raise ValueError("truncated or changed")
        file.seek(0)
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("of another format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject:
            raise ValueError("not numbers")
        if not sealed["rows"]:
            return np.zeros(shape, dtype)
        # The mapping has a copy of the file's descriptor, and with it the lock, until it is freed.
        mapped = np.memmap(file, dtype, "r", offset=file.tell(), shape=shape)
        return np.asarray(mapped)


def to_bytes(text: str) -> NDArray[np.uint8]:
    """Returns a text as a column, which `text_of` reads."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def text_of(column: NDArray[np.uint8]) -> str:
    """Returns the text of a column that `to_bytes` made."""
    return column.tobytes().decode("utf-8", "surrogatepass")


def to_texts(texts: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns texts as two columns: their bytes, one text after the other, and the end of each.

    Example:
        >>> texts_of(*to_texts(["a", "", "\u6587"]))
        ['a', '', '\u6587']
    """
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), ends


def texts_of(content: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[str]:
    """Returns the texts of the columns that `to_texts` made."""
    whole, begins = content.tobytes(), [0, *ends.tolist()]
    return [whole[begin:end].decode("utf-8", "surrogatepass") for begin, end in itertools.pairwise(begins)]
