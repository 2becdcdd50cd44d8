"""Parquet, a batch of rows at a time; a gzipped one is unpacked to a temporary file first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recurra.errors import DataError, OutputError
from recurra.io.files import damaged, open_bytes
from recurra.io.formats.table import CHUNK_ROWS, Refuse
from recurra.io.source import Source

__all__ = ["cells", "columns"]

_BATCH_BYTES = 16_000_000


def columns(path: Path, packed: bool) -> tuple[str, ...]:
    """The names of the columns.

    Raises:
        DataError: the file is no Parquet, is cut off, or has no rows.
    """
    with _opened(path, packed) as file:
        if file.metadata.num_rows == 0:
            raise DataError("the file has no rows", where=path)
        return tuple(file.schema_arrow.names)


def cells(source: Source, columns: Sequence[str], refuse: Refuse) -> Iterator[tuple[int, list[Any]]]:
    """Row numbers and the values of ``columns``; nothing else of the file is read."""
    del refuse  # a Parquet file is whole or it isn't
    number = 0
    with _opened(source.path, source.gzip) as file:
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        mean = max(1, size // max(1, file.metadata.num_rows))
        batch_size = max(1, min(CHUNK_ROWS, _BATCH_BYTES // mean))
        for batch in file.iter_batches(batch_size, columns=list(columns)):
            by_name = dict(zip(batch.schema.names, batch.columns, strict=True))
            values = [by_name[name].to_pylist() for name in columns]
            for row in zip(*values, strict=True):
                number += 1
                yield number, list(row)


@contextmanager
def _opened(path: Path, packed: bool) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def refused(error: Exception) -> DataError:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        return DataError(
            f"is not a whole Parquet file ({reason})", where=path, hint="copy or download it again"
        )

    with open_bytes(path, packed) as stream:
        target: Any = path
        if packed:
            target = _unpacked(stream, path)
        try:
            with pq.ParquetFile(target, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
            raise refused(error) from error
        finally:
            if packed:
                target.close()


def _unpacked(stream: Any, path: Path) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    with damaged(path):
        while block := stream.read(1 << 20):
            try:
                file.write(block)
            except OSError as error:
                raise OutputError(
                    f"can't unpack {path.name} to a temporary file ({error.strerror})",
                    where=tempfile.gettempdir(),
                    hint="unpack it yourself",
                ) from error
    file.seek(0)
    return file
