"""Sentences of any format, one by one, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator

from recurra.errors import DataError
from recurra.text.files import FileLines, Lines
from recurra.text.sentences.columns import parse_cells
from recurra.text.sentences.conllu import parse_word
from recurra.text.sentences.source import Sentence, SentenceSource
from recurra.text.source import Skipped

__all__ = ["read_sentences", "read_sentences_from"]


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
                found += 1
                yield Sentence(tuple(text.split()), None, number)
                continue
            word = _parse(text, len(words), source)
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
        raise DataError("there are no sentences", where=source.path, mend="give a file with tagged words")


def _parse(text: str, words: int, source: SentenceSource) -> tuple[str, str | None] | None:
    if source.format == "conllu":
        return parse_word(text, words, source.column, source.labelled)
    return parse_cells(text, words, source.columns, source.tabs, source.labelled)


def _sentence(words: list[tuple[str, str | None]], row: int) -> Sentence:
    tags = tuple(tag for _, tag in words if tag is not None)
    return Sentence(tuple(word for word, _ in words), tags if len(tags) == len(words) else None, row)


def _placed(error: DataError, source: SentenceSource, row: int) -> DataError:
    return DataError(error.what, where=source.path, row=row, mend=error.mend)
