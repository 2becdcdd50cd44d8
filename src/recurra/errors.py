"""Every error a user can meet, each of which reads as one line: what, where, how to fix it.

    RecurraError
    ├── DataError         a file or a row that can't be used
    ├── ConfigError       a setting that is unknown or out of its range
    ├── BundleError       a model directory that is incomplete, newer, or tampered with
    ├── TrainingError     training that can't go on (a loss that is not finite)
    ├── OutputError       a place that can't be written
    ├── BackendError      a kernel asked for by name that can't serve here
    └── DependencyError   an optional package that is not installed

The command line prints ``str(error)`` and ends with exit code 2 for all of them.
"""

from __future__ import annotations

from pathlib import Path

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


class RecurraError(Exception):
    """The root of the tree.

    Args:
        what: what is wrong, in one clause, without a full stop.
        where: the file (and row) or the setting it is wrong in.
        hint: what the user can do about it.

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
        self.what = what
        self.where = None if where is None else str(where)
        self.row = row
        self.hint = hint
        place = self.where or ""
        if row is not None:
            place = f"{place}, row {row:,}" if place else f"row {row:,}"
        line = f"{place}: {what}" if place else what
        if hint:
            line = f"{line}; {hint}"
        super().__init__(" ".join(line.split()))


class DataError(RecurraError):
    """A file or a row that can't be used as data."""


class ConfigError(RecurraError):
    """A setting that is unknown, of the wrong type, or out of its range."""


class BundleError(RecurraError):
    """A model directory that is incomplete, of a newer format, or changed since it was saved."""


class TrainingError(RecurraError):
    """Training that can't go on."""


class OutputError(RecurraError):
    """A place that can't be written: no permission, no room, or something already there."""


class BackendError(RecurraError):
    """A kernel backend that was asked for by name and can't serve the case."""


class DependencyError(RecurraError):
    """An optional package that a feature needs and that is not installed."""
