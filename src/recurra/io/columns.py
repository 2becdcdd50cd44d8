"""One .npy file that grows by appending, its length unknown until it is closed."""

from __future__ import annotations

import os
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column"]

_BLOCK = 1 << 20


class Column:
    """An array ``(n, *rest)`` written row by row.

    A column of uint16 becomes int32 by itself when a value does not fit.

    Args:
        path: the file; it must not be there.
        dtype: of the values.
        rest: the shape of one row.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], rest: tuple[int, ...] = ()) -> None:
        self.path = path
        self.dtype = dtype
        self.rest = rest
        self.rows = 0
        self._file = path.open("x+b")
        self._file.write(self._header())

    def append(self, values: NDArray[Any]) -> None:
        """Add ``values (n, *rest)`` at the end.

        Raises:
            ValueError: the shape of a row is another one.
            OSError: the disk is full, or the like.
        """
        if values.shape[1:] != self.rest:
            raise ValueError(f"a row of shape {values.shape[1:]}, before it {self.rest}")
        if self.dtype == np.uint16 and len(values) and int(values.max()) > 0xFFFF:
            self._widen()
        self._file.write(np.ascontiguousarray(values, self.dtype).data)
        self.rows += len(values)

    def close(self) -> dict[str, int]:
        """Finish the file, on the disk itself; its rows, bytes and checksum."""
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.seek(0)
        checksum = 0
        size = 0
        while block := self._file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
            size += len(block)
        self._file.close()
        return {"rows": self.rows, "bytes": size, "crc32": checksum}

    def abandon(self) -> None:
        """Close the file in whatever state it is."""
        try:
            self._file.close()
        except OSError:
            # What could not be flushed is not wanted any more.
            self._file.raw.close()

    def _header(self) -> bytes:
        """numpy pads it so that the first dimension may grow in place."""
        header = BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.rows, *self.rest),
            },
        )
        return header.getvalue()

    def _widen(self) -> None:
        wider = Column(self.path.with_suffix(".wider"), np.dtype(np.int32), self.rest)
        self._file.seek(len(self._header()))
        while block := self._file.read(_BLOCK):
            wider.append(np.frombuffer(block, self.dtype).astype(np.int32))
        self._file.close()
        wider.path.replace(self.path)
        self._file, self.dtype = wider._file, wider.dtype
