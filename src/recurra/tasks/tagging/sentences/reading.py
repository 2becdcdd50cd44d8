"""Sentences of a file or a stream: the format is detected, and they are read in constant memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.files import FileLines, Lines, check_encoding, look, require_text
from recurra.io.formats import Skipped
from recurra.io.stream import NAME, Pipe
from recurra.tasks.tagging.sentences.formats import (
    SENTENCE_FORMATS,
    Sentence,
    SentenceSource,
    SentenceStart,
    Word,
    sentence_format,
)
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = ["detect_sentences", "read_sentence_stream", "read_sentences", "read_sentences_from"]

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
    codec = check_encoding(data.encoding)
    head = look(path)
    hint = "give a CoNLL-U file, or one of a word and its tag a line"
    require_text(head.data, data.encoding, path, hint)
    lines = head.data.decode(codec, "replace").splitlines()
    if not head.complete and len(lines) > 1:
        lines.pop()  # cut off
    source = SentenceSource(path, "", head.gzip, data.encoding, tagging.column, labelled=labelled)
    source = replace(source, skip_bad_rows=data.skip_bad_rows)
    start = SentenceStart(source, lines, path.name.lower().removesuffix(".gz"), like)
    return _laid_out(start, None if tagging.format == "auto" else tagging.format)


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
    file: BinaryIO, like: SentenceSource | None, encoding: str
) -> tuple[Iterator[Sentence], Callable[[], bool]]:
    """Sentences of words from a binary stream, and a function that returns whether more lines have arrived.

    The format is detected from the first line that is not blank: CoNLL-U by its comment or its columns,
    columns if they are those of ``like``, the training file's source; otherwise each line is a sentence.

    Raises:
        DataError: something that is not text, bytes that are not in the encoding, or a broken line.
    """
    pipe = Pipe(file, encoding)
    begin = [next(pipe, b"")]
    while begin[-1] and not begin[-1].strip():
        begin.append(next(pipe, b""))
    first = begin[-1]
    codec = "utf-8" if pipe.wide else encoding  # the pipe decodes wide encodings itself
    require_text(first, codec, NAME)
    head = "".join(Lines(iter([first]), NAME, codec, True)).rstrip("\r\n")
    source = SentenceSource(Path(NAME), "", encoding=codec, labelled=False)
    source = _laid_out(SentenceStart(source, [head], like=like))
    lines = Lines(chain(begin, pipe), NAME, codec, False)
    return read_sentences_from(lines, source), lambda: pipe.waiting


def read_sentences_from(
    lines: Lines, source: SentenceSource, skipped: Skipped | None = None
) -> Iterator[Sentence]:
    """The sentences of ``lines``; the other arguments and the errors are those of `read_sentences`."""
    parse = sentence_format(source.format).parse
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
                if parse is None:
                    words += [(word, None) for word in text.split()]
                elif (word := parse(text, len(words), source)) is not None:
                    words.append(word)
                if len(words) > MOST_WORDS:
                    what = f"the sentence has more than {MOST_WORDS:,} words"
                    raise DataError(what, hint="a blank line must part sentences")
            except DataError as error:
                fault = fault or DataError(error.what, where=source.path, row=number, hint=error.hint)
                if not source.skip_bad_rows:
                    raise fault from None
            first = first or number if words else 0
            if parse is not None:
                continue
        count = number if parse is None else count + (fault is not None or bool(words))
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
