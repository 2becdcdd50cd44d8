"""Parquet, read a batch of rows at a time; a gzipped file is unpacked to a temporary one first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from recurra.errors import DataError, OutputError
from recurra.io.files import Lines, damaged, open_bytes
from recurra.io.formats.headers import name_columns
from recurra.io.formats.reading import CHUNK_ROWS
from recurra.io.formats.spec import Format, Refuse, Source, Start

__all__ = ["PARQUET", "named_once"]

_BATCH_BYTES = 16_000_000


def _layout(start: Start) -> Source:
    source = start.source
    with _opened(source.path, source.gzip) as file:
        if file.metadata.num_rows == 0:
            raise DataError("the file has no rows", where=source.path)
        columns, notes = named_once(file.schema_arrow.names)
        return replace(source, columns=columns, notes=notes, encoding="utf-8")


def named_once(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the columns, repeated ones replaced, and notes (see `name_columns`)."""
    return (tuple(names), ()) if len(set(names)) == len(names) else name_columns(names)


def _cells(
    source: Source, columns: Sequence[str], refuse: Refuse, lines: Lines | None
) -> Iterator[tuple[int, list[Any]]]:
    """Row numbers and the values of ``columns``; other columns are not read."""
    del refuse, lines  # a Parquet file is either whole or refused, and cannot be streamed
    number = 0
    with _opened(source.path, source.gzip) as file:
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        mean = max(1, size // max(1, file.metadata.num_rows))
        batch_size = max(1, min(CHUNK_ROWS, _BATCH_BYTES // mean))
        names, notes = named_once(file.schema_arrow.names)
        wanted = None if notes else list(columns)  # a repeated name can't be selected
        for batch in file.iter_batches(batch_size, columns=wanted):
            by_name = dict(zip(names if notes else batch.schema.names, batch.columns, strict=True))
            values = [by_name[name].to_pylist() for name in columns]
            for row in zip(*values, strict=True):
                number += 1
                yield number, list(row)


@contextmanager
def _opened(path: Path, packed: bool) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_bytes(path, packed) as stream:
        target: Any = _unpacked(stream, path) if packed else path
        try:
            with pq.ParquetFile(target, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            what = f"is not a whole Parquet file ({reason})"
            raise DataError(what, where=path, hint="copy or download it again") from error
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
                what = f"can't unpack {path.name} to a temporary file ({error.strerror})"
                where = tempfile.gettempdir()
                raise OutputError(what, where=where, hint="unpack it yourself") from error
    file.seek(0)
    return file


PARQUET = Format("parquet", "Parquet", _layout, cells=_cells, suffixes=(".parquet",), magic=b"PAR1")
