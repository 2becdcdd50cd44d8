"""Answers to the rows of a request, and the columns of the file in which they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError

if TYPE_CHECKING:
    from recurra.tasks.work import Work

__all__ = ["MOST_CLASSES", "Answers", "kept_columns"]

MOST_CLASSES = 100
"""Classes up to which an answer has the probabilities of all of them."""


@dataclass(frozen=True)
class Answers:
    """Answers as they are computed.

    Attributes:
        fields: the columns of the answers; the first has the number of the row.
        records: JSON values by name, one record an answer.
        cells: returns the cells of ``fields`` for a record; if None, they are the record's values by name.
        values: as ``cells``, with numbers as numbers, for formats that have types; None if ``cells`` does.
        warnings: sentences about the answers. Some are added when all records are computed.
        columns: the columns of the file that are repeated. Each record has their values under ``input``.
        one_each: whether there is one record for each row of the file. The number of the row is then written
            only if no columns are repeated.
        hidden: names in the records that are not written.
        work: the parts from which ``records`` are computed, for several processes; None if there are none.
        counts: what was counted over the answers, by name; complete when all records are computed.
    """

    fields: list[str]
    records: Iterator[dict[str, Any]]
    cells: Callable[[Mapping[str, Any]], list[Any]] | None = None
    warnings: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    one_each: bool = False
    values: Callable[[Mapping[str, Any]], list[Any]] | None = None
    hidden: frozenset[str] = frozenset()
    work: Work | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def numbered(self) -> bool:
        """Whether the number of the row is written."""
        return not (self.one_each and self.columns)

    @property
    def header(self) -> list[str]:
        """The columns of a table: the number of the row, those of the file, and those of the answers.

        If the file has a column of the same name, a column of the answers is called ``predicted_NAME``, and
        that of the number ``row_number``.
        """
        number, *names = self.fields
        first = [self.name_of(number)] if self.numbered else []
        return [*first, *self.columns, *map(self.name_of, names)]

    def name_of(self, name: str) -> str:
        """Returns the column in which the value ``name`` of a record is written."""
        other = f"{name}_number" if name == self.fields[0] else f"predicted_{name}"
        return _free(name, {*self.columns}, other)

    def row(self, record: Mapping[str, Any], *, typed: bool = False) -> list[Any]:
        """Returns the values of a record in the order of `header`; with ``typed``, numbers are numbers."""
        cells = (self.values if typed else None) or self.cells
        values = cells(record) if cells else [record[name] for name in self.fields]
        given = [record["input"].get(name) for name in self.columns] if self.columns else []
        return [*(values[:1] if self.numbered else []), *given, *values[1:]]


def _free(name: str, taken: set[str], other: str) -> str:
    """Returns ``name``, or if it is taken ``other``, with a number if that is taken too."""
    names = chain([name, other], (f"{other}_{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def kept_columns(found: tuple[str, ...], keep: bool | tuple[str, ...]) -> tuple[str, ...]:
    """Returns the columns among ``found`` that answers repeat: all, none, or those of ``keep`` in its order.

    Raises:
        ConfigError: a column of ``keep`` is not there.

    Example:
        >>> kept_columns(("id", "text"), True), kept_columns(("id", "text"), ("text",))
        (('id', 'text'), ('text',))
    """
    if isinstance(keep, bool):
        return found if keep else ()
    for name in keep:
        if name not in found:
            hint = f"the columns are {', '.join(found)}" if found else "the file has no named columns"
            raise ConfigError(f"--keep names {name!r}, which is not a column of the file", hint=hint)
    return tuple(dict.fromkeys(keep))
