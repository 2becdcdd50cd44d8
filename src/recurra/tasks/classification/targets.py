"""Labels given from Python: classes, columns of zeros and ones, or lists of labels, as class numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning

from recurra.errors import DataError
from recurra.io.labels import Labels
from recurra.tasks.inputs import frame_of, is_missing, listed, written

__all__ = ["Targets"]

Codes: TypeAlias = NDArray[np.int64] | NDArray[np.float32]
_SEVERAL = "give an (N, C) array of zeros and ones, or a list of labels for each row"
_MANY = 1_000
"""Classes from which on a column in which more than half of the values differ is not one of labels."""


@dataclass(frozen=True)
class Targets:
    """The classes of a classifier as they were given.

    Attributes:
        classes: ``(C,)``, sorted; for an ``(N, C)`` array the column numbers, for a data frame of several
            columns their names.
        kind: "binary", "multiclass" or "multilabel".

    Example:
        >>> targets = Targets.learn([["news", "sport"], ["sport"], []])
        >>> targets.classes.tolist(), targets.kind, targets.encode([["news"]]).tolist()
        (['news', 'sport'], 'multilabel', [[1.0, 0.0]])
    """

    classes: NDArray[Any]
    kind: str

    @classmethod
    def learn(cls, y: Any) -> Targets:
        """Returns the classes of training labels.

        Raises:
            DataError: a label is missing or of a type that is no label, there are fewer than two classes, or
                zeros and ones are mixed with other numbers; the message names the row.
        """
        rows, columns = _rows(y, "y")
        if columns is None and isinstance(y, np.ndarray) and y.ndim == 2:
            message = f"y has the shape ({len(y)}, 1) and is read as a column; give y.ravel()"
            warnings.warn(message, DataConversionWarning, stacklevel=5)  # names the line that calls fit
        if columns is not None:
            return cls(columns, "multilabel")
        several = any(_is_list(row) for row in rows)
        labels = [label for row in rows for label in (row if _is_list(row) else [row])]
        classes = _classes(labels, len(rows))
        if len(classes) < 2:
            hint = "give texts of two classes at least"
            raise DataError("all labels are the same class", where="y", hint=hint)
        if isinstance(y, np.ndarray) and y.dtype != object:
            classes = classes.astype(y.dtype)
        return cls(classes, "multilabel" if several else "binary" if len(classes) == 2 else "multiclass")

    @property
    def labels(self) -> Labels:
        """The classes by name."""
        return Labels(tuple(str(name) for name in self.classes), self.kind)

    def encode(self, y: Any, name: str = "y") -> Codes:
        """Returns ``(N,)`` int64 class numbers, or ``(N, C)`` float32 zeros and ones for multi-label.

        Raises:
            DataError: a label is missing or is not among the classes, or a row has several where one is
                expected; the message names the row.
        """
        rows, columns = _rows(y, name, lists=self.kind == "multilabel")
        numbers = {label: number for number, label in enumerate(self.classes.tolist())}
        if self.kind != "multilabel":
            if columns is not None or any(_is_list(row) for row in rows):
                raise DataError("rows have several labels", where=name, hint="give one class for each row")
            return np.array(
                [self._number(numbers, label, name, at) for at, label in enumerate(rows, 1)], np.int64
            )
        if columns is not None:
            if len(columns) != len(self.classes):
                what = f"labels have {len(columns)} columns, those of training {len(self.classes)}"
                raise DataError(what, where=name)
            return np.asarray(rows, np.float32).reshape(len(rows), len(columns))
        codes = np.zeros((len(rows), len(self.classes)), np.float32)
        for at, labels in enumerate(rows, 1):
            if not _is_list(labels):
                raise DataError("the row has no list of labels", where=name, row=at, hint=_SEVERAL)
            codes[at - 1, [self._number(numbers, label, name, at) for label in labels]] = 1
        return codes

    def _number(self, numbers: dict[Any, int], label: Any, name: str, row: int) -> int:
        if label not in numbers:
            what = f"label {str(label)[:80]!r} is not among the training labels"
            more = ", ..." if len(numbers) > 10 else ""
            hint = f"they are {', '.join(str(known) for known in self.classes[:10])}{more}"
            raise DataError(what, where=name, row=row, hint=hint)
        return numbers[label]


def _rows(y: Any, name: str, *, lists: bool = False) -> tuple[list[Any], NDArray[Any] | None]:
    """Returns what was given for each row, and the classes of its columns if these are zeros and ones.

    Lists of one label each are a column, unless ``lists``.
    """
    frame = frame_of(y, name)
    if frame is not None and len(frame.columns) > 1:
        values = [frame.get_column(column).to_list() for column in frame.columns]
        return _zeros_and_ones([list(row) for row in zip(*values, strict=True)], name), np.array(
            frame.columns
        )
    rows = y
    if not (isinstance(y, np.ndarray) and y.ndim > 1):
        rows = listed(y, name)
        values = [value for row in rows if _is_sequence(row) for value in row]
        if any(_is_list(value) for value in values):
            raise DataError("labels have three dimensions or more", where=name, hint=_SEVERAL)
        widths = {len(row) if _is_sequence(row) else -1 for row in rows}
        if len(widths) == 1 and min(widths) > 0 and (_are_switches(values) if widths != {1} else not lists):
            rows = np.array(values, dtype=object).reshape(len(rows), -1)  # a matrix as a list of rows
    if not isinstance(rows, np.ndarray):
        return [_checked_label(row, name, number) for number, row in enumerate(rows, 1)], None
    if rows.ndim > 2:
        raise DataError(f"labels have {rows.ndim} dimensions", where=name, hint=_SEVERAL)
    if rows.shape[1] == 1:
        return [_checked_label(row, name, number) for number, row in enumerate(listed(rows, name), 1)], None
    return _zeros_and_ones(rows.tolist(), name), np.arange(rows.shape[1])


def _checked_label(row: Any, name: str, number: int) -> Any:
    """Returns one label, or the list of labels of a row, in the types of Python."""
    if _is_list(row):
        return [_checked_label(label, name, number) for label in row]
    if is_missing(row):
        raise DataError("the label is missing", where=name, row=number, hint="leave the row out")
    label = row.item() if isinstance(row, np.generic) else row
    if isinstance(label, str):
        return written(label, "label", name, number)
    if not isinstance(label, bool | int | float):
        what = f"the label is of type {type(row).__name__}"
        raise DataError(what, where=name, row=number, hint="give strings, numbers or truth values")
    return label


def _zeros_and_ones(rows: Sequence[Sequence[Any]], name: str) -> list[Any]:
    """Returns the rows of a matrix of zeros and ones.

    Raises:
        DataError: a value is something else; the message names the row.
    """
    for number, row in enumerate(rows, 1):
        for value in row:
            if is_missing(value) or not isinstance(value, bool | int | float) or value not in (0, 1):
                shown = "missing" if is_missing(value) else repr(value)[:40]
                what = f"a label is {shown} where several columns hold zeros and ones alone"
                raise DataError(what, where=name, row=number, hint=_SEVERAL)
    return list(rows)


def _classes(labels: Sequence[Any], rows: int) -> NDArray[Any]:
    """Returns the different labels, sorted, in the type that they have.

    Raises:
        DataError: the labels are of several types, or too many differ.
    """
    kinds = {type(label) for label in labels}
    if len(kinds) > 1 and kinds != {int, float}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(
            f"the labels are of several types ({names})", where="y", hint="give labels of one type"
        )
    found = sorted(set(labels))
    fractions = kinds == {float} and any(label % 1 for label in found)
    if len(found) > rows / 2 and (len(found) > _MANY or (fractions and len(found) > 20)):
        what = f"{len(found):,} different values in {rows:,} rows are no labels"
        raise DataError(what, where="y", hint="give the class of each row")
    return np.array(found)


def _are_switches(values: Sequence[Any]) -> bool:
    return all(
        isinstance(value, bool | int | float | np.number | np.bool_) and value in (0, 1) for value in values
    )


def _is_list(row: Any) -> bool:
    return isinstance(row, list | tuple | Set | np.ndarray)


def _is_sequence(row: Any) -> bool:
    return isinstance(row, list | tuple) or (isinstance(row, np.ndarray) and row.ndim > 0)
