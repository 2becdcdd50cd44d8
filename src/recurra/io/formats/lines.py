"""Formats of one row a line: texts alone, fastText's labels and text, and JSON objects."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from recurra.errors import DataError
from recurra.io.files import FileLines, Lines
from recurra.io.formats.columns import find_text, study
from recurra.io.formats.reading import MISSING, records
from recurra.io.formats.spec import Format, NoLabel, Record, Refuse, Source, Start

__all__ = ["FASTTEXT", "JSONL", "LINES", "no_group", "numbered"]

_PREFIX = "__label__"
_LABELS = re.compile(rf"\s*((?:{_PREFIX}\S*(?:\s+|$))*)")
_LEAST_TEXTS = 5
_SAMPLE_OBJECTS = 100
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


def numbered(
    source: Source, refuse: Refuse, lines: Lines | None, blank: bool = False
) -> Iterator[tuple[int, str]]:
    """Row numbers and whole lines; without blank ones, unless ``blank`` is set."""
    lines = lines or FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    for line in lines:
        if fault := lines.take_fault():
            refuse(lines.row, fault)
        elif blank or not line.isspace():
            yield lines.row, line
        else:
            continue
        lines.row += 1


def no_group(start: Start) -> None:
    """Refuses a group column, which lines of text do not have."""
    request = start.request
    if request.labelled and request.group is not None and request.like is None:
        raise DataError(f"there is no column {request.group!r} in lines of text", where=start.source.path)


def _texts(source: Source, refuse: Refuse, lines: Lines | None) -> Iterator[Record]:
    """A record a line; a blank line is an empty text, so that the n-th answer belongs to the n-th line."""
    for number, line in numbered(source, refuse, lines, blank=True):
        yield Record(number, line.rstrip("\r\n"), None, None)


def _texts_layout(start: Start) -> Source:
    no_group(start)
    if start.request.labelled:
        hint = "leave data.format out, or learn the texts alone with --task lm"
        what = "has no labels: it is read as one text a line"
        raise DataError(what, where=start.source.path, hint=hint)
    return replace(start.source, text=("text",), columns=("text",))


def _fasttext(source: Source, refuse: Refuse, lines: Lines | None) -> Iterator[Record]:
    """A record a line, such as ``__label__x __label__y the text``, without blank lines."""
    for number, line in numbered(source, refuse, lines):
        match = _LABELS.match(line)
        end = match.end() if match else 0
        marks = (mark[len(_PREFIX) :] for mark in line[:end].split())
        labels = tuple(dict.fromkeys(name for name in marks if name))
        text = line[end:].rstrip("\r\n")
        if source.label is None:
            yield Record(number, text, None, None)
        elif labels:
            yield Record(number, text, labels, None)
        else:
            refuse(number, NoLabel(f"the line does not begin with {_PREFIX}"))


def _fasttext_layout(start: Start) -> Source:
    no_group(start)
    label = "label" if start.request.labelled else None
    notes = tuple(_spaced_labels(start.text.splitlines())) if label is not None else ()
    return replace(start.source, text=("text",), label=label, columns=("label", "text"), notes=notes)


def _spaced_labels(lines: Sequence[str]) -> Iterator[str]:
    """A note for each class all of whose texts begin with the same word, which may belong to its name.

    Example:
        >>> lines = [f"__label__{name} {i} words" for i in range(8) for name in ("New York is", "Oslo is")]
        >>> [note[:60] for note in _spaced_labels(lines)]
        ["each text of class 'New' begins with 'York': a label can't h"]
    """
    first: dict[str, Counter[str]] = {}
    for line in lines:
        label, _, text = line.removeprefix(_PREFIX).partition(" ")
        if line.startswith(_PREFIX) and text and not text.lstrip().startswith(_PREFIX):
            first.setdefault(label, Counter())[text.split(maxsplit=1)[0]] += 1
    always = {label: next(iter(words)) for label, words in first.items() if len(words) == 1}
    for label, word in always.items():
        shared = any(word in words for other, words in first.items() if other != label)
        alike = word[0].isalpha() and word[0].isupper() == label[:1].isupper()
        if first[label][word] >= _LEAST_TEXTS and not shared and alike:
            hint = f"if it is the class {label} {word}, write {_PREFIX}{label}_{word}"
            yield f"each text of class {label!r} begins with {word!r}: a label can't hold a space; {hint}"


def _objects(source: Source, refuse: Refuse, lines: Lines | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row numbers and objects."""
    for number, line in numbered(source, refuse, lines):
        hint = "fix the row, or pass --skip-bad-rows"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            what = f"is not JSON: {error.msg} at character {error.colno}"
        except (ValueError, RecursionError) as error:
            what = f"is not JSON that can be read: {error}"
        else:
            if isinstance(value, dict):
                yield number, value
                continue
            what = f"is a JSON {type(value).__name__}, not an object"
            if isinstance(value, list) and number == 1:
                hint = "write one object a line, for example with jq -c '.[]'"
        refuse(number, DataError(what, where=source.path, row=number, hint=hint))


def _json_cells(
    source: Source, columns: Sequence[str], refuse: Refuse, lines: Lines | None
) -> Iterator[tuple[int, list[Any]]]:
    """Row numbers and the values of ``columns``, `MISSING` if an object lacks one."""
    for number, value in _objects(source, refuse, lines):
        yield number, [value.get(name, MISSING) for name in columns]


def _json_layout(start: Start) -> Source:
    """The source with the keys of the first objects as columns, in order of appearance."""
    source = start.source
    errors: list[str | DataError] = []  # broken rows are left to the reader, which reports them
    lenient = replace(source, skip_bad_rows=True)
    objects = _objects(lenient, lambda number, error: errors.append(error), None)
    keys = tuple(dict.fromkeys(key for _, value in islice(objects, _SAMPLE_OBJECTS) for key in value))
    if not keys:
        error = next((error for error in errors if isinstance(error, DataError)), None)
        raise error or DataError("there are no objects with keys", where=source.path)
    return replace(source, columns=keys)


def _json_stream(start: Start, lines: Lines, refuse: Refuse) -> Iterator[Record]:
    """Records of a stream; the first whole object decides the text columns if the wanted ones are absent."""
    request = start.request
    text = request.text or (request.like.text if request.like is not None else ())
    taken = {request.like.label} if request.like is not None and request.like.label is not None else set()
    source: Source | None = None
    for number, value in _objects(start.source, refuse, lines):
        if source is None:
            if not (text and set(text) <= set(value)):
                text = find_text(study(tuple(value), [list(value.values())]), True, taken)
            if not text:
                hint = f"there are {', '.join(value) or 'no keys'}: choose with --set data.text=NAME"
                raise DataError("no text is found", where=lines.where, row=number, hint=hint)
            source = replace(start.source, text=text)
        for record in records(source, [(number, [value.get(name, MISSING) for name in text])], refuse):
            yield record._replace(cells=value)


LINES = Format(
    "lines",
    "one text a line",
    _texts_layout,
    lambda start: not start.request.labelled,
    records=_texts,
    is_running_text=True,
)
FASTTEXT = Format(
    "fasttext",
    "fastText lines",
    _fasttext_layout,
    lambda start: start.begins_with(_PREFIX),
    records=_fasttext,
)
JSONL = Format(
    "jsonl",
    "JSON lines",
    _json_layout,
    lambda start: start.begins_with("{") or start.suffix in _JSON_SUFFIXES,
    cells=_json_cells,
    stream=_json_stream,
    suffixes=_JSON_SUFFIXES,
)
