"""CSV and TSV: the dialect is detected, and a broken row is refused by its number."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from recurra.errors import DataError
from recurra.io.files import ROW_LIMIT, FileLines, Lines
from recurra.io.formats.headers import find_columns, fitted, least_width, name_columns
from recurra.io.formats.spec import Format, Refuse, Source, Start
from recurra.io.formats.unquoted import joined, takes_rest

__all__ = ["CSV", "TSV", "Dialect", "cells", "find_dialect", "parse", "parse_sample"]

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_CANDIDATES = ("\t", ",", ";", "|")
_SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=(.)"?[\r\n]*', re.IGNORECASE)
_SAMPLE_LINES = 1_000
_SAMPLE_CHARACTERS = 2_000_000
_ERRORS = {
    "unexpected end of data": "a quote is opened and never closed",
    "field larger than field limit": "a field is too long (a quote is opened and never closed?)",
}


def parse(lines: Lines, delimiter: str, quoted: bool) -> Iterator[list[str] | DataError]:
    """The rows of a CSV as lists of fields, without blank lines; a `DataError` for a broken one.

    ``lines.row`` is the number of the next row.
    """
    csv.field_size_limit(ROW_LIMIT)
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True
    )
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken = f"the row is broken: {error}"
            what = next((plain for known, plain in _ERRORS.items() if known in str(error)), broken)
            lines.take_fault()
            hint = "fix the row, or pass --skip-bad-rows"
            yield DataError(what, where=lines.where, row=lines.row, hint=hint)
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
    _skip_separator_line(lines)
    if source.header:
        lines.row = 0
    picks = None if tuple(columns) == source.columns else [source.columns.index(name) for name in columns]
    width = len(source.columns)
    least = least_width(source.columns) if source.header else width
    for fields in parse(lines, source.delimiter or ",", source.quoted):
        number = lines.row
        if number == 0:
            continue  # the header
        if isinstance(fields, DataError):
            refuse(number, fields)
            continue
        if source.rest:
            fields = joined(fields, width, source.delimiter or ",")
        fields = fitted(fields, width, least)
        if len(fields) != width:
            named = "the header" if source.header else "the first row"
            refuse(number, f"the row has {len(fields)} fields, {named} has {width}")
        else:
            yield number, fields if picks is None else [fields[pick] for pick in picks]


def _skip_separator_line(lines: Lines) -> None:
    """Reads past the first line if it names the separator."""
    first = next(lines, None)
    if first is not None and _SEPARATOR_LINE.fullmatch(first) is None:
        lines.put_back(first)


def _separator_line(lines: Sequence[str]) -> str | None:
    """The separator that the first line names, as in files that Excel reads in every country: ``sep=;``."""
    match = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    return match[1] if match is not None else None


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written: ``width`` fields a row, in a share ``agreement`` of the rows of the sample."""

    delimiter: str
    quoted: bool
    width: int
    agreement: float

    @property
    def merit(self) -> float:
        """How likely the dialect is; 0 if it gives one field a row."""
        return self.agreement if self.width > 1 else 0.0


def parse_sample(lines: Sequence[str], complete: bool, delimiter: str, quoted: bool) -> list[list[str]]:
    """The whole rows in the first lines of a file, without broken ones and without a last one cut off.

    A first line that names the separator is no row.
    """
    if _separator_line(lines) is not None:
        lines = lines[1:]
    return [row for row in _parse(lines, complete, delimiter, quoted) if not isinstance(row, DataError)]


def _parse(lines: Sequence[str], complete: bool, delimiter: str, quoted: bool) -> list[list[str] | DataError]:
    encoded = iter([line.encode("utf-8", "surrogatepass") for line in lines])
    rows = list(parse(Lines(encoded, "", "utf-8", True), delimiter, quoted))
    return rows if complete or len(rows) < 2 else rows[:-1]


def find_dialect(
    lines: Sequence[str], complete: bool, preferred: str, delimiter: str | None = None
) -> Dialect:
    """The dialect in which most rows agree on a number of fields above one.

    ``complete`` is whether ``lines`` are the whole file. The ``preferred`` delimiter wins a draw; if the user
    gave a ``delimiter``, or the first line names it, no other is considered.
    """
    if (named := _separator_line(lines)) is not None:
        delimiter, lines = delimiter or named, lines[1:]
    order = [delimiter] if delimiter else [preferred, *(c for c in _CANDIDATES if c != preferred)]
    # max returns the first of equals, so the preferred delimiter wins a draw.
    return max((_try(lines, complete, each) for each in order), key=lambda dialect: dialect.merit)


def _try(lines: Sequence[str], complete: bool, delimiter: str) -> Dialect:
    rows = _parse(lines, complete, delimiter, False)
    plain = _dialect(rows, delimiter, False)
    opens = (field.lstrip(" ").startswith('"') for row in rows if isinstance(row, list) for field in row)
    if not any(opens):
        # A TSV without quotes is likely to be as in GLUE, where a quote is a character; a CSV without
        # quotes so far has them once a field needs them.
        return plain if delimiter == "\t" else replace(plain, quoted=True)
    quoted = _dialect(_parse(lines, complete, delimiter, True), delimiter, True)
    if delimiter != "\t":
        return quoted
    return quoted if quoted.merit >= plain.merit and quoted.agreement == 1.0 else plain


def _dialect(rows: Sequence[list[str] | DataError], delimiter: str, quoted: bool) -> Dialect:
    """The dialect with the most frequent number of fields; broken rows agree with none."""
    counts = Counter(len(row) for row in rows if not isinstance(row, DataError))
    width, count = counts.most_common(1)[0] if counts else (0, 0)
    return Dialect(delimiter, quoted, width, count / max(1, len(rows)))


def _layout(start: Start) -> Source:
    """The source with its delimiter, quoting, header and columns."""
    if start.streamed:
        return _stream_layout(start)
    source, request = start.source, start.request
    lines = list(_first(FileLines(source.path, source.gzip, source.encoding, forgiving=True)))
    complete = lines[-1:] == [""]
    lines = lines[:-1] if complete else lines
    preferred = "\t" if source.format == TSV.name else ","
    dialect = find_dialect(lines, complete, preferred, request.delimiter)
    rows = parse_sample(lines, complete, dialect.delimiter, dialect.quoted)
    if not rows:
        dialect = replace(dialect, width=1)
        rows = [[""]]
    header, columns, notes = find_columns(rows, dialect.width, request)
    plain = parse_sample(lines, complete, dialect.delimiter, False)
    width = len(columns) if header else min(map(len, plain), default=0)
    known = request.like is not None and request.like.rest
    rest = plain == rows and takes_rest(plain[1 if header else 0 :], width, dialect.delimiter, known)
    if rest:
        columns = columns[:width]
        notes = (*notes, "the last column takes the rest of the line")
    return replace(
        source,
        format=_name(dialect.delimiter),
        delimiter=dialect.delimiter,
        quoted=dialect.quoted and not rest,
        rest=rest,
        header=header,
        columns=columns,
        notes=notes,
    )


def _first(lines: FileLines) -> Iterator[str]:
    """The first lines, then "" if these are all."""
    size = 0
    for number, line in enumerate(lines):
        if number >= _SAMPLE_LINES or size > _SAMPLE_CHARACTERS:
            return
        size += len(line)
        yield line
    yield ""


def _stream_layout(start: Start) -> Source:
    delimiter, names = _header(start) or (",", ())
    like = start.request.like
    same = like is not None and like.delimiter == delimiter
    return replace(
        start.source,
        format=_name(delimiter),
        delimiter=delimiter,
        header=True,
        columns=names,
        text=_wanted(start),
        quoted=like.quoted if like is not None and same else True,
        rest=like is not None and same and like.rest and names[-1:] == like.text[-1:],
    )


def _name(delimiter: str) -> str:
    return (TSV if delimiter == TSV.delimiter else CSV).name


def _wanted(start: Start) -> tuple[str, ...]:
    """The text columns that the user named, or those of the training source."""
    request = start.request
    return request.text or (request.like.text if request.like is not None else ())


def _header(start: Start) -> tuple[str, tuple[str, ...]] | None:
    """Delimiter and names of the columns, if the first line is a header with the wanted text columns."""
    wanted, like = set(_wanted(start)), start.request.like
    delimiter = start.request.delimiter or (like.delimiter if like is not None else None)
    first = start.text.lstrip("\ufeff\r\n").splitlines()[:1]
    for candidate in (delimiter,) if delimiter else (",", "\t"):
        rows = parse_sample(first, True, candidate, True)
        names = name_columns(rows[0])[0] if rows else ()
        if wanted and wanted <= set(names):
            return candidate, names
    return None


def _may_be_table(start: Start) -> bool:
    """Whether a text whose name says nothing is a table.

    With labels it is. Without labels it may be a list of texts, which has commas too, so that a table is
    recognised by the training file's header, or in a file by its number of columns in every row.
    """
    if start.suffix:
        return False
    if start.request.labelled or _header(start) is not None:
        return True
    like = start.request.like
    if start.streamed or like is None or like.delimiter is None or len(like.columns) < 2:
        return False
    lines = start.text.splitlines(keepends=True)
    rows = parse_sample(lines, start.complete, like.delimiter, like.quoted)
    return all(len(row) == len(like.columns) for row in rows)


def _matches_csv(start: Start) -> bool:
    return start.suffix in CSV.suffixes or _may_be_table(start)


def _matches_tsv(start: Start) -> bool:
    return start.suffix in TSV.suffixes or ("\t" in start.first_line and _may_be_table(start))


def _details(source: Source) -> str:
    delimiter = source.delimiter or ","
    header = "the first row names the columns" if source.header else "no header"
    return f", {_DELIMITERS.get(delimiter, repr(delimiter))} between fields, {header}"


CSV = Format("csv", "CSV", _layout, _matches_csv, cells, suffixes=(".csv",), details=_details)
TSV = Format("tsv", "TSV", _layout, _matches_tsv, cells, suffixes=(".tsv",), delimiter="\t", details=_details)
