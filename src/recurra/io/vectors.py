"""Word vectors in a file (word2vec, GloVe, fastText), read as a stream; only the wanted words are kept.

Text: a row for each word, the word and its numbers separated by spaces, after a header with the number of
rows and of numbers (word2vec, fastText) or without one (GloVe). A word may contain spaces, as in GloVe.
Binary (``.bin``, word2vec): a header, then each word, a space and its numbers as little-endian float32.
Both may be gzipped. Words are compared as bytes, so that a word that is not UTF-8 matches no other.
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
"""The number of the row (from 1, without the header), the word, and its numbers as in the file."""

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
    """A file of word vectors, as its first line describes it.

    Its numbers may be ``binary``. ``rows`` is the number of words in its header, None without a header;
    ``width`` is ``E``, the number of numbers of a word.
    """

    path: Path
    gzip: bool
    binary: bool
    rows: int | None
    width: int


def _broken(file: VectorFile, row: int, what: str, hint: str = _AGAIN) -> DataError:
    return DataError(what, where=file.path, row=row, hint=hint)


def open_vectors(path: Path) -> VectorFile:
    """Returns the kind of the vectors at ``path``, detected from the first line.

    Raises:
        DataError: the file is missing, can't be read, or has no word vectors.
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
            what = f"has no vectors: its header says {rows} words of {width}"
            raise DataError(what, where=path, hint=_KINDS)
        return VectorFile(path, head.gzip, binary, rows, width)
    width = len(fields) - 1
    if binary or not 1 <= width <= _WIDEST or _numbers(fields[1:]) is None:
        raise DataError("is not a file of word vectors", where=path, row=None if binary else 1, hint=_KINDS)
    return VectorFile(path, head.gzip, False, None, width)


def read_vectors(file: VectorFile, wanted: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """Returns the vectors ``(E,)`` of the ``wanted`` words that the file has; the first of a repeated word.

    The whole file is read. Each row must have the file's width, and the vectors that are returned are finite.

    Raises:
        DataError: a row has another width or no numbers, or the file is cut short; the row is named.
    """
    names = {word.encode("utf-8", "surrogatepass"): word for word in wanted}
    vectors: dict[str, NDArray[np.float32]] = {}
    rows = _binary_rows(file) if file.binary else _text_rows(file)
    number = 0
    with damaged(file.path):
        for number, word, numbers in rows:
            name = names.get(word)
            if name is None or name in vectors:
                continue
            if file.binary:
                vector = np.frombuffer(numbers, "<f4").astype(np.float32)
            else:
                vector = _parsed(file, number, numbers.split(b" "))
            if not np.isfinite(vector).all():
                raise _broken(file, number, f"the vector of {name!r} is not finite")
            vectors[name] = vector
    if file.rows is not None and number != file.rows:
        raise _broken(file, number, f"is cut short: its header says {file.rows:,} words")
    return vectors


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
                # Counting takes a twentieth of the time of splitting, and few words are wanted.
                if bare.count(b" ") == E:
                    word, _, numbers = bare.partition(b" ")
                else:
                    word, numbers = _odd(file, number, bare)
                if file.rows is not None and number > file.rows:
                    raise _broken(file, number, f"its header says {file.rows:,} words, and there are more")
                yield number, word, numbers
            line = stream.readline(_LONGEST_LINE)


def _odd(file: VectorFile, number: int, line: bytes) -> tuple[bytes, bytes]:
    """The word and the numbers of a row with more or fewer spaces; the word may contain spaces."""
    fields = line.split(b" ")
    extra = len(fields) - 1 - file.width
    # If the last field of the "word" is a number, the row has too many numbers.
    if extra < 0 or _numbers(fields[extra : extra + 1]) is not None:
        what = f"has {len(fields) - 1:,} numbers where the others have {file.width:,}"
        raise _broken(file, number, what)
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
                raise _broken(file, number, "has no word", _KINDS)
            end = space + 1 + size
            if space < 0 or end > len(data):
                what = f"is cut short: its header says {count:,} words of {file.width:,} numbers"
                raise _broken(file, number, what)
            # Some programs end each row with a newline, others do not.
            yield number, data[place:space].lstrip(b"\n"), data[space + 1 : end]
            place = end
        if (data[place:] + stream.read(_LONGEST_WORD)).strip(b"\n"):
            raise _broken(file, count, "has more bytes than its header says: its rows have another width")


def _bare(line: bytes) -> bytes:
    """The line without its end, and with spaces instead of tabs."""
    return line.rstrip(b" \t\r\n").replace(b"\t", b" ")


def _parsed(file: VectorFile, number: int, fields: list[bytes]) -> NDArray[np.float32]:
    vector = _numbers(fields)
    if vector is None:
        raise _broken(file, number, "has something other than numbers", _KINDS)
    return vector


def _numbers(fields: list[bytes]) -> NDArray[np.float32] | None:
    """The fields as float32, infinite if they are too large; None if one is not a number."""
    try:
        with np.errstate(over="ignore"):
            return np.array([float(field) for field in fields], np.float64).astype(np.float32)
    except ValueError:
        return None
