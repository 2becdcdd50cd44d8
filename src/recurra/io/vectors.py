"""Word vectors in a file (word2vec, GloVe, fastText): streamed, and only the words that are asked for kept.

Text: a row a word, the word and then its numbers, a space between; before them a header with the number of
rows and of numbers (word2vec, fastText) or none (GloVe). A word may hold spaces, as a few of GloVe's do.
Binary (``.bin``): word2vec's, a header, then each word, a space and its numbers as little-endian float32.
Either may be gzipped. Words are compared as bytes: what is not UTF-8 matches nothing and harms nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.io.files import damaged, look, open_bytes

__all__ = ["VectorFile", "open_vectors", "read_vectors"]

Row: TypeAlias = tuple[int, bytes, bytes]
"""Its number from 1 (the header is none), the word, and its numbers as they stand in the file."""

_WIDEST = 65_536
_LONGEST_LINE = 1 << 22
_LONGEST_WORD = 1 << 14
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_FASTTEXT_MODEL = (793_712_314).to_bytes(4, "little")
_KINDS = "give word2vec, GloVe or fastText vectors (.txt, .vec or word2vec's .bin, gzipped or not)"
_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class VectorFile:
    """A file of word vectors whose first bytes were looked at.

    Attributes:
        path: the file.
        gzip: whether it is packed.
        binary: whether its numbers are bytes, not text.
        rows: how many words there are as its header says; None without one.
        width: ``E``, how many numbers a word has.
    """

    path: Path
    gzip: bool
    binary: bool
    rows: int | None
    width: int


def open_vectors(path: Path) -> VectorFile:
    """What kind of vectors lie at ``path``, from the first line.

    Raises:
        DataError: the file is missing, can't be read, or holds no word vectors.
    """
    head = look(path)
    binary = ".bin" in path.suffixes
    if head.data.startswith(_FASTTEXT_MODEL):
        raise DataError("is a fastText model, not vectors", where=path, hint="give its .vec file")
    first, newline, _ = head.data.removeprefix(_BOM).partition(b"\n")
    fields = _bare(first).split(b" ")
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        rows, width = (int(field) for field in fields)
        if not (newline and rows and 1 <= width <= _WIDEST):
            raise DataError(
                f"has no vectors: its header says {rows} words of {width}", where=path, hint=_KINDS
            )
        return VectorFile(path, head.gzip, binary, rows, width)
    width = len(fields) - 1
    if binary or not 1 <= width <= _WIDEST or _numbers(fields[1:]) is None:
        raise DataError("is not a file of word vectors", where=path, row=None if binary else 1, hint=_KINDS)
    return VectorFile(path, head.gzip, False, None, width)


def read_vectors(file: VectorFile, wanted: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors ``(E,)`` of those ``wanted`` words that the file has; the first, where it has one twice.

    The whole file is read: each row must have the file's width, and those that are kept finite numbers.

    Raises:
        DataError: a row has another width or no numbers, or the file is cut short; it says which row.
    """
    names = {word.encode("utf-8", "surrogatepass"): word for word in wanted}
    found: dict[str, NDArray[np.float32]] = {}
    rows = _binary_rows(file) if file.binary else _text_rows(file)
    number = 0
    with damaged(file.path):
        for number, word, numbers in rows:
            name = names.get(word)
            if name is None or name in found:
                continue
            if file.binary:
                vector = np.frombuffer(numbers, "<f4").astype(np.float32)
            else:
                vector = _parsed(file, number, numbers.split(b" "))
            if not np.isfinite(vector).all():
                raise DataError(
                    f"the vector of {name!r} is not finite", where=file.path, row=number, hint=_AGAIN
                )
            found[name] = vector
    if file.rows is not None and number != file.rows:
        raise DataError(
            f"is cut short: its header says {file.rows:,} words", where=file.path, row=number, hint=_AGAIN
        )
    return found


def _text_rows(file: VectorFile) -> Iterator[Row]:
    E = file.width
    number = 0
    with open_bytes(file.path, file.gzip) as stream:
        header = stream.readline(_LONGEST_LINE) if file.rows is not None else _BOM
        line = stream.readline(_LONGEST_LINE)
        if header == _BOM:
            line = line.removeprefix(_BOM)
        while line:
            bare = _bare(line)
            if bare:
                number += 1
                # Counting takes a twentieth of the time of splitting, and few rows are wanted.
                if bare.count(b" ") == E:
                    word, _, numbers = bare.partition(b" ")
                else:
                    word, numbers = _odd(file, number, bare)
                if file.rows is not None and number > file.rows:
                    raise DataError(
                        f"its header says {file.rows:,} words, and there are more",
                        where=file.path,
                        row=number,
                        hint=_AGAIN,
                    )
                yield number, word, numbers
            line = stream.readline(_LONGEST_LINE)


def _odd(file: VectorFile, number: int, line: bytes) -> tuple[bytes, bytes]:
    """The word and the numbers of a row with more or fewer spaces: the word may hold some."""
    fields = line.split(b" ")
    extra = len(fields) - 1 - file.width
    # Were the last fields of the "word" numbers, they would be numbers too many.
    if extra < 0 or _numbers(fields[extra : extra + 1]) is not None:
        width = len(fields) - 1
        raise DataError(
            f"has {width:,} numbers where the others have {file.width:,}",
            where=file.path,
            row=number,
            hint=_AGAIN,
        )
    _parsed(file, number, fields[extra + 1 :])
    return b" ".join(fields[: extra + 1]), b" ".join(fields[extra + 1 :])


def _binary_rows(file: VectorFile) -> Iterator[Row]:
    count = file.rows or 0
    size = 4 * file.width
    with open_bytes(file.path, file.gzip) as stream:
        stream.readline(_LONGEST_WORD)
        data, place = b"", 0
        for number in range(1, count + 1):
            if len(data) - place < _LONGEST_WORD + size:
                data, place = data[place:] + stream.read(_BLOCK + size), 0
            space = data.find(b" ", place, place + _LONGEST_WORD)
            if space < 0 and len(data) - place >= _LONGEST_WORD:
                raise DataError("has no word", where=file.path, row=number, hint=_KINDS)
            end = space + 1 + size
            if space < 0 or end > len(data):
                raise DataError(
                    f"is cut short: its header says {count:,} words of {file.width:,} numbers",
                    where=file.path,
                    row=number,
                    hint=_AGAIN,
                )
            # Some writers end each row with a newline, and some do not.
            yield number, data[place:space].lstrip(b"\n"), data[space + 1 : end]
            place = end
        if (data[place:] + stream.read(_LONGEST_WORD)).strip(b"\n"):
            raise DataError(
                "has more bytes than its header says: its rows have another width",
                where=file.path,
                row=count,
                hint=_AGAIN,
            )


def _bare(line: bytes) -> bytes:
    """The line without its end, and with spaces for tabs."""
    return line.rstrip(b" \t\r\n").replace(b"\t", b" ")


def _parsed(file: VectorFile, number: int, fields: list[bytes]) -> NDArray[np.float32]:
    found = _numbers(fields)
    if found is None:
        raise DataError("holds something else than numbers", where=file.path, row=number, hint=_KINDS)
    return found


def _numbers(fields: list[bytes]) -> NDArray[np.float32] | None:
    """The fields as float32, infinite where they are too large; None where one is no number."""
    try:
        with np.errstate(over="ignore"):
            return np.array([float(field) for field in fields], np.float64).astype(np.float32)
    except ValueError:
        return None
