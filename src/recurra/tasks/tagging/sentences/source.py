"""A sentence (`Sentence`), and what a file of them was found to be (`SentenceSource`)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from recurra.errors import BundleError

__all__ = ["MISSING", "Form", "Sentence", "SentenceSource"]

Form = Literal["conllu", "columns", "lines"]

MISSING = "_"
"""What stands where a tag was left out."""

_NAMES = {
    "conllu": "CoNLL-U",
    "columns": "a word and its tag a line",
    "lines": "a sentence a line, words apart by spaces",
}


@dataclass(frozen=True)
class Sentence:
    """The words of a sentence and, where they are known, a tag for each.

    Attributes:
        words: as they stand, at least one.
        tags: as many; None without tags.
        row: the line of the file on which the first word stands, from 1.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    row: int


@dataclass(frozen=True)
class SentenceSource:
    """A file of sentences and how it is laid out.

    Attributes:
        path: the file.
        format: ``conllu``; ``columns``, a word and its tag a line, blank lines between sentences;
            ``lines``, a sentence a line, without tags.
        gzip: whether the file is packed.
        encoding: of its bytes.
        column: which column of CoNLL-U holds the tags: ``upos``, ``xpos`` or ``feats``.
        columns: how many columns the lines of ``columns`` have.
        tabs: whether tabs alone stand between these, so that a word may hold a space.
        labelled: whether tags are wanted; a missing one is then refused.
        skip_bad_rows: sentences with a broken line are left out and counted instead of refused.
    """

    path: Path
    format: Form
    gzip: bool = False
    encoding: str = "utf-8"
    column: str = "upos"
    columns: int = 2
    tabs: bool = True
    labelled: bool = True
    skip_bad_rows: bool = False

    def describe(self) -> dict[str, str]:
        """What was found, for people."""
        packed = ", gzipped" if self.gzip else ""
        found = {"file": str(self.path), "format": f"{_NAMES[self.format]}{packed}"}
        if self.format == "conllu" and self.labelled:
            found["column"] = self.column.upper()
        elif self.format == "columns" and self.columns > 2:
            found["columns"] = f"{self.columns}: the first is the word, the last its tag"
        return found

    def to_json(self) -> str:
        """The source as JSON."""
        return json.dumps({**asdict(self), "path": str(self.path)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> SentenceSource:
        """The source that `to_json` wrote.

        Raises:
            BundleError: the text is something else.
        """
        try:
            found = json.loads(text)
            return cls(**{**found, "path": Path(found["path"])})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BundleError(f"the saved layout of the sentences can't be read ({error})") from error
