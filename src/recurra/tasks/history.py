"""The history of a training as a table: by epoch, by column, as text, as HTML, and as a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from markupsafe import Markup

from recurra.errors import ConfigError
from recurra.files import replacing
from recurra.measure.charts import line_chart

__all__ = ["Figure", "History"]

# The variables in which the charts are drawn; readable on white and on dark backgrounds.
_COLOURS = "--ink-soft: #7d828c; --line: #9ca1aa; --accent: #3b82d0; --second: #d0742b; --paper: #fff"


class Figure:
    """A chart as an SVG, which a notebook shows.

    Attributes:
        svg: the ``<svg>`` element.
    """

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_html_(self) -> str:
        return f'<div style="max-width: 34rem; {_COLOURS}">{self.svg}</div>'

    def save(self, path: str | Path) -> None:
        """Writes the chart as an HTML page. The file is complete or absent.

        Raises:
            OutputError: ``path`` can't be written.
        """
        with replacing(Path(path)) as draft:
            draft.write_text(f'<!doctype html><meta charset="utf-8">{self._repr_html_()}\n', encoding="utf-8")


class History(Sequence[Mapping[str, Any]]):
    """The metrics of each epoch: a sequence of rows, whose columns are read by name.

    Besides the names of ``history.csv``, Keras's are known: ``loss`` is ``train_loss``, and ``val_loss`` is
    ``valid_loss``, as for every other ``val_`` name.

    Args:
        rows: the metrics of each epoch by name.

    Example:
        >>> history = History([{"epoch": 1, "train_loss": 0.6}, {"epoch": 2, "train_loss": 0.5}])
        >>> history["loss"], history[-1]["epoch"], len(history)
        ([0.6, 0.5], 2, 2)
        >>> print(history)
        epoch  train_loss
            1      0.6000
            2      0.5000
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = [dict(row) for row in rows]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> History: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, slice):
            return History(self.rows[key])
        if not isinstance(key, str):
            return self.rows[key]
        name = {"loss": "train_loss"}.get(key, key)
        name = f"valid_{name.removeprefix('val_')}" if name.startswith("val_") else name
        if name not in self.columns:
            raise KeyError(f"there is no column {key!r}; the columns are {', '.join(self.columns) or 'none'}")
        return [row.get(name) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        return self.rows == (other.rows if isinstance(other, History) else other)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        cells = [self.columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Sequence[str]) -> Markup:
            made = (Markup("<{0}>{1}</{0}>").format(Markup(tag), cell) for cell in cells)  # noqa: S704
            return Markup("<tr>{}</tr>").format(Markup("").join(made))

        lines = [line("th", self.columns), *(line("td", cells) for cells in self._cells())]
        return Markup("<table>{}</table>").format(Markup("").join(lines))

    def plot(self, *metrics: str) -> Figure:
        """Returns a chart over the epochs.

        Args:
            metrics: names of columns; ``loss`` and ``val_loss`` if there are none.

        Raises:
            ConfigError: there is no such column, or no epoch, as after ``load``.
        """
        if not self.rows:
            raise ConfigError(
                "there is no history to plot", hint="train with fit; a loaded model has history.csv"
            )
        try:
            lines = {name: self[name] for name in metrics or ("loss", "val_loss")}
        except KeyError as error:
            raise ConfigError(str(error.args[0])) from None
        values = {name: [float("nan") if v is None else v for v in column] for name, column in lines.items()}
        title = ", ".join(values)
        return Figure(line_chart(self["epoch"], values, title=f"{title} by epoch", name="history"))

    def _cells(self) -> list[list[str]]:
        return [[_cell(row.get(name)) for name in self.columns] for row in self.rows]


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"
