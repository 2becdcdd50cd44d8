"""Texts from a stream such as standard input: each is passed on as soon as its line is complete."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from recurra.config import DataConfig
from recurra.io.detect import detect_stream
from recurra.io.files import (
    ROW_LIMIT,
    Lines,
    ascii_compatible,
    check_encoding,
    damaged,
    require_text,
    undecodable,
)
from recurra.io.formats.reading import chunks, records_of, refuser
from recurra.io.formats.spec import Rows, Skipped, Source

__all__ = ["NAME", "Pipe", "read_stream"]

NAME = "standard input"
"""Its name in messages."""
_BLOCK = 1 << 16


def read_stream(
    file: BinaryIO,
    like: Source | None,
    config: DataConfig,
    skipped: Skipped | None = None,
    *,
    keep: bool = False,
) -> Iterator[Rows]:
    """Rows without labels from a binary stream, in constant memory; if ``keep``, with their cells.

    A chunk ends as soon as the stream has no further complete line, so that a program at the other end of a
    pipe gets its answers line by line. The format is detected from the first line: a line that begins with
    ``{`` starts JSON lines; a header with the text columns (those of ``config.text``, or of ``like``) starts
    a CSV or TSV; ``__label__`` starts fastText lines, whose labels are not read; otherwise each line is a
    text, blank ones included. ``skipped`` counts the broken rows that ``skip_bad_rows`` leaves out.

    Raises:
        DataError: a broken row, bytes that are not in the encoding, or something that is not text.
    """
    pipe = Pipe(file, config.encoding)
    first = next(pipe, None)
    if first is None:
        return
    encoding = "utf-8" if pipe.wide else config.encoding  # the pipe decodes wide encodings itself
    require_text(first, encoding, NAME)
    source = Source(Path(NAME), "", encoding=encoding, skip_bad_rows=config.skip_bad_rows)
    head = "".join(Lines(iter([first]), NAME, encoding, True))
    format, start = detect_stream(head, source, config, like)
    lines = Lines(chain([first], pipe), NAME, encoding, config.skip_bad_rows)
    refuse = refuser(source, skipped)
    if format.stream is not None:
        rows = format.stream(start, lines, refuse)
        if not keep:
            rows = (row._replace(cells=None) for row in rows)
    else:
        rows = records_of(format.layout(start), refuse, lines, keep=keep)
    yield from chunks(rows, lambda: not pipe.waiting)


class Pipe:
    """The complete lines of a stream of bytes, as they arrive."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._encoding = encoding
        self.wide = not ascii_compatible(check_encoding(encoding))
        self._decoder = codecs.getincrementaldecoder(encoding)() if self.wide else None
        self._read = getattr(file, "read1", file.read)  # read1 returns what is there, read waits for all
        self._lines: deque[bytes] = deque()
        self._rest: list[bytes] = []

    @property
    def waiting(self) -> bool:
        """Whether a complete line has arrived that was not read yet."""
        return bool(self._lines)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._lines:
            with damaged(NAME):
                block = data = self._read(_BLOCK)
            if not block and not self._rest:
                raise StopIteration
            if self._decoder is not None and block:
                # In UTF-16 and similar encodings newlines can't be found in the bytes.
                try:
                    data = self._decoder.decode(block).encode("utf-8", "replace")
                except UnicodeError as error:
                    raise undecodable(NAME, None, self._encoding, block, error) from None
            *whole, rest = data.split(b"\n")
            if whole:
                whole[0] = b"".join([*self._rest, whole[0]])
                self._lines.extend(line + b"\n" for line in whole)
                self._rest = []
            if rest:
                self._rest.append(rest)
            if not block or sum(map(len, self._rest)) > ROW_LIMIT:  # a line too long is refused by its reader
                self._lines.append(b"".join(self._rest))
                self._rest = []
        return self._lines.popleft()
