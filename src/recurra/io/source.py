"""What a data file was found to be (`Source`), and what reading it gives (`Rows`)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recurra.errors import DataError

__all__ = ["Rows", "Skipped", "Source"]

_NAMES = {
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "parquet": "Parquet",
    "folder": "a folder a class",
    "fasttext": "fastText lines",
    "lines": "one text a line",
}
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True)
class Source:
    """A data file or folder, and where its texts and labels stand.

    Attributes:
        path: the file or folder.
        format: "csv", "tsv", "jsonl", "parquet", "folder", "fasttext", or "lines" (texts alone).
        gzip: whether the file is packed.
        encoding: of text formats.
        delimiter: between the fields of a CSV or TSV.
        header: whether the first row of a CSV or TSV names the columns.
        columns: all columns there are; "0", "1", ... without a header.
        text: the text columns, joined by a space when several.
        label: the label column, or None where labels are absent or not wanted.
        group: the column whose equal values belong together.
        label_separator: splits a label cell into several labels; "json" where cells are lists.
        skip_bad_rows: broken rows are left out and counted instead of refused.
        quoted: whether quotes enclose fields of a CSV or TSV (False: a quote is a character).
        notes: what a user should know of what was found, one clause each.
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
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, str]:
        """What was found, as name and words, in the order to print."""
        kind = _NAMES[self.format]
        if self.format in ("csv", "tsv"):
            kind += f", {_DELIMITERS.get(self.delimiter or ',', repr(self.delimiter))} between fields"
            kind += ", the first row names the columns" if self.header else ", no header"
        if self.gzip:
            kind += ", gzip"
        if self.encoding != "utf-8":
            kind += f", {self.encoding}"
        found = {"file": str(self.path), "format": kind}
        if self.format in ("csv", "tsv", "jsonl", "parquet"):
            found["columns"] = ", ".join(self.columns)
            found["text"] = " + ".join(self.text)
        if self.format == "folder":
            found["classes"] = ", ".join(self.columns)
        elif self.label is not None:
            found["label"] = self.label
            if self.label_separator == "json":
                found["label"] += " (a list of labels)"
            elif self.label_separator:
                found["label"] += f" (several, split at {self.label_separator!r})"
        if self.group is not None:
            found["group"] = self.group
        if self.notes:
            found["note"] = "; ".join(self.notes)
        return found

    def settings(self) -> dict[str, Any]:
        """The ``data.*`` settings that would choose the same columns in another file.

        What differs from file to file (format, gzip, header, delimiter) is found anew each time.
        """
        if self.format in ("folder", "fasttext", "lines"):
            return {}
        found = {
            "text": list(self.text),
            "label": self.label,
            "group": self.group,
            "label_separator": self.label_separator,
        }
        return {key: value for key, value in found.items() if value is not None}

    def to_json(self) -> str:
        """The source as JSON, to be kept with a model."""
        return json.dumps({**asdict(self), "path": str(self.path)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Source:
        """The source that `to_json` wrote.

        Raises:
            DataError: the text is not what `to_json` writes.
        """
        try:
            found = json.loads(text)
            for key in ("columns", "text", "notes"):
                found[key] = tuple(found[key])
            return cls(**{**found, "path": Path(found["path"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"is not a saved description of a data file ({error})") from error


@dataclass(frozen=True)
class Rows:
    """A chunk of consecutive rows: at most 1,024, and bounded in characters too.

    Attributes:
        numbers: 1-based data row in the file; for a folder the running number in sorted path order.
        texts: as they stand in the file, not cleaned.
        labels: a tuple a row, of one element where a text has one label; None without labels.
        groups: the group of each row; None without a group column.
    """

    numbers: list[int]
    texts: list[str]
    labels: list[tuple[str, ...]] | None = None
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass
class Skipped:
    """Broken rows that were left out: how many, and the first few complaints."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, complaint: str) -> None:
        """Count one more row."""
        self.count += 1
        if len(self.examples) < 5:
            self.examples.append(complaint)
