"""The file formats: what one is (`Format`), the table of them, and what reading a file needs and gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from recurra.errors import ConfigError, DataError
from recurra.io.files import Lines

__all__ = [
    "Format",
    "NoLabel",
    "Record",
    "Refuse",
    "Request",
    "Rows",
    "Skipped",
    "Source",
    "Start",
    "format_named",
    "format_names",
    "formats",
    "register_format",
]

_LEADING = "\ufeff \t\r\n"


@dataclass(frozen=True)
class Source:
    """A data file or folder, and which of its columns hold the texts and labels.

    Attributes:
        path: the file or folder.
        format: the name of its `Format`, such as "csv".
        gzip: whether the file is compressed.
        encoding: of text formats.
        delimiter: between the fields of a CSV or TSV.
        header: whether the first row of a CSV or TSV names the columns.
        columns: all columns; "0", "1", ... without a header; the classes of a folder.
        text: the text columns, joined by a space if there are several.
        label: the label column, or None if labels are absent or not needed.
        group: the column whose equal values stay on one side of a split.
        label_separator: splits a label cell into several labels; "json" if cells are lists.
        skip_bad_rows: whether broken rows are left out and counted instead of refused.
        quoted: whether quotes enclose fields of a CSV or TSV; if False, a quote is a character.
        rest: whether the last column of a CSV takes the rest of the line, with its separators.
        sheet: the sheet of a spreadsheet.
        notes: what the user should know about the file, one clause each.
    """

    path: Path
    format: str
    gzip: bool = False
    encoding: str = "utf-8"
    delimiter: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    label_separator: str | None = None
    skip_bad_rows: bool = False
    quoted: bool = True
    rest: bool = False
    sheet: str | None = None
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, str]:
        """Names and values for the user, in the order to print."""
        format = format_named(self.format)
        title = format.title + (format.details(self) if format.details else "")
        if self.gzip:
            title += ", gzip"
        if self.encoding != "utf-8":
            title += f", {self.encoding}"
        facts = {"file": str(self.path), "format": title}
        if format.cells:
            facts["columns"] = ", ".join(self.columns)
            facts["text"] = " + ".join(self.text)
        if format.is_folder:
            facts["classes"] = ", ".join(self.columns)
        elif self.label is not None:
            facts["label"] = self.label
            if self.label_separator == "json":
                facts["label"] += " (a list of labels)"
            elif self.label_separator:
                facts["label"] += f" (several, split at {self.label_separator!r})"
        if self.group is not None:
            facts["group"] = self.group
        if self.notes:
            facts["note"] = "; ".join(self.notes)
        return facts

    def settings(self) -> dict[str, Any]:
        """The ``data.*`` settings that choose the same columns in another file.

        Format, compression, header and delimiter may differ from file to file and are detected each time.
        """
        if not format_named(self.format).cells:
            return {}
        names = ("label", "group", "label_separator")
        values = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {"text": list(self.text), **values}

    def to_json(self) -> str:
        """The source as JSON, to be stored with a model."""
        return json.dumps({**asdict(self), "path": str(self.path)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Source:
        """The source that `to_json` wrote.

        Raises:
            DataError: ``text`` is not what `to_json` writes.
        """
        try:
            values = json.loads(text)
            for key in ("columns", "text", "notes"):
                values[key] = tuple(values[key])
            return cls(**{**values, "path": Path(values["path"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"is not a saved description of a data file ({error})") from error


@dataclass(frozen=True)
class Rows:
    """A chunk of consecutive rows: at most 1,024, and bounded in characters too.

    Attributes:
        numbers: data rows of the file, from 1; for a folder the running number in sorted path order.
        texts: as in the file, not cleaned.
        labels: a tuple for each row, of one element if a text has one label; None without labels.
        groups: the group of each row; None without a group column.
        cells: the values of each row by the names of all columns, if they were asked for; None without
            columns.
    """

    numbers: list[int]
    texts: list[str]
    labels: list[tuple[str, ...]] | None = None
    groups: list[str] | None = None
    cells: list[Mapping[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass
class Skipped:
    """Broken rows that were left out: their number, and the first five error messages."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, message: str) -> None:
        """Count one more row."""
        self.count += 1
        if len(self.examples) < 5:
            self.examples.append(message)


class Record(NamedTuple):
    """One row: its number, text, labels, group and all cells by name; None for what was not asked for."""

    number: int
    text: str
    labels: tuple[str, ...] | None
    group: str | None
    cells: Mapping[str, Any] | None = None


class NoLabel(str):
    """What is wrong with a row that is whole but has no label."""

    __slots__ = ()


Refuse = Callable[[int, str | DataError], None]
"""Called with a row number and what is wrong with the row: raises, or counts the row as left out."""


@dataclass(frozen=True)
class Request:
    """What the user asks of a file; what is not set is None, or empty.

    ``labelled`` is whether labels are needed (False for prediction), and ``like`` the training source, whose
    columns the file should have (None for a training file); the others are as in `Source`.
    """

    labelled: bool = True
    like: Source | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    label_separator: str | None = None
    header: bool | None = None
    delimiter: str | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Start:
    """The beginning of a file or of a stream, from which the format is detected.

    Attributes:
        source: path, compression and encoding; its format is the detected one when `Format.layout` is called.
        text: the first characters; the first line of a stream; "" for a folder and for a binary file.
        complete: whether ``text`` is all there is.
        suffix: the ending of the file's name, if a format has it (without ``.gz``); else "".
        streamed: whether it is a stream, which can be read once only, and has neither labels nor a name.
    """

    source: Source
    request: Request
    text: str = ""
    complete: bool = True
    suffix: str = ""
    streamed: bool = False

    def begins_with(self, prefix: str) -> bool:
        """Whether the first visible characters are ``prefix``."""
        return self.text.lstrip(_LEADING).startswith(prefix)

    @property
    def first_line(self) -> str:
        """The first line that is not blank."""
        return self.text.lstrip(_LEADING).split("\n", 1)[0]


@dataclass(frozen=True)
class Format:
    """A file format: how it is detected and how it is read.

    A format has either named columns (``cells``) or rows of its own (``records``).

    Attributes:
        name: the value of the setting ``data.format``.
        title: its name for the user.
        sniff: whether the beginning of a file, stream or folder has this format; None to go by ``suffixes``.
            With ``magic``, whether a file with these first bytes has this format; None if they say all.
        layout: the source with its columns. A format without named columns sets ``text`` and ``label`` too.
        cells: row numbers and the values of the named columns, from ``lines`` instead of the file if given.
        records: the rows, from ``lines`` instead of the file if given.
        stream: the rows of a stream, for a format with named columns whose layout takes more than a line.
        suffixes: endings of file names, in lower case and without ``.gz``.
        magic: the first bytes of every file of a binary format, or all such first bytes.
        delimiter: between the fields, if the user chose the format and no delimiter.
        is_folder: whether it is the format of folders.
        is_running_text: whether neighbouring rows belong together, as the lines of a book.
        details: more about a source, after the title.
    """

    name: str
    title: str
    layout: Callable[[Start], Source]
    sniff: Callable[[Start], bool] | None = None
    cells: Cells | None = None
    records: Callable[[Source, Refuse, Lines | None], Iterator[Record]] | None = None
    stream: Callable[[Start, Lines, Refuse], Iterator[Record]] | None = None
    suffixes: tuple[str, ...] = ()
    magic: bytes | tuple[bytes, ...] = ()
    delimiter: str | None = None
    is_folder: bool = False
    is_running_text: bool = False
    details: Callable[[Source], str] | None = None

    def __post_init__(self) -> None:
        if (self.cells is None) == (self.records is None):
            raise ValueError(f"the format {self.name!r} needs either cells or records")

    @property
    def first_bytes(self) -> tuple[bytes, ...]:
        """All that a file of a binary format begins with; empty for a text format."""
        if isinstance(self.magic, tuple):
            return self.magic
        return (self.magic,) if self.magic else ()

    @property
    def is_text(self) -> bool:
        """Whether it is a format of text files and streams, which is detected by its first characters."""
        return not self.magic and not self.is_folder

    def matches(self, start: Start) -> bool:
        """Whether the beginning of a file, stream or folder has this format."""
        return self.sniff(start) if self.sniff is not None else start.suffix in self.suffixes


Cells = Callable[[Source, Sequence[str], Refuse, Lines | None], Iterator[tuple[int, Sequence[Any]]]]

_FORMATS: dict[str, Format] = {}


def register_format(format: Format) -> None:
    """Adds a format to the table, which detection, readers, settings and help texts use.

    It is tried before the formats that were added earlier, and replaces one of the same name.
    """
    _FORMATS.pop(format.name, None)
    _FORMATS[format.name] = format


def formats() -> list[Format]:
    """All formats, in the order in which they are tried: the last added first."""
    return list(reversed(_FORMATS.values()))


def format_names() -> list[str]:
    """The names of all formats, sorted."""
    return sorted(_FORMATS)


def format_named(name: str) -> Format:
    """The format called ``name``.

    Raises:
        ConfigError: there is no such format.
    """
    if name not in _FORMATS:
        raise ConfigError(f"there is no file format {name!r}", hint=f"use one of {', '.join(format_names())}")
    return _FORMATS[name]
