"""What a data file is: its format, its columns, and which of them hold the text, the label and the group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.files import Head, check_encoding, look, require_text
from recurra.io.formats.columns import Column, find_label, find_other_texts, find_separator, find_text, study
from recurra.io.formats.reading import cells_of, refuser
from recurra.io.formats.spec import Format, Request, Source, Start, format_named, formats

__all__ = ["detect", "detect_stream"]

_SAMPLE_ROWS = 1_000
_DEEP_ROWS = 50_000
_SAMPLE_CHARACTERS = 4_000_000


def detect(path: Path, config: DataConfig, *, labelled: bool = True, like: Source | None = None) -> Source:
    """Detects the format and the columns of a file or folder.

    What ``config`` does not set is detected. If ``labelled`` is False (prediction), no label column is
    required or read. The file should have the columns of ``like``, the training source, by name or by
    position.

    Raises:
        DataError: the file is missing, empty, binary, or has no column for the text or the label.
        ConfigError: there is no such encoding.
    """
    path = Path(path)
    check_encoding(config.encoding)
    source = Source(path, "", encoding=config.encoding, skip_bad_rows=config.skip_bad_rows)
    request = _request(config, labelled, like)
    named = None if config.format == "auto" else format_named(config.format)
    if path.is_dir():
        start = Start(source, request)
        format = _folder_format(start, named)
    else:
        head = look(path, tuple(magic for each in formats() for magic in each.first_bytes))
        source = replace(source, gzip=head.gzip)
        name = path.name.lower().removesuffix(".gz")
        suffixes = (suffix for each in formats() for suffix in each.suffixes if name.endswith(suffix))
        start = Start(source, request, complete=head.complete, suffix=next(suffixes, ""))
        binary = _binary_format(start, head, named)
        if binary is None:
            start = replace(start, text=head.data.decode(check_encoding(config.encoding), "replace"))
        format = binary or _text_format(start, head, named)
    if named is not None and request.delimiter is None:
        request = replace(request, delimiter=named.delimiter)
    source = format.layout(replace(start, source=replace(source, format=format.name), request=request))
    if format.cells is None:
        return source
    return _choose(source, request, may_split=config.label_kind in ("auto", "multilabel"))


def detect_stream(
    first: str, source: Source, config: DataConfig, like: Source | None
) -> tuple[Format, Start]:
    """The format of a stream of texts, by its first line, and ``text`` and ``delimiter`` of ``config``."""
    start = Start(source, _request(config, False, like), first, complete=False, streamed=True)
    format = _text_like(start)
    return format, replace(start, source=replace(source, format=format.name))


def _request(config: DataConfig, labelled: bool, like: Source | None) -> Request:
    names = {"label", "group", "label_separator", "header", "delimiter", "sheet"}
    return Request(labelled, like, tuple(config.text or ()), **config.model_dump(include=names))


def _folder_format(start: Start, named: Format | None) -> Format:
    if named is not None and not named.is_folder:
        raise DataError(f"is a folder, not a {named.name} file", where=start.source.path)
    return named or next(each for each in formats() if each.is_folder and each.matches(start))


def _binary_format(start: Start, head: Head, named: Format | None) -> Format | None:
    """The format whose first bytes the file has; None if it is to be read as text."""
    path = start.source.path
    for each in formats():
        if head.data.startswith(each.first_bytes) and (each.sniff is None or each.sniff(start)):
            if named is not None and named is not each:
                hint = "leave data.format out"
                raise DataError(f"is {each.title}, not {named.name}", where=path, hint=hint)
            return each
    expected = named or next((each for each in formats() if start.suffix in each.suffixes), None)
    if expected is not None and expected.magic:
        raise DataError(f"is not a {expected.title} file", where=path, hint="copy or download it again")
    return None


def _text_format(start: Start, head: Head, named: Format | None) -> Format:
    path = start.source.path
    require_text(head.data, start.source.encoding, path)
    if named is not None:
        if named.is_folder:
            raise DataError("is a file, not a folder a class", where=path)
        return named
    if start.request.labelled and path.name.lower().removesuffix(".gz").endswith(".conllu"):
        what = "holds tagged sentences, not texts with labels"
        raise DataError(what, where=path, hint="learn from it with --task tag")
    return _text_like(start)


def _text_like(start: Start) -> Format:
    # CSV matches every text with labels, and one text a line matches every text without.
    return next(each for each in formats() if each.is_text and each.matches(start))


def _choose(source: Source, request: Request, may_split: bool) -> Source:
    """``source`` with its text, label and group columns: as the user set them, as in training, or detected.

    ``may_split`` is whether a cell of the label column may hold several labels.

    Raises:
        DataError: a requested column is absent, none is found, or no row is whole.
    """
    labelled, like = request.labelled, request.like
    text = _named(source, request.text, like, "text")
    label = _named(source, (request.label,), like, "label", labelled)
    # The group decides the validation split, so that only a training file must have it.
    group = _named(source, (request.group,), like, "group", labelled and like is None)
    if like is not None:
        text = text or _as_in(like, source, like.text, "text")
        if labelled and like.label is not None:
            label = label or _as_in(like, source, (like.label,), "label")
    if not labelled and not label and like is not None and like.label in source.columns:
        label = (like.label,)
    columns: Sequence[Column] = ()
    if not text or (labelled and not (label and (request.label_separator or like))):
        columns = study(source.columns, _sample(source, _SAMPLE_ROWS))
    if not label and len(source.columns) > 1:
        label = _label(source, columns, {*text, *group}, bool(text))
    if not text:
        text = find_text(columns, source.header is not False, {*label, *group})
    if not text:
        raise _no_column(source, "text", labelled)
    if labelled and not label:
        raise _no_column(source, "label", labelled)
    chosen = label[0] if labelled else None
    separator = request.label_separator or (like.label_separator if like else None)
    if chosen and not separator and not like and may_split:
        separator = find_separator(columns[source.columns.index(chosen)])
    found = not request.text and like is None
    others = (
        find_other_texts(columns, {*text, *label, *group}) if found and source.header is not False else ()
    )
    if others:
        names = ", ".join(name for name in source.columns if name in (*text, *others))
        looks = f"{' and '.join(others)} {'looks' if len(others) == 1 else 'look'} like text too"
        source = replace(source, notes=(*source.notes, f"{looks}: --set data.text='[{names}]' reads it"))
    return replace(
        source,
        text=text,
        label=chosen,
        group=group[0] if group else None,
        label_separator=separator if chosen else None,
    )


def _label(source: Source, columns: Sequence[Column], taken: set[str], has_text: bool) -> tuple[str, ...]:
    """The label column; the text column is set aside first, so that short texts are not taken for labels."""
    header = source.header is not False
    text = () if has_text else find_text(columns, header, taken)[-1:]
    label = find_label(columns, {*taken, *text}, header)
    if label is not None and len(columns[source.columns.index(label)].values) < 2:
        # This may be the head of a file sorted by class: more of it is read before choosing by values.
        deep = study(source.columns, _sample(source, _DEEP_ROWS))
        label = find_label(deep, {*taken, *text}, header)
    return (label,) if label is not None else ()


def _sample(source: Source, rows: int) -> Iterator[Sequence[Any]]:
    """The cells of the first whole rows; if no row is whole, the error of the first is raised."""
    count = size = 0
    lenient = replace(source, skip_bad_rows=True)
    for _, row in cells_of(lenient, source.columns, refuser(lenient, None)):
        yield row
        count += 1
        size += sum(len(cell) for cell in row if isinstance(cell, str))
        if count >= rows or size >= _SAMPLE_CHARACTERS * (1 + rows // _SAMPLE_ROWS):
            return
    if count == 0:
        for _ in cells_of(replace(source, skip_bad_rows=False), source.columns, refuser(source, None)):
            pass
        raise DataError("there are no rows", where=source.path, hint="give a file with rows")


def _named(
    source: Source, names: Sequence[str | None], like: Source | None, role: str, must: bool = True
) -> tuple[str, ...]:
    """The columns that the user named, under their names in this file."""
    columns = []
    for name in filter(None, names):
        if name in source.columns:
            columns.append(name)
        elif like is not None and name in like.columns and _same_shape(like, source):
            columns.append(source.columns[like.columns.index(name)])
        elif must:
            hint = _there_are(source, f"data.{role}")
            parts = [part.strip() for part in name.split(",")]
            if role == "text" and set(parts) <= set(source.columns):
                hint = f"for several columns write --set data.text='[{', '.join(parts)}]'"
            raise DataError(f"there is no column {name!r}", where=source.path, hint=hint)
    return tuple(columns)


def _as_in(like: Source, source: Source, names: Sequence[str], role: str) -> tuple[str, ...]:
    """The columns of the training file, by name, or by position in a file without header."""
    if not like.columns or format_named(like.format).cells is None:
        return ()
    if all(name in source.columns for name in names):
        return tuple(names)
    if _same_shape(like, source):
        return tuple(source.columns[like.columns.index(name)] for name in names)
    if len(source.columns) == 1 and role == "text":
        return source.columns
    missing = next(name for name in names if name not in source.columns)
    what = f"there is no column {missing!r}, which the training data has as its {role}"
    raise DataError(what, where=source.path, hint=_there_are(source, f"data.{role}"))


def _same_shape(like: Source, source: Source) -> bool:
    """Whether columns can be matched by position, since one of the files has no header."""
    nameless = source.header is False or like.header is False
    return nameless and len(like.columns) == len(source.columns)


def _no_column(source: Source, role: str, labelled: bool) -> DataError:
    hint = _there_are(source, f"data.{role}")
    if (role == "label" and source.columns == source.text) or len(source.columns) == 1:
        if labelled:
            hint = "each text needs a label; --task lm learns the texts alone"
    elif role == "label":
        hint += ", or --target NAME to forecast a column of numbers"
    return DataError(f"no {role} column is found", where=source.path, hint=hint)


def _there_are(source: Source, setting: str) -> str:
    names = ", ".join(source.columns[:20]) + (", ..." if len(source.columns) > 20 else "")
    return f"there are {names}: choose with --set {setting}=NAME"
