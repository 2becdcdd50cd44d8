"""Texts from a pipe, answered as they flow: JSON lines, CSV like the training file, or a text a line."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from recurra.config import DataConfig, updated
from recurra.errors import DataError
from recurra.io.encoding import ascii_compatible, check_encoding
from recurra.io.files import ROW_LIMIT, Lines, damaged, not_text, undecodable
from recurra.io.formats import delimited, jsonl, plain, table
from recurra.io.formats.columns import find_text, study
from recurra.io.formats.dialect import parse_sample
from recurra.io.formats.table import Record, Refuse
from recurra.io.source import Rows, Skipped, Source

__all__ = ["NAME", "Pipe", "read_stream"]

NAME = "standard input"
"""What messages call it."""
_BLOCK = 1 << 16


def read_stream(
    file: BinaryIO, like: Source | None, config: DataConfig, skipped: Skipped | None = None
) -> Iterator[Rows]:
    """Rows without labels from a binary stream, in constant memory.

    A chunk goes out as soon as the stream has no whole line left, so that a program on the other end
    of a pipe is answered line by line. If the first character is ``{`` the lines are JSON objects; if
    the first line is a header with the text columns (``like``'s, or ``config.text``) it is a CSV or
    TSV; else each line is a text, blank ones too.

    Args:
        file: for example ``sys.stdin.buffer``.
        like: the training source.
        config: ``text``, ``encoding``, ``delimiter`` and ``skip_bad_rows`` count here.
        skipped: counts the broken rows that ``skip_bad_rows`` leaves out.

    Raises:
        DataError: a broken row, bytes that are not in the encoding, or something that is not text.
    """
    pipe = Pipe(file, config.encoding)
    first = next(pipe, None)
    if first is None:
        return
    if pipe.wide:  # decoded on the way
        config = updated(config, {"encoding": "utf-8"})
    binary = not_text(first, config.encoding)
    if binary is not None:
        raise DataError(binary[0], where=NAME, hint=binary[1])
    lines = Lines(chain([first], pipe), NAME, config.encoding, config.skip_bad_rows)
    head = Lines(iter([first]), NAME, config.encoding, True)
    source = _source("".join(head), like, config)
    refuse = table.refuser(source, skipped)
    if source.format == "lines":
        found = plain.records(source, refuse, lines)
    elif source.format == "jsonl":
        taken = {like.label} if like is not None and like.label is not None else set()
        found = _json_records(source, taken, lines, refuse)
    else:
        found = table.records(source, delimited.cells(source, source.text, refuse, lines), refuse)
    yield from table.chunks(found, lambda: not pipe.waiting)


def _json_records(source: Source, taken: set[str], lines: Lines, refuse: Refuse) -> Iterator[Record]:
    """Records of JSON objects; the first whole one says where the text is, if it isn't known or there."""
    known = False
    for number, found in jsonl.objects(lines):
        if isinstance(found, DataError):
            refuse(number, found)
            continue
        if not known and not (source.text and set(source.text) <= set(found)):
            text = find_text(study(tuple(found), [list(found.values())]), True, taken)
            if not text:
                hint = f"there are {', '.join(found) or 'no keys'}: choose with --set data.text='[NAME]'"
                raise DataError("no text is found", where=NAME, row=number, hint=hint)
            source = replace(source, text=text)
        known = True
        values = [found.get(name, table.MISSING) for name in source.text]
        yield from table.records(source, [(number, values)], refuse)


class Pipe:
    """Whole lines of bytes as they arrive; ``waiting`` says whether one is there already."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._encoding = encoding
        self.wide = not ascii_compatible(check_encoding(encoding))
        self._decoder = codecs.getincrementaldecoder(encoding)() if self.wide else None
        self._read = getattr(file, "read1", file.read)  # read1 gives what is there, read waits for all
        self._lines: deque[bytes] = deque()
        self._rest: list[bytes] = []
        self._size = 0

    @property
    def waiting(self) -> bool:
        """Whether a whole line is there already."""
        return bool(self._lines)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._lines:
            with damaged(NAME):
                block = self._read(_BLOCK)
            if self._decoder is not None and block:
                # UTF-16 and its like: newlines can't be found in the bytes.
                try:
                    block = self._decoder.decode(block).encode("utf-8", "replace")
                except UnicodeError as error:
                    raise undecodable(NAME, None, self._encoding, block, error) from None
                if not block:
                    continue
            if not block:
                if not self._rest:
                    raise StopIteration
                self._lines.append(b"".join(self._rest))
                self._rest, self._size = [], 0
                break
            *whole, rest = block.split(b"\n")
            if whole:
                self._lines.append(b"".join([*self._rest, whole[0], b"\n"]))
                self._lines.extend(line + b"\n" for line in whole[1:])
                self._rest, self._size = [], 0
            if rest:
                self._rest.append(rest)
                self._size += len(rest)
            if self._size > ROW_LIMIT:
                self._lines.append(b"".join(self._rest))  # refused by its length
                self._rest, self._size = [], 0
        return self._lines.popleft()


def _source(first: str, like: Source | None, config: DataConfig) -> Source:
    """What the stream is, by its first line."""
    wanted = tuple(config.text or (like.text if like is not None else ()))
    base = Source(
        Path(NAME),
        "lines",
        encoding=config.encoding,
        columns=("text",),
        text=("text",),
        skip_bad_rows=config.skip_bad_rows,
    )
    if first.lstrip("\ufeff \t\r\n").startswith("{"):
        return replace(base, format="jsonl", text=wanted, columns=wanted)
    delimiter = config.delimiter or (like.delimiter if like is not None else None)
    for candidate in (delimiter,) if delimiter else (",", "\t"):
        rows = parse_sample([first], True, candidate, True)
        names = tuple(cell.strip().lstrip("\ufeff") for cell in rows[0]) if rows else ()
        if wanted and set(wanted) <= set(names):
            kind = "tsv" if candidate == "\t" else "csv"
            quoted = like.quoted if like is not None and like.delimiter == candidate else True
            return replace(
                base,
                format=kind,
                delimiter=candidate,
                header=True,
                columns=names,
                text=wanted,
                quoted=quoted,
            )
    return base
