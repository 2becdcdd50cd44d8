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

    Args:
        path: a file, gzipped or not.
        data: its encoding, and whether broken rows are left out.
        tagging: its format, unless ``auto``, and the column of the tags.
        labelled: False if only words are needed; a file may then have a plain sentence a line.
        like: the training file's source, which decides if words alone could be of several formats.

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
    source = SentenceSource(
        path,
        "",
        head.gzip,
        data.encoding,
        tagging.column,
        labelled=labelled,
        skip_bad_rows=data.skip_bad_rows,
    )
    start = SentenceStart(source, lines, path.name.lower().removesuffix(".gz"), like)
    return _laid_out(start, None if tagging.format == "auto" else tagging.format)


def _laid_out(start: SentenceStart, name: str | None = None) -> SentenceSource:
    """The source in the named format, or in the first that matches."""
    if name is None:
        name = next(name for name, format in SENTENCE_FORMATS.items() if format.sniff(start))
    return sentence_format(name).layout(replace(start, source=replace(start.source, format=name)))


def read_sentences(source: SentenceSource, skipped: Skipped | None = None) -> Iterator[Sentence]:
    """The sentences of a file.

    Args:
        source: as `detect_sentences` returns it.
        skipped: counts the broken sentences that ``source.skip_bad_rows`` leaves out.

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

    The format is detected from the first line: CoNLL-U by its comment or its columns, columns if they are
    those of ``like``; otherwise each line is a sentence.

    Args:
        file: for example ``sys.stdin.buffer``.
        like: the training file's source.
        encoding: of its bytes.

    Raises:
        DataError: something that is not text, bytes that are not in the encoding, or a broken line.
    """
    pipe = Pipe(file, encoding)
    first = next(pipe, b"")
    codec = "utf-8" if pipe.wide else encoding  # the pipe decodes wide encodings itself
    require_text(first, codec, NAME)
    head = "".join(Lines(iter([first]), NAME, codec, True)).rstrip("\r\n")
    source = SentenceSource(Path(NAME), "", encoding=codec, labelled=False)
    source = _laid_out(SentenceStart(source, [head], like=like))
    lines = Lines(chain([first], pipe), NAME, codec, False)
    return read_sentences_from(lines, source), lambda: pipe.waiting


def read_sentences_from(
    lines: Lines, source: SentenceSource, skipped: Skipped | None = None
) -> Iterator[Sentence]:
    """The sentences of ``lines``; the other arguments and the errors are those of `read_sentences`."""
    parse = sentence_format(source.format).parse
    number = count = 0
    words: list[Word] = []
    first = 0
    fault: DataError | None = None
    skipped = skipped if skipped is not None else Skipped()

    def finished() -> Iterator[Sentence]:
        nonlocal fault, words
        if fault is not None:
            skipped.add(f"row {fault.row}: {fault.what}")
        elif words:
            yield _sentence(words, first)
        words, fault = [], None

    for line in lines:
        number += 1
        lines.row = number + 1  # the row of the next line, in case it can't be decoded
        try:
            undecodable = lines.take_fault()
            if undecodable is not None:
                raise undecodable
            text = line.rstrip("\r\n")
            if not text.strip():
                for sentence in finished():
                    count += 1
                    yield sentence
                continue
            if parse is None:
                plain = text.split()
                _check_length(len(plain))
                count += 1
                yield Sentence(tuple(plain), None, number)
                continue
            word = parse(text, len(words), source)
            _check_length(len(words) + 1)
        except DataError as error:
            if not source.skip_bad_rows:
                raise _placed(error, source, number) from None
            fault = fault or _placed(error, source, number)
            continue
        if word is not None and fault is None:
            first = first if words else number
            words.append(word)
    for sentence in finished():
        count += 1
        yield sentence
    if not count and source.labelled:
        raise DataError("there are no sentences", where=source.path, hint="give a file with tagged words")


def _check_length(words: int) -> None:
    if words > MOST_WORDS:
        raise DataError(
            f"the sentence has more than {MOST_WORDS:,} words", hint="a blank line must part sentences"
        )


def _sentence(words: list[Word], row: int) -> Sentence:
    tags = tuple(tag for _, tag in words if tag is not None)
    # A word that occurs often is one string in memory.
    texts = tuple(sys.intern(word) for word, _ in words)
    return Sentence(texts, tuple(map(sys.intern, tags)) if len(tags) == len(words) else None, row)


def _placed(error: DataError, source: SentenceSource, row: int) -> DataError:
    return DataError(error.what, where=source.path, row=row, hint=error.hint)
