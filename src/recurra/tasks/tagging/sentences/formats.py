"""The formats of sentences: CoNLL-U, a word and its tag a line, words as word/tag, or plain sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from recurra.errors import BundleError, DataError
from recurra.tasks.tagging.sentences.evidence import (
    CONLLU_COLUMNS,
    DOCUMENT,
    cells,
    certain_brown,
    certain_columns,
    certain_conllu,
    find_columns,
    mostly,
    slashed,
)
from recurra.tasks.tagging.settings import CONLLU_TAGS, TaggingConfig

__all__ = [
    "SENTENCE_FORMATS",
    "Sentence",
    "SentenceSource",
    "SentenceStart",
    "sentence_format",
]

MISSING = "_"
"""The cell of a tag that is absent."""

_NO_WORD = re.compile(r"\d+(?:-|\.)\d+")  # 1-2 covers the words 1 and 2; 1.1 is an empty node

Word = tuple[str, str | None]
"""A word and its tag."""


@dataclass(frozen=True)
class Sentence:
    """The words of a sentence and, if they are known, their tags.

    Attributes:
        words: at least one, as in the file.
        tags: one for each word; None without tags.
        row: the line of the first word in the file, from 1.
        number: its number in the input, from 1, or 0. Where each line is a sentence, blank lines count;
            elsewhere, broken sentences that are left out count.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    row: int
    number: int = field(default=0, compare=False)


@dataclass(frozen=True)
class SentenceSource:
    """A file of sentences and its layout.

    Attributes:
        path: the file.
        format: the name of its `SentenceFormat`.
        gzip: whether the file is compressed.
        encoding: of its bytes.
        column: the column that holds the tags: ``upos``, ``xpos`` or ``feats`` of CoNLL-U, or a number.
        columns: the number of columns of the format ``columns``.
        tabs: whether only tabs separate these columns, so that a word may contain a space.
        labelled: whether tags are needed; a missing tag is then refused.
        skip_bad_rows: whether sentences with a broken line are left out and counted instead of refused.
    """

    path: Path
    format: str
    gzip: bool = False
    encoding: str = "utf-8"
    column: int | str = "upos"
    columns: int = 2
    tabs: bool = True
    labelled: bool = True
    skip_bad_rows: bool = False

    @property
    def tags_at(self) -> int:
        """The number of the column with the tags, of the format ``columns``."""
        return self.column if isinstance(self.column, int) else self.columns

    def describe(self) -> dict[str, str]:
        """Names and values for the user, in the order to print."""
        format = sentence_format(self.format)
        facts = {"file": str(self.path), "format": format.title + (", gzipped" if self.gzip else "")}
        return facts | (format.details(self) if format.details else {})

    def to_json(self) -> str:
        """The source as JSON."""
        return json.dumps({**asdict(self), "path": str(self.path)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> SentenceSource:
        """The source that `to_json` wrote.

        Raises:
            BundleError: ``text`` is not what `to_json` writes.
        """
        what = "the saved layout of the sentences can't be read"
        try:
            source = TypeAdapter(cls).validate_json(text, strict=True)
            TaggingConfig(column=source.column)
        except (ValidationError, RecursionError) as error:
            raise BundleError(what) from error
        sentence_format(source.format)
        if source.columns < 2:
            raise BundleError(f"{what} ({source.columns} columns)")
        return source


@dataclass(frozen=True)
class SentenceStart:
    """The beginning of a file or stream, from which the format is detected.

    ``lines`` are the first lines without their ends, only one of a stream; ``name`` is the file's name in
    lower case without ``.gz``, "" for a stream; ``like`` is the training file's source, if this is another.
    """

    source: SentenceSource
    lines: Sequence[str]
    name: str = ""
    like: SentenceSource | None = None

    def is_like(self, format: SentenceFormat) -> bool:
        """Whether the training file has this format."""
        return self.like is not None and self.like.format == format.name


@dataclass(frozen=True)
class SentenceFormat:
    """A format of sentences: how it is detected and how a line is read.

    Attributes:
        name: the value of the setting ``tagging.format``.
        title: its name for the user.
        sniff: whether the beginning of a file or stream of sentences has this format.
        layout: the source with its layout.
        parse: the word of a line, None for a comment; called with the line, the number of words before it in
            the sentence, and the source.
        split: in place of ``parse`` where each line is a sentence: its words.
        certain: whether the first lines of any file can only be of this format, so that its task is tagging.
        suffixes: endings of file names that only this format has.
        details: more about a source, for the user.
    """

    name: str
    title: str
    sniff: Callable[[SentenceStart], bool]
    layout: Callable[[SentenceStart], SentenceSource] = lambda start: start.source
    parse: Callable[[str, int, SentenceSource], Word | None] | None = None
    split: Callable[[str, SentenceSource], list[Word]] | None = None
    certain: Callable[[Sequence[str]], bool] = lambda lines: False
    suffixes: tuple[str, ...] = ()
    details: Callable[[SentenceSource], dict[str, str]] | None = None


def _parse_conllu(line: str, words: int, source: SentenceSource) -> Word | None:
    """The word of a line of CoNLL-U and its tag; None for a comment, a range of words or an empty node.

    Lines are read strictly: ten columns, words numbered from 1. The ``conllu`` package (6.0) accepts lines
    with fewer columns and reports neither file nor line. Errors are without file and line.
    """
    if line.startswith("#"):
        return None
    row = cells(line, True, len(CONLLU_COLUMNS))
    hint = "a blank line must part sentences" if len(row) == 1 or row[0] == "1" else None
    if len(row) != len(CONLLU_COLUMNS):
        what = f"the line has {len(row)} columns, CoNLL-U has {len(CONLLU_COLUMNS)} parted by tabs"
        raise DataError(what, hint=hint if len(row) == 1 else None)
    if _NO_WORD.fullmatch(row[0]):
        return None
    if row[0] != str(words + 1):
        raise DataError(f"the word's number is {row[0][:20]!r}, not {words + 1}", hint=hint)
    by_name = dict(zip(CONLLU_COLUMNS, row, strict=True))
    word, tag = by_name["form"], by_name[str(source.column)]
    if not word.strip():
        raise DataError("the word is empty")
    # Features may be absent, since a word may have none.
    if tag.strip() and (tag != MISSING or source.column == "feats"):
        return word, tag
    if source.labelled:
        filled = [name for name in ("upos", "xpos") if name != source.column and by_name[name] != MISSING]
        hint = f"its {filled[0].upper()} is there: pass --set tagging.column={filled[0]}" if filled else None
        raise DataError(f"the word {word[:40]!r} has no {str(source.column).upper()} tag", hint=hint)
    return word, None


def _parse_columns(line: str, words: int, source: SentenceSource) -> Word | None:
    """The word in the first column and its tag; None for a document mark or a comment.

    Errors are without file and line.
    """
    row = cells(line, source.tabs, source.columns)
    if row[0] == DOCUMENT:
        return None
    if len(row) != source.columns:
        if words == 0 and line.startswith("# "):  # a comment; a word '#' has as many columns as the others
            return None
        if len(row) == 1:
            raise DataError(f"the word {row[0][:40]!r} has no tag")
        count = f"the line has {len(row)} columns, the others {source.columns}"
        raise DataError(count, hint="each needs the word first and its tag")
    word, tag = row[0], row[source.tags_at - 1] if source.tags_at <= len(row) else ""
    if not word.strip():
        raise DataError("the word is empty")
    if tag not in ("", MISSING):
        return word, tag
    if source.labelled:
        raise DataError(f"the word {word[:40]!r} has no tag")
    return word, None


def _split_brown(line: str, source: SentenceSource) -> list[Word]:
    """The words of a line of words with their tags after a slash. Errors are without file and line."""
    words: list[Word] = []
    for token in line.split():
        pairs = slashed(token)
        if source.labelled and not pairs:
            raise DataError(f"the word {token[:40]!r} has no tag", hint="write word/tag")
        words += pairs or [(token, None)]
    return words


def _sniff_brown(start: SentenceStart) -> bool:
    if not start.source.labelled and not start.is_like(BROWN):
        return certain_brown(start.lines)
    tokens = [token for line in start.lines for token in line.split()]
    return mostly(sum(map(len, map(slashed, tokens))), len(tokens))


def _sniff_conllu(start: SentenceStart) -> bool:
    first = next((line for line in start.lines if line.strip() and not line.startswith("#")), "")
    row = cells(first, True, len(CONLLU_COLUMNS))
    numbered = len(row) == len(CONLLU_COLUMNS) and re.fullmatch(r"\d+([-.]\d+)?", row[0])
    if numbered or start.name.endswith(CONLLU.suffixes):
        return True
    # A stream may begin with a comment.
    return start.is_like(CONLLU) and all(line.startswith("# ") for line in start.lines)


def _sniff_columns(start: SentenceStart) -> bool:
    if start.source.labelled or start.name.endswith((*COLUMNS.suffixes, ".tsv")):
        return True
    # Sentences of two words each look like words and tags, so that a file without labels has this format
    # only if it has the columns of the training file.
    like = start.like if start.is_like(COLUMNS) else None
    return like is not None and find_columns(start.lines, like.columns) == (like.columns, like.tabs)


def _columns_layout(start: SentenceStart) -> SentenceSource:
    like = start.like if start.is_like(COLUMNS) else None
    columns, tabs = find_columns(start.lines, 2 if like is None else like.columns)
    if columns < 2:
        hint = "write a word, a tab and its tag on each line, and a blank line between sentences"
        raise DataError("most lines have one column, without a tag", where=start.source.path, hint=hint)
    source = replace(start.source, columns=columns, tabs=tabs)
    if source.labelled and source.tags_at > columns:
        what = f"most lines have {columns} columns, and tagging.column is {source.column}"
        raise DataError(what, where=source.path, hint="remove the setting: the tag is in the last column")
    return source


def _conllu_layout(start: SentenceStart) -> SentenceSource:
    source = start.source
    if isinstance(source.column, int):
        what = f"tagging.column is {source.column}, and the file is CoNLL-U"
        raise DataError(what, where=source.path, hint=f"use one of {', '.join(CONLLU_TAGS)}")
    return source


def _lines_layout(start: SentenceStart) -> SentenceSource:
    if start.source.labelled:
        hint = "training and evaluation need CoNLL-U, or a word and its tag a line"
        raise DataError("has sentences without tags", where=start.source.path, hint=hint)
    return start.source


CONLLU = SentenceFormat(
    "conllu",
    "CoNLL-U",
    _sniff_conllu,
    _conllu_layout,
    parse=_parse_conllu,
    certain=certain_conllu,
    suffixes=(".conllu",),
    details=lambda source: {"column": str(source.column).upper()} if source.labelled else {},
)
COLUMNS = SentenceFormat(
    "columns",
    "a word and its tag a line",
    _sniff_columns,
    _columns_layout,
    _parse_columns,
    certain=certain_columns,
    suffixes=(".conll", ".iob", ".iob2", ".bio"),
    details=lambda source: (
        {"columns": f"{source.columns}: the first is the word, column {source.tags_at} its tag"}
        if source.columns > 2
        else {}
    ),
)
BROWN = SentenceFormat(
    "brown", "a sentence a line, words as word/tag", _sniff_brown, split=_split_brown, certain=certain_brown
)
LINES = SentenceFormat(
    "lines",
    "a sentence a line, words apart by spaces",
    lambda start: True,
    _lines_layout,
    split=lambda line, source: [(word, None) for word in line.split()],
)

SENTENCE_FORMATS = {format.name: format for format in (CONLLU, BROWN, COLUMNS, LINES)}
"""All formats by name, in the order in which they are tried."""


def sentence_format(name: str) -> SentenceFormat:
    """The format called ``name``.

    Raises:
        BundleError: there is no such format.
    """
    if name not in SENTENCE_FORMATS:
        hint = f"use one of {', '.join(SENTENCE_FORMATS)}"
        raise BundleError(f"there is no format of sentences {name!r}", hint=hint)
    return SENTENCE_FORMATS[name]
