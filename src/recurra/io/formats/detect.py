"""What a data file is: its format, its columns, which of them hold the text and the label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.encoding import check_encoding
from recurra.io.files import FileLines, Head, look, not_text
from recurra.io.formats import folder, jsonl, parquet
from recurra.io.formats.choose import choose
from recurra.io.formats.dialect import find_dialect, has_header, parse_sample
from recurra.io.formats.fasttext import PREFIX
from recurra.io.source import Source

__all__ = ["detect"]

_SAMPLE_LINES = 1_000
_SAMPLE_CHARACTERS = 2_000_000
_TABLES = ("csv", "tsv")


def detect(path: Path, config: DataConfig, *, labelled: bool = True, like: Source | None = None) -> Source:
    """What the file or folder at ``path`` is.

    Args:
        path: a file in any of the formats, gzipped or not, or a folder a class.
        config: what the user set; everything left at None is found.
        labelled: False where only texts are wanted (prediction): no label column is needed or read.
        like: the training source, whose columns the file should have, by name or by position.

    Raises:
        DataError: the file is missing, empty, binary, or has no column for the text or the label.
        ConfigError: there is no such encoding.
    """
    path = Path(path)
    check_encoding(config.encoding)
    if path.is_dir():
        if config.format not in ("auto", "folder"):
            raise DataError(f"is a folder, not a {config.format} file", where=path)
        return folder.find(path, config, labelled)
    head = look(path)
    kind = _format(path, head, config, labelled, like)
    source = Source(path, kind, head.gzip, config.encoding, skip_bad_rows=config.skip_bad_rows)
    if kind == "parquet":
        source = replace(source, columns=parquet.columns(path, head.gzip), encoding="utf-8")
        return choose(source, config, labelled, like)
    if kind == "folder":
        raise DataError("is a file, not a folder a class", where=path)
    if kind in ("fasttext", "lines") and labelled and config.group is not None and like is None:
        raise DataError(f"there is no column {config.group!r} in lines of text", where=path)
    if kind == "fasttext":
        label = "label" if labelled else None
        return replace(source, text=("text",), label=label, columns=("label", "text"))
    if kind == "lines":
        return replace(source, text=("text",), columns=("text",))
    if kind == "jsonl":
        return choose(replace(source, columns=_keys(source)), config, labelled, like)
    return choose(_table(source, config, like), config, labelled, like)


def _format(path: Path, head: Head, config: DataConfig, labelled: bool, like: Source | None) -> str:
    if head.data.startswith(b"PAR1"):
        if config.format not in ("auto", "parquet"):
            raise DataError(f"is Parquet, not {config.format}", where=path, hint="leave data.format out")
        return "parquet"
    name = path.name.lower().removesuffix(".gz")
    if config.format == "parquet" or (config.format == "auto" and name.endswith(".parquet")):
        raise DataError("is not a Parquet file", where=path, hint="copy or download it again")
    binary = not_text(head.data, config.encoding)
    if binary is not None:
        raise DataError(binary[0], where=path, hint=binary[1])
    if config.format != "auto":
        return config.format
    if labelled and name.endswith(".conllu"):
        raise DataError(
            "holds tagged sentences, not texts with labels", where=path, hint="learn from it with --task tag"
        )
    text = head.data.decode(check_encoding(config.encoding), "replace").lstrip("\ufeff \t\r\n")
    if text.startswith(PREFIX):
        return "fasttext"
    if text.startswith("{") or name.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl"
    if name.endswith(".tsv"):
        return "tsv"
    if name.endswith(".csv"):
        return "csv"
    if not labelled:
        # A plain list of texts has commas too: only a table like the training one is a table.
        lines = text.splitlines(keepends=True)
        if like is None or not _is_table_like(like, lines, head.complete):
            return "lines"
    return "tsv" if "\t" in text.split("\n", 1)[0] else "csv"


def _is_table_like(like: Source, lines: list[str], complete: bool) -> bool:
    if like.format not in _TABLES or like.delimiter is None:
        return False
    rows = parse_sample(lines, complete, like.delimiter, like.quoted)
    if like.header and rows and set(like.text) <= {cell.strip() for cell in rows[0]}:
        return True
    return len(like.columns) > 1 and all(len(row) == len(like.columns) for row in rows)


def _lines(source: Source) -> FileLines:
    """Lines for a look: what can't be decoded is left to the reader, who knows the row."""
    return FileLines(source.path, source.gzip, source.encoding, forgiving=True)


def _keys(source: Source) -> tuple[str, ...]:
    """All keys of the first objects, in order of appearance."""
    keys: dict[str, None] = {}
    first: DataError | None = None
    for _, found in islice(jsonl.objects(_lines(source)), 100):
        if isinstance(found, DataError):
            first = first or found
        else:
            keys.update(dict.fromkeys(found))
    if not keys:
        raise first or DataError("there are no objects with keys", where=source.path)
    return tuple(keys)


def _table(source: Source, config: DataConfig, like: Source | None) -> Source:
    """A CSV or TSV with its delimiter, quoting, header and columns."""
    lines = list(_first(_lines(source)))
    complete = lines[-1:] == [""]
    lines = lines[:-1] if complete else lines
    preferred = "\t" if source.format == "tsv" else ","
    delimiter = config.delimiter or ("\t" if config.format == "tsv" else None)
    dialect = find_dialect(lines, complete, preferred, delimiter)
    rows = parse_sample(lines, complete, dialect.delimiter, dialect.quoted)
    if not rows:
        dialect = replace(dialect, width=1)
        rows = [[""]]
    first = [cell.strip() for cell in rows[0]]
    header = config.header
    if header is None:
        wanted = like.text if like is not None and like.header else tuple(config.text or ())
        wanted = tuple(name for name in wanted if not name.isdigit())
        named = bool(wanted) and set(wanted) <= set(first)
        header = named or has_header(rows)
    if header and len(set(first)) < len(first):
        twice = next(name for name in first if first.count(name) > 1)
        raise DataError(f"the header names {twice!r} twice", where=source.path)
    columns = tuple(first) if header else tuple(str(i) for i in range(dialect.width))
    return replace(
        source,
        format="tsv" if dialect.delimiter == "\t" else "csv",
        delimiter=dialect.delimiter,
        quoted=dialect.quoted,
        header=header,
        columns=columns,
    )


def _first(lines: FileLines) -> Iterator[str]:
    """The first lines, then "" if that is the whole file."""
    size = 0
    for number, line in enumerate(lines):
        if number >= _SAMPLE_LINES or size > _SAMPLE_CHARACTERS:
            return
        size += len(line)
        yield line
    yield ""
