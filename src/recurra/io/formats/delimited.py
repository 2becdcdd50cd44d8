"""CSV and TSV, strict: a row with too many or too few fields, or a wild quote, is refused by number."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from recurra.errors import DataError
from recurra.io.files import ROW_LIMIT, FileLines, Lines
from recurra.io.formats.table import Refuse
from recurra.io.source import Source

__all__ = ["cells", "parse"]

_PLAIN = {
    "unexpected end of data": "a quote is opened and never closed",
    "field larger than field limit": "a field is too long (a quote is opened and never closed?)",
}


def parse(lines: Lines, delimiter: str, quoted: bool) -> Iterator[list[str] | DataError]:
    """The rows of a CSV as lists of fields, blank lines left out; a `DataError` for a broken one.

    Rows are counted in ``lines.row``, which is the number of the row to come.
    """
    csv.field_size_limit(ROW_LIMIT)
    if quoted:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what = next((plain for known, plain in _PLAIN.items() if known in str(error)), None)
            lines.take_fault()
            yield DataError(
                what or f"the row is broken: {error}",
                where=lines.where,
                row=lines.row,
                hint="fix the row, or pass --skip-bad-rows",
            )
            lines.row += 1
            continue
        fault = lines.take_fault()
        if fields or fault:
            yield fault or fields
            lines.row += 1


def cells(
    source: Source, columns: Sequence[str], refuse: Refuse, lines: Lines | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and the fields of ``columns``."""
    if lines is None:
        lines = FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    if source.header:
        lines.row = 0
    picks = [source.columns.index(name) for name in columns]
    width = len(source.columns)
    for fields in parse(lines, source.delimiter or ",", source.quoted):
        number = lines.row
        if number == 0:
            continue  # the header
        if isinstance(fields, DataError):
            refuse(number, fields)
        elif len(fields) != width:
            named = "the header" if source.header else "the first row"
            refuse(number, f"the row has {len(fields)} fields, {named} has {width}")
        else:
            yield number, [fields[pick] for pick in picks]
