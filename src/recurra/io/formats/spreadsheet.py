"""Spreadsheets of Excel and LibreOffice: a sheet is read as a table, with its cells as they are shown."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recurra.errors import DataError
from recurra.io.files import Lines, damaged, open_bytes
from recurra.io.formats.headers import find_columns
from recurra.io.formats.spec import Format, Refuse, Source, Start

__all__ = ["SPREADSHEET", "Sheet", "cell_text", "read_sheet"]

_ZIP, _OLD_OFFICE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_MOST_BYTES = 1 << 30  # unpacked; a sheet of 1,000,000 rows and 10 columns has about 500 MB
_MOST_CELLS = 50_000_000  # the reader takes memory for each cell up to the last one, 24 bytes or more
_SAMPLE_ROWS = 1_000
_CELL = re.compile(rb"""\br=["']([A-Z]{0,3})([0-9]{1,7})["']""")
_SHEET_FILE = re.compile(r"xl/worksheets/.*\.xml", re.IGNORECASE)
_EXPORT = "save the sheet as CSV"
_MIDNIGHT = datetime.time()


@dataclass(frozen=True)
class Sheet:
    """A sheet: its name, its rows that are not blank, of one width, and notes about other sheets."""

    name: str
    rows: list[list[Any]]
    notes: tuple[str, ...]


def read_sheet(
    path: Path, packed: bool, wanted: str | None, like: str | None = None, *, checked: bool = False
) -> Sheet:
    """Returns the sheet called ``wanted``, or the first one with rows if it is None.

    ``like`` is the sheet of the training file: a file without it is read as if none was wanted.
    ``checked`` is whether the size of the file was checked before.

    Raises:
        DataError: the file is damaged, encrypted or too large, there is no such sheet, or no sheet has rows.
    """
    import python_calamine as calamine

    with open_bytes(path, packed) as stream, damaged(path):
        data = stream.read(_MOST_BYTES + 1)
    if not checked:
        _check_size(data, path)
    try:
        with calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)) as book:
            visible = calamine.SheetVisibleEnum.Visible
            names = [sheet.name for sheet in book.sheets_metadata if sheet.visible == visible]
            if wanted is not None and wanted not in book.sheet_names:
                if wanted != like:
                    hint = f"there are {', '.join(book.sheet_names)}"
                    raise DataError(f"there is no sheet {wanted!r}", where=path, hint=hint)
                wanted = None
            filled = {}
            for name in names if wanted is None else [wanted]:
                if rows := _rows(book.get_sheet_by_name(name).to_python()):
                    filled[name] = rows
    except calamine.PasswordError as error:
        raise DataError("is encrypted", where=path, hint="save it without a password") from error
    except (calamine.CalamineError, OSError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DataError(f"is not a whole spreadsheet ({reason})", where=path, hint=_EXPORT) from error
    if not filled:
        what = "the spreadsheet has no rows" if wanted is None else f"the sheet {wanted!r} has no rows"
        raise DataError(what, where=path, hint="give a sheet with rows")
    name, *others = filled
    notes: tuple[str, ...] = ()
    if others:
        listed = ", ".join(repr(other) for other in others[:5]) + (", ..." if len(others) > 5 else "")
        notes = (f"the sheet {name!r} is read, not {listed}: choose with --set data.sheet=NAME",)
    return Sheet(name, filled[name], notes)


def _rows(cells: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The rows that are not blank, without blank columns at the end."""
    rows = [list(row) for row in cells if not all(map(_is_blank, row))]
    width = max((_filled(row) for row in rows), default=0)
    return [row[:width] for row in rows]


def _filled(row: Sequence[Any]) -> int:
    return max(number for number, cell in enumerate(row, 1) if not _is_blank(cell))


def _is_blank(cell: Any) -> bool:
    return isinstance(cell, str) and not cell.strip()


def _check_size(data: bytes, path: Path) -> None:
    """Refuses a file that would take too much memory."""
    if len(data) > _MOST_BYTES:
        raise DataError("is too large for a spreadsheet", where=path, hint=_EXPORT)
    if not data.startswith(_ZIP):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > _MOST_BYTES:
                what = f"holds {size:,} bytes unpacked, which is too large for a spreadsheet"
                raise DataError(what, where=path, hint=_EXPORT)
            for member in archive.infolist():
                if _SHEET_FILE.fullmatch(member.filename):
                    with archive.open(member) as sheet:
                        _check_cells(sheet.read(), path)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        reason = str(error)[:120] or type(error).__name__
        raise DataError(f"is not a whole spreadsheet ({reason})", where=path, hint=_EXPORT) from error


def _check_cells(sheet: bytes, path: Path) -> None:
    """Refuses a sheet with a cell far away from the others, which are all read up to it."""
    rows = columns = 0
    for letters, digits in set(_CELL.findall(sheet)):
        column = 0
        for letter in letters:
            column = 26 * column + letter - 64
        rows, columns = max(rows, int(digits)), max(columns, column)
    if rows * columns > _MOST_CELLS:
        what = f"a sheet reaches to row {rows:,} and column {columns:,}, {rows * columns:,} cells"
        raise DataError(what, where=path, hint=f"delete what is far from the table, or {_EXPORT}")


def cell_text(value: Any, timed: bool = False) -> str:
    """Returns a cell as it is shown: whole numbers without a point, dates as year-month-day.

    A date has no time if it is midnight, unless its column is ``timed``.

    Example:
        >>> cell_text(1.0), cell_text(2.5), cell_text(datetime.datetime(2024, 1, 31)), cell_text(True)
        ('1', '2.5', '2024-01-31', 'TRUE')
        >>> cell_text(datetime.date(2024, 1, 31), timed=True)
        '2024-01-31 00:00:00'
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() != _MIDNIGHT:
        return value.isoformat(" ")
    if isinstance(value, datetime.date):
        return f"{value:%Y-%m-%d} {_MIDNIGHT}" if timed else f"{value:%Y-%m-%d}"
    return str(value)


def _has_times(cells: Iterable[Any]) -> bool:
    """Whether the cells of a column that are not blank are dates, and one has another time than midnight."""
    dates = [cell for cell in cells if not _is_blank(cell)]
    if not all(isinstance(cell, datetime.date) for cell in dates):
        return False
    return any(isinstance(cell, datetime.datetime) and cell.time() != _MIDNIGHT for cell in dates)


def _is_spreadsheet(start: Start) -> bool:
    """Whether a file with the first bytes of an archive or an old Office file is a spreadsheet."""
    source = start.source
    with open_bytes(source.path, source.gzip) as stream, damaged(source.path):
        data = stream.read(_MOST_BYTES + 1)
    if not data.startswith(_ZIP):
        return any(f"{name}\0".encode("utf-16-le") in data for name in ("Workbook", "Book"))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if "mimetype" in names and "content.xml" in names:
                return b"spreadsheet" in archive.read("mimetype")
            return any(name.startswith("xl/workbook") for name in names)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError):
        return False  # a damaged archive: it is named by its first bytes or by its suffix


def _layout(start: Start) -> Source:
    source, request = start.source, start.request
    like = None if request.like is None else request.like.sheet
    sheet = read_sheet(source.path, source.gzip, request.sheet, like)
    rows = [[cell_text(cell) for cell in row] for row in sheet.rows[: _SAMPLE_ROWS + 1]]
    header, columns, notes = find_columns(rows, len(rows[0]), request)
    return replace(
        source,
        columns=columns,
        header=header,
        sheet=sheet.name,
        notes=(*sheet.notes, *notes),
        encoding="utf-8",
    )


def _cells(
    source: Source, columns: Sequence[str], refuse: Refuse, lines: Lines | None
) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and the fields of ``columns``; blank rows are not counted."""
    del refuse, lines  # a spreadsheet is either whole or refused, and cannot be streamed
    sheet = read_sheet(source.path, source.gzip, source.sheet, checked=True)
    rows = sheet.rows[1 if source.header else 0 :]
    picks = [source.columns.index(name) for name in columns]
    timed = {pick: _has_times(row[pick] for row in rows if pick < len(row)) for pick in picks}
    for number, row in enumerate(rows, 1):
        yield number, [cell_text(row[pick], timed[pick]) if pick < len(row) else "" for pick in picks]


def _details(source: Source) -> str:
    return f", sheet {source.sheet!r}, {'the first row names the columns' if source.header else 'no header'}"


SPREADSHEET = Format(
    "spreadsheet",
    "spreadsheet",
    _layout,
    _is_spreadsheet,
    cells=_cells,
    suffixes=(".xlsx", ".xlsm", ".xlsb", ".ods"),
    magic=(_ZIP, _OLD_OFFICE),
    details=_details,
)
