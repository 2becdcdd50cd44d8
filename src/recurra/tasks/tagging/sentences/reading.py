"""Sentences of any format, one by one, in constant memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from recurra.errors import DataError
from recurra.io.files import FileLines, Lines, not_text
from recurra.io.formats import Skipped
from recurra.io.stream import NAME, Pipe
from recurra.tasks.tagging.sentences.columns import find_columns, parse_cells
from recurra.tasks.tagging.sentences.conllu import looks_like_conllu, parse_word
from recurra.tasks.tagging.sentences.source import Sentence, SentenceSource

__all__ = ["read_sentence_stream", "read_sentences", "read_sentences_from"]

MOST_WORDS = 5_000
"""Words of the longest sentence that is read: more is a file without blank lines between sentences."""


def read_sentences(source: SentenceSource, skipped: Skipped | None = None) -> Iterator[Sentence]:
    """The sentences of a file.

    Args:
        source: what `detect_sentences` found.
        skipped: counts the broken sentences that ``source.skip_bad_rows`` leaves out.

    Raises:
        DataError: a broken line (unless left out), with its number; a file that is cut off or not in its
            encoding; or not one sentence.
    """
    lines = FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    return read_sentences_from(lines, source, skipped)


def read_sentence_stream(
    file: BinaryIO, like: SentenceSource | None, encoding: str
) -> tuple[Iterator[Sentence], Callable[[], bool]]:
    """Sentences of words from a binary stream, and whether more stands ready there.

    The first line tells the format: CoNLL-U by its comment or columns, columns if it has those of ``like``,
    else each line is a sentence.

    Args:
        file: for example ``sys.stdin.buffer``.
        like: the training file's layout.
        encoding: of its bytes.

    Raises:
        DataError: something that is not text, bytes that are not in the encoding, or a broken line.
    """
    pipe = Pipe(file, encoding)
    first = next(pipe, b"")
    codec = "utf-8" if pipe.wide else encoding  # decoded on the way
    binary = not_text(first, codec)
    if binary is not None:
        raise DataError(binary[0], where=NAME, hint=binary[1])
    source = SentenceSource(Path(NAME), "lines", encoding=codec, labelled=False)
    head = "".join(Lines(iter([first]), NAME, codec, True)).rstrip("\r\n")
    if looks_like_conllu([head]) or (head.startswith("# ") and like is not None and like.format == "conllu"):
        source = replace(source, format="conllu")
    elif like is not None and like.format == "columns" and find_columns([head]) == (like.columns, like.tabs):
        source = replace(source, format="columns", columns=like.columns, tabs=like.tabs)
    lines = Lines(chain([first], pipe), NAME, codec, False)
    return read_sentences_from(lines, source), lambda: pipe.waiting


def read_sentences_from(
    lines: Lines, source: SentenceSource, skipped: Skipped | None = None
) -> Iterator[Sentence]:
    """The sentences of lines from wherever they come; arguments and errors are those of `read_sentences`."""
    number = found = 0
    words: list[tuple[str, str | None]] = []
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
        lines.row = number + 1  # of the next, should it be undecodable
        try:
            complaint = lines.take_fault()
            if complaint is not None:
                raise complaint
            text = line.rstrip("\r\n")
            if not text.strip():
                for sentence in finished():
                    found += 1
                    yield sentence
                continue
            if source.format == "lines":
                some = text.split()
                _check_length(len(some))
                found += 1
                yield Sentence(tuple(some), None, number)
                continue
            word = _parse(text, len(words), source)
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
        found += 1
        yield sentence
    if not found and source.labelled:
        raise DataError("there are no sentences", where=source.path, hint="give a file with tagged words")


def _parse(text: str, words: int, source: SentenceSource) -> tuple[str, str | None] | None:
    if source.format == "conllu":
        return parse_word(text, words, source.column, source.labelled)
    return parse_cells(text, words, source.columns, source.tabs, source.labelled)


def _check_length(words: int) -> None:
    if words > MOST_WORDS:
        raise DataError(
            f"the sentence has more than {MOST_WORDS:,} words", hint="a blank line must part sentences"
        )


def _sentence(words: list[tuple[str, str | None]], row: int) -> Sentence:
    tags = tuple(tag for _, tag in words if tag is not None)
    # The same word again and again is one string in memory.
    texts = tuple(sys.intern(word) for word, _ in words)
    return Sentence(texts, tuple(map(sys.intern, tags)) if len(tags) == len(words) else None, row)


def _placed(error: DataError, source: SentenceSource, row: int) -> DataError:
    return DataError(error.what, where=source.path, row=row, hint=error.hint)
