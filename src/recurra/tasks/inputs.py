"""Data given from Python: lists, arrays and data frames as texts and as one value a row.

Data frames and columns of pandas, polars and others are read through narwhals. Rows are numbered from 1.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, Sized
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError, DataError

__all__ = [
    "Frame",
    "check_length",
    "frame_of",
    "groups_of",
    "is_missing",
    "listed",
    "one_text",
    "pair_of",
    "texts_of",
    "weights_of",
    "whole_number",
    "written",
]

if TYPE_CHECKING:
    import narwhals as nw

    Frame: TypeAlias = nw.DataFrame[Any]
else:  # narwhals is imported where Python gives data: the command line has files
    Frame = Any


def frame_of(values: Any, name: str) -> Frame | None:
    """Returns a data frame of any library, or None for anything else.

    Raises:
        DataError: two columns have the same name.
    """
    import narwhals as nw

    columns = getattr(values, "columns", ()) if hasattr(values, "set_axis") else ()  # of pandas
    if not all(isinstance(column, str) for column in columns):
        values = values.set_axis([str(column) for column in columns], axis=1)
    try:
        frame = nw.from_native(values, eager_only=True, pass_through=True)
    except (nw.exceptions.DuplicateError, ValueError) as error:
        names = [str(column) for column in columns]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if not repeated:
            raise DataError(f"the data frame can't be read ({error})", where=name) from error
        what = f"the data frame has several columns named {repeated[0]!r}"
        raise DataError(what, where=name, hint="give each column its own name") from error
    if not isinstance(frame, nw.DataFrame):
        return None
    for column in frame.columns:
        written(column, "name of a column", name)
    return frame


def listed(values: Any, name: str) -> list[Any]:
    """Returns the values of a list, an array or the column of a data frame, one a row.

    An array of shape ``(N, 1)`` and a data frame of one column are read as their column.

    Args:
        values: what was given.
        name: the argument, for messages.

    Raises:
        DataError: it is a string, an iterator, or has no order.
    """
    if type(values) in (list, tuple):
        return list(values)
    frame = frame_of(values, name)
    if frame is not None:
        if len(frame.columns) != 1:
            columns = ", ".join(frame.columns[:5])
            raise DataError(f"the data frame has {len(frame.columns)} columns ({columns})", where=name,
                            hint="give one of them")  # fmt: skip
        return list(frame.get_column(frame.columns[0]).to_list())
    import narwhals as nw

    series = nw.from_native(values, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        return list(series.to_list())
    if isinstance(values, np.ma.MaskedArray):
        values = np.asarray(values.astype(object).tolist(), dtype=object)  # a masked value is None
    if isinstance(values, np.ndarray):
        return _cells(values, name)
    if isinstance(values, str | bytes):
        raise DataError("one string was given for a list", where=name, hint="give a list of strings")
    if isinstance(values, Iterator):
        kind = type(values).__name__
        hint = "its rows are needed more than once: give list(...)"
        raise DataError(f"a {kind} was given for a list", where=name, hint=hint)
    if isinstance(values, Mapping | Set) or not (isinstance(values, Iterable) and hasattr(values, "__len__")):
        raise DataError(f"{_kind(values)} was given for a list", where=name, hint="give a list, an array or "
                        "a column of a data frame")  # fmt: skip
    return list(values)


def texts_of(
    X: Any, columns: Sequence[str] | None = None, name: str = "X"
) -> tuple[list[str], list[str] | None]:
    """Returns ``N`` texts, and the names of the columns that they were read from if ``X`` is a data frame.

    Args:
        X: a list or an array of strings; or a data frame, whose text columns are joined by a space.
        columns: the columns of a data frame to read; None for all.
        name: the argument, for messages.

    Raises:
        DataError: a text is missing or is not a string, or the data frame lacks a column; the message names
            the row.

    Example:
        >>> texts_of(["good film", "bad plot"])
        (['good film', 'bad plot'], None)
    """
    frame = None if type(X) is list else frame_of(X, name)
    if frame is not None:
        chosen = _text_columns(frame, columns, name)
        if len(chosen) > 1:
            return _joined(frame, chosen, name), chosen
        return _checked_texts(frame.get_column(chosen[0]).to_list(), f"{name}, column {chosen[0]!r}"), chosen
    return _checked_texts(listed(X, name), name), None


def one_text(text: Any, name: str = "text") -> str:
    """Returns a text that was given alone.

    Raises:
        DataError: it is not a string.
    """
    return _text(text, name, None)


def written(value: str, what: str, name: str, row: int | None = None) -> str:
    """Returns a string, which can be written to a file in UTF-8.

    Raises:
        DataError: it has half of a surrogate pair, as bytes decoded with ``errors="surrogateescape"`` do.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        what = f"the {what} has half of a surrogate pair, which is no character"
        raise DataError(what, where=name, row=row, hint="decode it with errors='replace'") from None
    return str(value)


def groups_of(groups: Any, count: int, what: str = "texts") -> NDArray[np.int64] | None:
    """Returns a number for the group of each row, of shape ``(N,)``; None without groups.

    Raises:
        DataError: there is not one group for each row, or one is missing.
    """
    if groups is None:
        return None
    values = listed(groups, "groups")
    check_length(values, count, "groups", what)
    for row, value in enumerate(values, 1):
        if is_missing(value):
            raise DataError("the group is missing", where="groups", row=row, hint="give each row a group")
        if isinstance(value, list | tuple | np.ndarray):
            raise DataError("the group is not one value", where="groups", row=row)
    return np.unique(np.asarray(values), return_inverse=True)[1].reshape(-1).astype(np.int64)


def weights_of(weights: Any, count: int, what: str = "texts") -> NDArray[np.float64] | None:
    """Returns the weight of each row, of shape ``(N,)``; None without weights.

    Raises:
        DataError: there is not one weight for each row, or one is not a finite number of 0 or more.
    """
    if weights is None:
        return None
    values = listed(weights, "sample_weight")
    check_length(values, count, "weights", what)
    numbers = np.empty(count, np.float64)
    for row, value in enumerate(values, 1):
        try:
            numbers[row - 1] = np.nan if is_missing(value) else float(value)
        except (TypeError, ValueError):
            numbers[row - 1] = np.nan
        if not (np.isfinite(numbers[row - 1]) and numbers[row - 1] >= 0):
            hint = "give a number of 0 or more"
            raise DataError(f"the weight is {value!r}"[:80], where="sample_weight", row=row, hint=hint)
    if count and not numbers.any():
        raise DataError("all weights are 0", where="sample_weight", hint="give some rows a weight above 0")
    return numbers


def pair_of(validation_data: Any) -> tuple[Any, Any]:
    """Returns the inputs and the targets of ``validation_data``.

    Raises:
        DataError: it is not a pair.
    """
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        what = f"{_kind(validation_data)} was given for the pair (X, y)"
        raise DataError(what, where="validation_data", hint="give validation_data=(X, y)")
    return validation_data[0], validation_data[1]


def check_length(values: Sized, count: int, name: str, what: str = "texts", where: str = "") -> None:
    """Raises DataError unless there is one value for each of ``count`` rows."""
    if len(values) != count:
        raise DataError(f"{count:,} {what} have {len(values):,} {name}", where=where or None)


def is_missing(value: object) -> bool:
    """Whether a value stands for a missing one: None, NaN, pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(value != value)


def whole_number(value: Any, name: str, *, least: int) -> int:
    """Returns a whole number of at least ``least``, also below 2 ** 63.

    Raises:
        ConfigError: it is something else.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} is {value!r}", hint="give a whole number") from None
    if not least <= number < 2**63:
        hint = f"give {least} or more" if number < least else "give a number below 2 ** 63"
        raise ConfigError(f"{name} is {number}", hint=hint)
    return number


def _cells(values: NDArray[Any], name: str) -> list[Any]:
    """Returns the cells of an array of shape (N,) or (N, 1)."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        shape = f"an array of shape {values.shape}"
        raise DataError(f"{shape} was given for one value a row", where=name, hint="give one column")
    return list(values.tolist())


def _text_columns(frame: Frame, columns: Sequence[str] | None, name: str) -> list[str]:
    """Returns the columns to read: those asked for, or all, which must then hold strings."""
    if columns is not None and not (len(columns) == len(frame.columns) == 1):
        for column in columns:
            if column not in frame.columns:
                near = difflib.get_close_matches(column, frame.columns, 1) or frame.columns[:5]
                hint = f"it has {', '.join(near)}"
                raise DataError(f"the data frame has no column {column!r}", where=name, hint=hint)
        return list(columns)
    if not frame.columns:
        raise DataError("the data frame has no column", where=name)
    if len(frame.columns) > 1:
        for column in frame.columns:
            others = [value for value in frame.get_column(column).to_list() if not is_missing(value)]
            if not all(isinstance(value, str) for value in others):
                strings = [c for c in frame.columns if isinstance(_first(frame.get_column(c).to_list()), str)]
                example = f"X[{strings or list(frame.columns[:1])}]"
                kind = type(next(value for value in others if not isinstance(value, str))).__name__
                raise DataError(f"the column {column!r} holds values of type {kind}, not texts", where=name,
                                hint=f"choose the text columns: {example}")  # fmt: skip
    return list(frame.columns)


def _joined(frame: Frame, columns: Sequence[str], name: str) -> list[str]:
    """Returns the texts of several columns joined by a space; a missing one is empty, as in a file."""
    texts = []
    for row, cells in enumerate(
        zip(*(frame.get_column(column).to_list() for column in columns), strict=True), 1
    ):
        if all(is_missing(cell) for cell in cells):
            raise DataError("the text is missing in every column", where=name, row=row, hint=_FILL)
        texts.append(" ".join("" if is_missing(cell) else _text(cell, name, row) for cell in cells))
    return texts


_FILL = "leave the row out, or give an empty string"


def _checked_texts(values: Sequence[Any], name: str) -> list[str]:
    return [_text(value, name, row) for row, value in enumerate(values, 1)]


def _text(value: Any, name: str, row: int | None) -> str:
    if isinstance(value, str):
        return written(value, "text", name, row)
    if is_missing(value):
        hint = "give a string" if row is None else _FILL
        raise DataError("the text is missing", where=name, row=row, hint=hint)
    hint = "give a string" if row is None else "give one string a row"
    if isinstance(value, bytes):
        hint = "decode it to str"
    raise DataError(f"the text is of type {type(value).__name__}, not str", where=name, row=row, hint=hint)


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if not is_missing(value)), None)


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
