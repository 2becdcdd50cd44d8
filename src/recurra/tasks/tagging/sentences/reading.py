"""Sentences of a file or a stream: the format is detected, and they are read in constant memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from recurra.config import DataConfig
from recurra.errors import DataError, RecurraError
from recurra.io.files import FileLines, Head, Lines, check_encoding, look, require_text
from recurra.io.formats import Skipped
from recurra.io.stream import NAME, Pipe
from recurra.tasks.tagging.sentences.evidence import are_trees
from recurra.tasks.tagging.sentences.formats import (
    SENTENCE_FORMATS,
    Sentence,
    SentenceSource,
    SentenceStart,
    Word,
    sentence_format,
)
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = [
    "detect_sentences",
    "is_sentences",
    "read_sentence_stream",
    "read_sentences",
    "read_sentences_from",
]

MOST_WORDS = 5_000
"""The number of words of the longest sentence; more is a file without blank lines between sentences."""


def detect_sentences(
    path: Path,
    data: DataConfig,
    tagging: TaggingConfig,
    *,
    labelled: bool = True,
    like: SentenceSource | None = None,
) -> SentenceSource:
    """Detects the format of a file of sentences.

    ``data`` and ``tagging`` are what the user set. If ``labelled`` is False, only words are needed, and a
    file may have a plain sentence a line. ``like``, the training file's source, decides if words alone could
    be of several formats.

    Raises:
        DataError: the file is missing, empty, binary, or has no tags although they are needed.
        ConfigError: there is no such encoding.
    """
    path = Path(path)
    check_encoding(data.encoding)
    head = look(path)
    lines = _first_lines(head, path, data.encoding)
    if are_trees(lines):
        hint = (
            "write a line of word/tag for each, with NLTK: "
            "' '.join(f'{word}/{tag}' for word, tag in nltk.Tree.fromstring(tree).pos())"
        )
        raise DataError("holds parse trees, not words and tags", where=path, hint=hint)
    source = SentenceSource(path, "", head.gzip, data.encoding, tagging.column, labelled=labelled)
    source = replace(source, skip_bad_rows=data.skip_bad_rows)
    start = SentenceStart(source, lines, path.name.lower().removesuffix(".gz"), like)
    return _laid_out(start, _named(tagging))


def is_sentences(path: Path) -> bool:
    """Returns whether a file holds tagged sentences (or parse trees), by its name or by its first lines.

    A file that can't be read holds none; its reader says why.

    Example:
        >>> is_sentences(Path("train.conllu.gz")), is_sentences(Path("train.tsv"))
        (True, False)
    """
    suffixes = tuple(suffix for format in SENTENCE_FORMATS.values() for suffix in format.suffixes)
    if path.name.lower().removesuffix(".gz").endswith(suffixes):
        return True
    try:
        lines = _first_lines(look(path), path, DataConfig().encoding)
    except RecurraError:
        return False
    return are_trees(lines) or any(format.certain(lines) for format in SENTENCE_FORMATS.values())


def _first_lines(head: Head, path: Path, encoding: str) -> list[str]:
    """The whole lines at the beginning of a file."""
    require_text(head.data, encoding, path, "give a CoNLL-U file, or one of a word and its tag a line")
    lines = head.data.decode(check_encoding(encoding), "replace").splitlines()
    return lines if head.complete or len(lines) < 2 else lines[:-1]  # the last is cut off


def _named(tagging: TaggingConfig) -> str | None:
    return None if tagging.format == "auto" else tagging.format


def _laid_out(start: SentenceStart, name: str | None = None) -> SentenceSource:
    """The source in the named format, or in the first that matches."""
    if name is None:
        name = next(name for name, format in SENTENCE_FORMATS.items() if format.sniff(start))
    return sentence_format(name).layout(replace(start, source=replace(start.source, format=name)))


def read_sentences(source: SentenceSource, skipped: Skipped | None = None) -> Iterator[Sentence]:
    """The sentences of a file.

    ``skipped`` counts the broken sentences that ``source.skip_bad_rows`` leaves out.

    Raises:
        DataError: a broken line (unless left out), with its number; a file that is cut off or not in its
            encoding; or a file without sentences.
    """
    lines = FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    return read_sentences_from(lines, source, skipped)


def read_sentence_stream(
    file: BinaryIO,
    like: SentenceSource | None,
    data: DataConfig,
    tagging: TaggingConfig,
    skipped: Skipped | None = None,
) -> tuple[Iterator[Sentence], Callable[[], bool]]:
    """Sentences of words from a binary stream, and a function that returns whether more lines have arrived.

    The format is detected from the first line that is not blank: CoNLL-U by its comment or its columns,
    columns if they are those of ``like``, the training file's source; otherwise each line is a sentence.
    ``data`` and ``tagging`` are what the user set; ``skipped`` is that of `read_sentences`.

    Raises:
        DataError: something that is not text, bytes that are not in the encoding, or a broken line.
    """
    pipe = Pipe(file, data.encoding)
    begin = [next(pipe, b"")]
    while begin[-1] and not begin[-1].strip():
        begin.append(next(pipe, b""))
    first = begin[-1]
    codec = "utf-8" if pipe.wide else data.encoding  # the pipe decodes wide encodings itself
    require_text(first, codec, NAME)
    head = "".join(Lines(iter([first]), NAME, codec, True)).rstrip("\r\n")
    skip = data.skip_bad_rows
    source = SentenceSource(
        Path(NAME), "", encoding=codec, column=tagging.column, labelled=False, skip_bad_rows=skip
    )
    source = _laid_out(SentenceStart(source, [head], like=like), _named(tagging))
    lines = Lines(chain(begin, pipe), NAME, codec, skip)
    return read_sentences_from(lines, source, skipped), lambda: pipe.waiting


def read_sentences_from(
    lines: Lines, source: SentenceSource, skipped: Skipped | None = None
) -> Iterator[Sentence]:
    """The sentences of ``lines``; the other arguments and the errors are those of `read_sentences`."""
    format = sentence_format(source.format)
    words: list[Word] = []
    first = count = 0
    fault: DataError | None = None
    empty = True
    for number, line in enumerate(chain(lines, [""]), 1):  # a blank line ends the last sentence
        lines.row = number + 1  # the row of the next line, in case it can't be decoded
        text = line.rstrip("\r\n")
        if text.strip():
            try:
                if (undecodable := lines.take_fault()) is not None:
                    raise undecodable
                if format.split is not None:
                    words += format.split(text, source)
                elif format.parse is not None and (word := format.parse(text, len(words), source)):
                    words.append(word)
                if len(words) > MOST_WORDS:
                    what = f"the sentence has more than {MOST_WORDS:,} words"
                    raise DataError(what, hint="a blank line must part sentences")
            except DataError as error:
                fault = fault or DataError(error.what, where=source.path, row=number, hint=error.hint)
                if not source.skip_bad_rows:
                    raise fault from None
            first = first or number if words else 0
            if format.split is None:
                continue
        count = number if format.split is not None else count + (fault is not None or bool(words))
        if fault is not None:
            if skipped is not None:
                skipped.add(f"row {fault.row}: {fault.what}")
        elif words:
            empty = False
            yield _sentence(words, first, count)
        words, first, fault = [], 0, None
    if empty and source.labelled:
        raise DataError("there are no sentences", where=source.path, hint="give a file with tagged words")


def _sentence(words: list[Word], row: int, number: int) -> Sentence:
    # A word that occurs often is one string in memory.
    texts = tuple(sys.intern(word) for word, _ in words)
    tags = tuple(sys.intern(tag) for _, tag in words if tag is not None)
    return Sentence(texts, tags if len(tags) == len(words) else None, row, number)
