"""Files as bytes and as lines of text: compression, encodings, and the row of bytes that can't be decoded."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from recurra.errors import ConfigError, DataError

__all__ = [
    "ROW_LIMIT",
    "FileLines",
    "Head",
    "Lines",
    "OtherEncodingError",
    "ascii_compatible",
    "check_encoding",
    "damaged",
    "guess_encoding",
    "look",
    "open_bytes",
    "read_file",
    "require_text",
    "undecodable",
]

ROW_LIMIT = 1 << 26
"""The number of characters of the longest row that is read (64 million)."""

_HEAD = 1 << 16
_GZIP = b"\x1f\x8b"
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_BINARY = (  # (offset, magic bytes, description)
    (0, b"PK\x03\x04", "a zip archive (or an Office file)"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"BZh", "packed with bzip2"),
    (0, b"\xfd7zXZ\x00", "packed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "packed with zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"GIF8", "a picture"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"ARROW1", "an Arrow (Feather) file"),
    (0, b"\x7fELF", "a program"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office file"),
    (0, b"\x80\x04\x95", "a Python pickle"),
    (0, _GZIP, "packed with gzip twice"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GIVE = "give a CSV, TSV, JSON lines, Parquet, spreadsheet or fastText file, or a folder a class"


@dataclass(frozen=True)
class Head:
    """The first bytes of a file, uncompressed, whether these are all, and whether the file is compressed."""

    data: bytes
    complete: bool
    gzip: bool


def look(path: Path, accepted: tuple[bytes, ...] = ()) -> Head:
    """Returns the head of a regular file.

    ``accepted`` are the first bytes of binary formats that can be read.

    Raises:
        DataError: the file is missing, unreadable, empty, an archive or something else binary.
    """
    try:
        if not path.exists():
            raise DataError("there is no such file or folder", where=path, hint=_near(path))
        if not path.is_file():
            raise DataError("is not a regular file", where=path, hint="give a file, or - for standard input")
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    with open_bytes(path, packed) as stream, damaged(path):
        data = stream.read(_HEAD + 1)
    if not data.strip(b" \t\r\n\x00\xef\xbb\xbf"):
        raise DataError("the file is empty", where=path, hint="give a file with rows")
    if not data.startswith(accepted):
        _refuse_binary(data, path)
    return Head(data[:_HEAD], len(data) <= _HEAD, packed)


def open_bytes(path: Path, packed: bool) -> BinaryIO:
    """Opens a file for reading; if ``packed``, its bytes are uncompressed.

    Raises:
        DataError: the file can't be opened.
    """
    try:
        # GzipFile alone reads lines slowly, a BufferedReader around it fast.
        if packed:
            return io.BufferedReader(gzip.GzipFile(path, "rb"), 1 << 17)
        return path.open("rb", buffering=1 << 17)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_file(path: Path, encoding: str) -> str:
    """Returns a whole small file as text, without a BOM at its start.

    Raises:
        DataError: the file can't be read, is too large, or is not in ``encoding``.
    """
    with open_bytes(path, False) as stream, damaged(path):
        data = stream.read(ROW_LIMIT + 1)
    if len(data) > ROW_LIMIT:
        raise _too_long(path, None)
    try:
        return data.decode(check_encoding(encoding))
    except UnicodeError as error:
        raise undecodable(path, None, encoding, data, error) from None


class Lines:
    """Lines of text with their ends, decoded from lines of bytes.

    If ``forgiving``, a line that can't be decoded is returned with replacement characters, and the reader
    gets the error with `take_fault` once the row is complete. Otherwise the error is raised.

    Attributes:
        where: the file's path or the stream's name, for messages.
        row: the data row that is being read; the reader updates it.
    """

    def __init__(self, raw: Iterator[bytes], where: Path | str, encoding: str, forgiving: bool) -> None:
        self.where = where
        self.row = 1
        self._encoding = encoding
        self._codec = check_encoding(encoding)
        self._forgiving = forgiving
        self._fault: DataError | None = None
        self._pieces: list[str] = []
        self._raw = raw

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._pieces:
            return self._pieces.pop()
        line = self._decode(next(self._raw))
        cut = line.find("\r")
        if 0 <= cut < len(line) - 2 or line.endswith("\r"):
            # Files of old Macintosh systems end lines with a carriage return alone.
            self._pieces = _LINES.findall(line)[::-1]
            return self._pieces.pop()
        return line

    def put_back(self, line: str) -> None:
        """Makes ``line``, which was read last, the next one."""
        self._pieces.append(line)

    def take_fault(self) -> DataError | None:
        """Returns the error of the lines read since the last call, if there is one."""
        fault, self._fault = self._fault, None
        return fault

    def _decode(self, raw: bytes) -> str:
        if len(raw) > ROW_LIMIT:
            raise _too_long(self.where, self.row)
        try:
            text = raw.decode(self._codec)
        except UnicodeError as error:
            fault = undecodable(self.where, self.row, self._encoding, raw, error)
            if not self._forgiving:
                raise fault from None
            self._fault = fault
            text = raw.decode(self._codec, "replace")
        if self._codec == "utf-8-sig":
            self._codec = "utf-8"  # a BOM occurs at the start of a file only
        return text


class FileLines(Lines):
    """The lines of a file, in constant memory."""

    def __init__(self, path: Path, packed: bool, encoding: str, forgiving: bool = False) -> None:
        self._wide = not ascii_compatible(check_encoding(encoding))
        super().__init__(self._read(path, packed), path, encoding, forgiving)
        if self._wide:
            self._codec = "utf-8-sig"

    def _read(self, path: Path, packed: bool) -> Iterator[bytes]:
        with open_bytes(path, packed) as stream, damaged(path):
            if not self._wide:
                while raw := stream.readline(ROW_LIMIT + 1):
                    yield raw
                return
            # In UTF-16 and similar encodings newlines can't be found in the bytes: they are decoded first.
            with io.TextIOWrapper(stream, encoding=self._encoding, newline="\n") as text:
                try:
                    while line := text.readline(ROW_LIMIT + 1):
                        yield line.encode("utf-8", "replace")
                except UnicodeError as error:
                    sample = error.object if isinstance(error, UnicodeDecodeError) else b""
                    raise undecodable(path, self.row, self._encoding, sample, error) from None


@contextmanager
def damaged(path: Path | str) -> Iterator[None]:
    """A context in which damaged gzip data and read errors become a `DataError`."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        what = "the gzip data is cut off or damaged"
        raise DataError(what, where=path, hint="copy or download it again") from error
    except OSError as error:
        raise _unreadable(path, error) from error


class OtherEncodingError(DataError):
    """Bytes that are not in the encoding of the settings, but in another one, which the hint names."""


def undecodable(
    where: Path | str, row: int | None, encoding: str, raw: bytes, error: UnicodeError
) -> DataError:
    """Returns the error for bytes that are not in ``encoding``, with the likely encoding as its hint."""
    at = f" (byte 0x{raw[error.start]:02x})" if isinstance(error, UnicodeDecodeError) and raw else ""
    guess = guess_encoding(raw)
    if guess is None:
        return DataError("is not text", where=where, row=row, hint=_GIVE)
    hint = f"it looks like {guess}: pass --set data.encoding={guess}"
    if guess == "utf-8" and encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        hint = "fix the row, or pass --skip-bad-rows"
        return DataError(f"is not {encoding.upper()}{at}", where=where, row=row, hint=hint)
    return OtherEncodingError(f"is not {encoding.upper()}{at}", where=where, row=row, hint=hint)


def _too_long(where: Path | str, row: int | None) -> DataError:
    return DataError(f"is longer than {ROW_LIMIT:,} bytes", where=where, row=row, hint="split the text")


def _unreadable(path: Path | str, error: Exception) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"can't be read ({reason})", where=path)


def require_text(data: bytes, encoding: str, where: Path | str, hint: str = _GIVE) -> None:
    """Refuses a file or stream whose first bytes are not text.

    Raises:
        DataError: the bytes are of a binary format or of another encoding.
    """
    _refuse_binary(data, where, hint)
    if not ascii_compatible(check_encoding(encoding)):
        return
    data = data[:4096]
    wide = guess_encoding(data)
    if wide is not None and wide.startswith(("utf-16", "utf-32")):
        encoding_hint = f"it looks like {wide}: pass --set data.encoding={wide}"
        raise DataError(f"is not {encoding.upper()}", where=where, hint=encoding_hint)
    control = sum(byte < 9 or 13 < byte < 27 for byte in data)
    if len(data) >= 512 and control > 0.3 * len(data):  # a short text may consist of such characters
        raise DataError("is binary, not text", where=where, hint=hint)


def _refuse_binary(data: bytes, where: Path | str, hint: str = _GIVE) -> None:
    for offset, magic, name in _BINARY:
        if data.startswith(magic, offset):
            if "archive" in name or "packed" in name:
                hint = "unpack it and give the file or folder inside"
            raise DataError(f"is {name}", where=where, hint=hint)


def _near(path: Path) -> str | None:
    """A hint to a similar name in the same folder."""
    import difflib

    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


def check_encoding(name: str) -> str:
    """Returns the name of the codec for the encoding ``name``; that of UTF-8 removes a leading BOM.

    Raises:
        ConfigError: there is no such encoding.
    """
    try:
        b"a".decode(name)
    except UnicodeError:  # an encoding in which one byte is no text, such as utf-16
        pass
    except LookupError:
        what = f"setting data.encoding = {name!r}: there is no such encoding"
        raise ConfigError(what, hint="use for example utf-8, utf-16, gb18030 or cp1252") from None
    return "utf-8-sig" if codecs.lookup(name).name == "utf-8" else name


def ascii_compatible(name: str) -> bool:
    """Whether ASCII characters, newlines among them, are single bytes in this encoding."""
    try:
        return b'\n,"a'.decode(name) == '\n,"a'
    except UnicodeError:
        return False


def guess_encoding(sample: bytes) -> str | None:
    """Returns the likely encoding of bytes, or None if they are not text.

    Example:
        >>> guess_encoding("酒店很好".encode("gb18030")), guess_encoding("un café là".encode("cp1252"))
        ('gb18030', 'cp1252')
    """
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name
    if 0 in sample:
        return _wide(sample)
    if _decodes(sample, "utf-8") is not None:
        return "utf-8"
    chinese = _decodes(sample, "gb18030")
    if chinese is not None:
        foreign = [c for c in chinese if c > "\x7f"]
        # Nearly all characters of a Chinese text are in the small set GB 2312. In a Western text read as
        # GB 18030, an accented letter and the next one are read as one rare character.
        common = "".join(foreign).encode("gb2312", "ignore").decode("gb2312")
        if foreign and len(common) >= 0.7 * len(foreign):
            return "gb18030"
    return "cp1252" if _decodes(sample, "cp1252") is not None else "latin-1"


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a BOM, in which every other byte of Western text is zero."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) / 2
    if odd > 0.4 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None


def _decodes(sample: bytes, name: str) -> str | None:
    try:  # final=False, since the sample may end within a character
        return codecs.getincrementaldecoder(name)().decode(sample, False)
    except UnicodeDecodeError:
        return None
