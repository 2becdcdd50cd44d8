"""Texts as times: ISO 8601, formats of strptime, quarters, and which formats a text may be in."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    "FORMATS",
    "Stamps",
    "formats_of",
    "may_be_time",
    "offsets_of",
    "read_format",
    "read_iso",
    "read_quarters",
    "shape_of",
    "shapes_of",
    "share_of_times",
]

Stamps: TypeAlias = NDArray[np.datetime64]
"""``(N,)`` datetime64[us]; NaT if a cell is not a time."""

_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d", "%Y.%m.%d"),
    *("%Y-%m-%d", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%Y-%b-%d", "%a, %d %b %Y"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%y/%m/%d", "%d-%b-%y", "%d %b %y"),
)
_HOURS = (" %H:%M:%S", " %H:%M", " %H%M", " %H", "", " %I:%M:%S %p", " %I:%M %p", " %I:%M%p", " %I %p")
_MONTHS = ("%m/%Y", "%b %Y", "%b-%Y", "%b-%y", "%Y %b")
FORMATS = (
    *(day + hour for hour in _HOURS for day in _DAYS),
    "%Y%m%d%H%M",
    "%Y%m%d%H%M%S",
    "%Y-%m",
    *_MONTHS,
)
_DIGITS = {"Y": r"\d{4}", "m": r"\d{1,2}", "d": r"\d{1,2}", "H": r"\d{1,2}", "M": r"\d{2}", "S": r"\d{2}"}
_DIGITS |= {"y": r"\d{2}", "I": r"\d{1,2}", "b": "[A-Za-z]{3,9}", "a": "[A-Za-z]{3,9}", "p": "[AaPp][Mm]"}
_ISO_TIME = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])([T ]([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d(\.\d{1,9})?)?)?)?"
)
_OFFSET = r" ?(Z|[+-]\d{2}(:?\d{2})?)$"
_QUARTER = r"^(?P<Y>\d{4})[- ]?[Qq](?P<q>[1-4])$"


def read_iso(cells: pa.ChunkedArray, with_offset: bool | None = None) -> Stamps:
    """Returns times of ISO 8601, of which all have an offset or none, and columns of times as they are.

    ``with_offset`` is whether they have one; if None, what most cells have.
    """
    kind = cells.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _to_numpy(pc.cast(cells, pa.timestamp("us", getattr(kind, "tz", None)), safe=False))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return np.full(len(cells), np.datetime64("NaT"), "datetime64[us]")
    zoned, local = offsets_of(cells)
    text = pc.utf8_trim_whitespace(cells)
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")  # the cast refuses nanoseconds
    text = pc.replace_substring_regex(text, r" (Z|[+-]\d{2}:?\d{2})$", r"\1")
    # A column is of one kind: local times and times with an offset can't be compared.
    with_offset = bool(zoned.sum() > local.sum()) if with_offset is None else with_offset
    kind_of_most = zoned if with_offset else local
    text = pc.if_else(pa.array(kind_of_most), text, pa.scalar(None, text.type))
    return _cast(text, "UTC" if kind_of_most is zoned else None)


def offsets_of(cells: pa.ChunkedArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns which cells are times of ISO 8601 with an offset from UTC (Z is one), and which without.

    Example:
        >>> zoned, local = offsets_of(pa.chunked_array([["2020-01-01T12Z", "2020-01-01 12:00", "x"]]))
        >>> zoned.tolist(), local.tolist()
        ([True, False, False], [False, True, False])
    """
    kind = cells.type
    none = np.zeros(len(cells), bool)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        known = np.asarray(pc.is_valid(cells))
        return (known, none) if getattr(kind, "tz", None) else (none, known)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return none, none
    text = pc.utf8_trim_whitespace(cells)
    zoned, local = (
        np.asarray(pc.fill_null(pc.match_substring_regex(text, _ISO_TIME + end), False))
        for end in (_OFFSET, "$")
    )
    return zoned, local


def _cast(text: pa.ChunkedArray, zone: str | None) -> Stamps:
    """ISO times of texts; those that are none, such as the 30th of February, are found by bisection."""
    try:
        return _to_numpy(pc.cast(text, pa.timestamp("us", zone)))
    except pa.ArrowInvalid:
        if len(text) == 1:
            return np.array(["NaT"], "datetime64[us]")
        half = len(text) // 2
        return np.concatenate([_cast(text.slice(0, half), zone), _cast(text.slice(half), zone)])


def read_quarters(cells: pa.ChunkedArray) -> Stamps:
    """Returns the first day of quarters such as 2020Q3."""
    if not pa.types.is_string(cells.type):
        return np.full(len(cells), np.datetime64("NaT"), "datetime64[us]")
    fields = pc.extract_regex(pc.utf8_trim_whitespace(cells), _QUARTER)
    year, quarter = (
        np.array(pc.fill_null(pc.cast(pc.struct_field(fields, name), pa.int64()), 0).to_numpy())
        for name in ("Y", "q")
    )
    months = ((year - 1970) * 12 + 3 * (quarter - 1)).astype("datetime64[M]")
    stamps: Stamps = months.astype("datetime64[us]")
    stamps[quarter == 0] = np.datetime64("NaT")
    return stamps


def read_format(cells: pa.ChunkedArray, written: str) -> Stamps:
    """Returns times in a format of strptime; a day that is not in its month is none."""
    if "%" not in written:  # pyarrow ends the process for an empty format
        return np.full(len(cells), np.datetime64("NaT"), "datetime64[us]")
    text = pc.utf8_trim_whitespace(pc.cast(cells, pa.string()))
    stamps = _to_numpy(pc.strptime(text, format=written, unit="us", error_is_null=True))
    pattern = _pattern(written)
    if pattern is None:
        return stamps
    # strptime alone reads 16/12/2006 as the year 16, and the 31st of February as the 3rd of March.
    field = next(name for name in "dYy" if f"%{name}" in written)
    fields = pc.struct_field(pc.extract_regex(text, pattern), field)
    days = np.array(pc.fill_null(pc.cast(fields, pa.int64()), -1).to_numpy())
    real = days >= (field != "y")
    if "%d" in written:
        real &= days == (stamps.astype("datetime64[D]") - stamps.astype("datetime64[M]")).astype(np.int64) + 1
    stamps[~real] = np.datetime64("NaT")
    return stamps


def formats_of(shapes: Collection[str]) -> list[str]:
    """Returns the formats of these shapes; a cell of another shape is in none of them."""
    return [each for each, shape in _SHAPES.items() if shape in shapes]


def shapes_of(cells: pa.ChunkedArray) -> set[str]:
    """Returns the shapes of all cells, see `shape_of`."""
    return {shape_of(str(cell).strip()) for cell in cells.to_pylist() if cell is not None}


def may_be_time(shape: str) -> bool:
    """Whether a cell may be a time that is no number: most columns have none, and no format reads them.

    Example:
        >>> [may_be_time(shape_of(text)) for text in ("2020-01-01T12Z", "2020Q3", "1.5")]
        [True, True, False]
    """
    return shape.startswith("0-0-0") or shape in _TIMED


def shape_of(text: str) -> str:
    """Returns a text with 0 for each number and A for each word of letters.

    Example:
        >>> shape_of("Sat, 16 Dec 2006 5:24PM")
        'A, 0 A 0 0:0A'
    """
    return re.sub(r"[A-Za-z]+", "A", re.sub(r"[0-9]+", "0", text))


_SHAPES = {
    each: shape_of(re.sub("%([bap])|%.", lambda field: "A" if field[1] else "0", each)) for each in FORMATS
}
_TIMED = {*_SHAPES.values(), "0A0", "0-A0", "0 A0"} - {"0"}


def _pattern(written: str) -> str | None:
    """A regular expression with named fields for a format; None if it has fields that are not known here."""
    parts = re.split("%(.)", written)
    if any(field not in _DIGITS for field in parts[1::2]) or not {"Y", "y"} & {*parts[1::2]}:
        return None
    # In a format without separators, such as 20160701, all fields have their full width.
    compact = "".join(parts[::2]).strip() == "" and " " not in written
    digits = {name: count.replace("1,2", "2") if compact else count for name, count in _DIGITS.items()}
    named = [f"(?P<{field}>{digits[field]})" for field in parts[1::2]]
    return "^" + "".join(
        re.escape(text) + field for text, field in zip(parts[::2], [*named, "$"], strict=True)
    )


def _to_numpy(stamps: pa.ChunkedArray) -> Stamps:
    counts = pc.fill_null(pc.cast(stamps, pa.int64()), np.iinfo(np.int64).min)  # which is NaT
    return np.array(counts.to_numpy()).view("datetime64[us]")


def share_of_times(stamps: Stamps) -> float:
    """Returns the share of times among cells."""
    return float((~np.isnat(stamps)).mean()) if len(stamps) else 0.0
