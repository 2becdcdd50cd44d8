"""The columns of a table that a run uses: as the user set them, as in training, or found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.formats.columns import Column, find_label, find_separator, find_text, study
from recurra.io.formats.reading import cells
from recurra.io.formats.table import refuser
from recurra.io.source import Source

__all__ = ["choose"]

_SAMPLE_ROWS = 1_000
_DEEP_ROWS = 50_000
_SAMPLE_CHARACTERS = 4_000_000


def choose(source: Source, config: DataConfig, labelled: bool, like: Source | None) -> Source:
    """``source`` with its text, label and group columns.

    Raises:
        DataError: a column that was asked for is not there, none is found, or no row is whole.
    """
    text = _named(source, config.text, like, "text")
    label = _named(source, [config.label] if config.label else None, like, "label", labelled)[:1]
    # The group steers the validation split, so only a training file must have it.
    needs_group = labelled and like is None
    group = _named(source, [config.group] if config.group else None, like, "group", needs_group)[:1]
    if like is not None:
        text = text or _as_in(like, source, like.text, "text")
        if labelled and like.label is not None:
            label = label or _as_in(like, source, (like.label,), "label")
    if not labelled and not label and like is not None and like.label in source.columns:
        label = (like.label,)
    columns: Sequence[Column] = ()
    if not text or (labelled and not (label and (config.label_separator or like))):
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
    separator = config.label_separator or (like.label_separator if like else None)
    if chosen and not separator and not like and config.label_kind in ("auto", "multilabel"):
        separator = find_separator(columns[source.columns.index(chosen)])
    return replace(
        source,
        text=text,
        label=chosen,
        group=group[0] if group else None,
        label_separator=separator if chosen else None,
    )


def _label(source: Source, columns: Sequence[Column], taken: set[str], sure: bool) -> tuple[str, ...]:
    """The label column; the text is set aside first so that a short text is not taken for a label."""
    header = source.header is not False
    text = () if sure else find_text(columns, header, taken)[-1:]
    found = find_label(columns, {*taken, *text}, header)
    if found is not None and len(columns[source.columns.index(found)].values) < 2:
        # Perhaps the head of a file sorted by class: look at more of it before choosing by values.
        deep = study(source.columns, _sample(source, _DEEP_ROWS))
        found = find_label(deep, {*taken, *text}, header)
    return (found,) if found is not None else ()


def _sample(source: Source, rows: int) -> Iterator[Sequence[Any]]:
    """The cells of the first whole rows; if none is whole, the complaint about the first."""
    count = size = 0
    lenient = replace(source, skip_bad_rows=True)
    for _, row in cells(lenient, source.columns, refuser(lenient, None)):
        yield row
        count += 1
        size += sum(len(cell) for cell in row if isinstance(cell, str))
        if count >= rows or size >= _SAMPLE_CHARACTERS * (1 + rows // _SAMPLE_ROWS):
            return
    if count == 0:
        for _ in cells(replace(source, skip_bad_rows=False), source.columns, refuser(source, None)):
            pass
        raise DataError("there are no rows", where=source.path, hint="give a file with rows")


def _named(
    source: Source, names: Sequence[str] | None, like: Source | None, role: str, must: bool = True
) -> tuple[str, ...]:
    """The columns that the user named, as they are called in this file."""
    found = []
    for name in names or ():
        if name in source.columns:
            found.append(name)
        elif like is not None and name in like.columns and _same_shape(like, source):
            found.append(source.columns[like.columns.index(name)])
        elif must:
            raise DataError(
                f"there is no column {name!r}", where=source.path, hint=_there_are(source, f"data.{role}")
            )
    return tuple(found)


def _as_in(like: Source, source: Source, names: Sequence[str], role: str) -> tuple[str, ...]:
    """The columns that the training file had, by name, or by position in a file without header."""
    if not like.columns or like.format in ("folder", "fasttext", "lines"):
        return ()
    if all(name in source.columns for name in names):
        return tuple(names)
    if _same_shape(like, source):
        return tuple(source.columns[like.columns.index(name)] for name in names)
    if len(source.columns) == 1 and role == "text":
        return source.columns
    missing = next(name for name in names if name not in source.columns)
    raise DataError(
        f"there is no column {missing!r}, which the training data has as its {role}",
        where=source.path,
        hint=_there_are(source, f"data.{role}"),
    )


def _same_shape(like: Source, source: Source) -> bool:
    """Whether columns can be matched by position: one of the files has no header."""
    nameless = source.header is False or like.header is False
    return nameless and len(like.columns) == len(source.columns)


def _no_column(source: Source, role: str, labelled: bool) -> DataError:
    if (role == "label" and source.columns == source.text) or len(source.columns) == 1:
        hint = "a label must stand beside each text, or --task lm learns the texts alone"
        if not labelled:
            hint = _there_are(source, "data.text")
        return DataError(f"no {role} column is found", where=source.path, hint=hint)
    hint = _there_are(source, f"data.{role}")
    if role == "label":
        hint += ", or --target NAME to forecast a column of numbers"
    return DataError(f"no {role} column is found", where=source.path, hint=hint)


def _there_are(source: Source, setting: str) -> str:
    names = ", ".join(source.columns[:20]) + (", ..." if len(source.columns) > 20 else "")
    example = "'[NAME]'" if setting == "data.text" else "NAME"
    return f"there are {names}: choose with --set {setting}={example}"
