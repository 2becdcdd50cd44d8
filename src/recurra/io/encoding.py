"""Which encoding bytes are probably in, when they are not in the one that was expected."""

from __future__ import annotations

import codecs

from recurra.errors import ConfigError

__all__ = ["ascii_compatible", "check_encoding", "guess_encoding"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def check_encoding(name: str) -> str:
    """``name``, if Python knows it as an encoding of text; UTF-8 always takes a leading BOM off.

    Raises:
        ConfigError: there is no such encoding.
    """
    try:
        b"a".decode(name)
    except UnicodeError:  # a real encoding that a single byte does not satisfy (utf-16)
        pass
    except LookupError:
        raise ConfigError(
            f"setting data.encoding = {name!r}: there is no such encoding",
            hint="use for example utf-8, utf-16, gb18030 or cp1252",
        ) from None
    return "utf-8-sig" if codecs.lookup(name).name == "utf-8" else name


def ascii_compatible(name: str) -> bool:
    """Whether a newline is the byte 10 in this encoding and nothing else is."""
    try:
        return b'\n,"a'.decode(name) == '\n,"a'
    except UnicodeError:
        return False


def guess_encoding(sample: bytes) -> str | None:
    """The likely encoding of bytes, or None where they don't look like text.

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
        # In a Chinese text nearly every character is in the old, small set GB 2312; in a Western
        # text read as GB 18030 an accented letter swallows the next one and gives a rare character.
        common = sum(_in_gb2312(c) for c in foreign)
        if foreign and common >= 0.7 * len(foreign):
            return "gb18030"
    return "cp1252" if _decodes(sample, "cp1252") is not None else "latin-1"


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a BOM has a zero in every other byte of Western text."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) / 2
    if odd > 0.4 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.4 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None


def _decodes(sample: bytes, name: str) -> str | None:
    try:  # not final: the sample may end within a character
        return codecs.getincrementaldecoder(name)().decode(sample, False)
    except UnicodeDecodeError:
        return None


def _in_gb2312(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True
