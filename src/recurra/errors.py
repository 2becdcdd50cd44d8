"""The errors that recurra raises. Each message is one line: what is wrong, where, and how to fix it.

    RecurraError
    ├── DataError         a file or a row can't be used
    ├── ConfigError       a setting is unknown or out of range
    ├── BundleError       a model directory is incomplete, of a newer format, or modified
    ├── TrainingError     training can't continue (e.g. the loss is not finite)
    ├── OutputError       a file or folder can't be written
    ├── BackendError      the requested kernel backend does not support the case
    └── DependencyError   an optional package is not installed

For all of them the command line prints ``str(error)`` and exits with code 2.
"""

from __future__ import annotations

from pathlib import Path

from recurra.printable import printable, shortened

__all__ = [
    "BackendError",
    "BundleError",
    "ConfigError",
    "DataError",
    "DependencyError",
    "OutputError",
    "RecurraError",
    "TrainingError",
]


_LONGEST = 2_000  # characters of a reason, which may repeat what a file holds


class RecurraError(Exception):
    """Base class of all errors that recurra raises.

    Args:
        what: what is wrong, in one clause, without a full stop.
        where: the file or the setting.
        row: the row of the file, from 1.
        hint: how the user can fix it.

    Example:
        >>> print(DataError("the file is empty", where="a.csv", hint="give a file with rows"))
        a.csv: the file is empty; give a file with rows
        >>> print(DataError("the row has 3 fields, the header 2", where="a.csv", row=7))
        a.csv, row 7: the row has 3 fields, the header 2
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        row: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = shortened(what, _LONGEST)
        self.where = None if where is None else str(where)
        self.row = row
        self.hint = hint
        place = self.where or ""
        if row is not None:
            place = f"{place}, row {row:,}" if place else f"row {row:,}"
        line = f"{place}: {self.what}" if place else self.what
        if hint:
            line = f"{line}; {hint}"
        super().__init__(printable(" ".join(line.split())))


class DataError(RecurraError):
    """A file or a row can't be used as data."""


class ConfigError(RecurraError):
    """A setting is unknown, of the wrong type, or out of range."""


class BundleError(RecurraError):
    """A model directory is incomplete, of a newer format, or modified since it was saved."""


class TrainingError(RecurraError):
    """Training can't continue."""


class OutputError(RecurraError):
    """A file or folder can't be written: no permission, a full disk, or it exists already."""


class BackendError(RecurraError):
    """The kernel backend that was requested by name does not support the case."""


class DependencyError(RecurraError):
    """An optional package that a feature needs is not installed."""
