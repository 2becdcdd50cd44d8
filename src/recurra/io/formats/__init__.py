"""File formats: a table of `Format` records, and `read`, which gives the rows of a file of any of them.

To add a format, write a `Format` and call `register_format`. Detection tries the formats from the last to the
first, so that CSV, which fits nearly every text, comes after those with a mark of their own.
"""

from __future__ import annotations

from recurra.io.formats.delimited import CSV, TSV
from recurra.io.formats.folder import FOLDER
from recurra.io.formats.labelled import LABELLED
from recurra.io.formats.lines import FASTTEXT, JSONL, LINES
from recurra.io.formats.parquet import PARQUET
from recurra.io.formats.reading import read
from recurra.io.formats.spec import (
    Format,
    Rows,
    Skipped,
    Source,
    format_named,
    format_names,
    formats,
    register_format,
)
from recurra.io.formats.spreadsheet import SPREADSHEET

__all__ = [
    "Format",
    "Rows",
    "Skipped",
    "Source",
    "format_named",
    "format_names",
    "formats",
    "read",
    "register_format",
]

for _format in (LINES, CSV, TSV, LABELLED, JSONL, FASTTEXT, FOLDER, PARQUET, SPREADSHEET):
    register_format(_format)
