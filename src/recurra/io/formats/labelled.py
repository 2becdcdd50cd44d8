"""Lines of a label, a space and a text, as in the questions of TREC: ``LOC:city Where is the Kremlin ?``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from recurra.io.files import Lines
from recurra.io.formats.delimited import find_dialect
from recurra.io.formats.lines import no_group, numbered
from recurra.io.formats.spec import Format, NoLabel, Record, Refuse, Source, Start

__all__ = ["LABELLED"]

_LEAST_LINES = 20
_MOST_LABELS = 100
_MOST_WORDS = 20
_SAMPLE_LINES = 1_000
_LABEL = re.compile(r"[+-]?\d{1,3}|[^\W\d][\w:+./-]*")
_CODE = re.compile(r"[+-]?\d+|\w+:\w+|[A-Z]{2,}")
# Sentences begin with them, so that the first words of a text without labels are few too.
_FIRST_WORDS = (
    " a an and are as at but by can did do does for from he her his how i if in is it its my no not of on or "
    "our she so that the their there these they this to was we were what when where which who why will with "
    "you your "
)


def _labels_of(lines: Sequence[str]) -> dict[str, int] | None:
    """The first words of lines by frequency, if they can be labels; None otherwise.

    Codes may be many, some of them rare. Other words must be few and frequent, and none of those with which
    sentences begin.

    Example:
        >>> _labels_of(["pos a film", "neg a plot"] * 10)
        {'pos': 10, 'neg': 10}
        >>> _labels_of(["What is it ?", "Who is it ?"] * 10)
    """
    words = [line.split(maxsplit=1) for line in lines if not line.isspace()]
    if len(words) < _LEAST_LINES or any(len(pair) < 2 for pair in words):
        return None
    if 2 * sum(any(map(str.isalpha, text)) for _, text in words) < len(words):
        return None  # a table of numbers
    counts = Counter(pair[0] for pair in words)
    if not 2 <= len(counts) <= min(_MOST_LABELS, len(words) // 10):
        return None
    if not all(_LABEL.fullmatch(word) for word in counts):
        return None
    if not all(_CODE.fullmatch(word) for word in counts):
        rare = min(counts.values()) < max(2, len(words) // 200)
        if rare or len(counts) > _MOST_WORDS or any(f" {word.lower()} " in _FIRST_WORDS for word in counts):
            return None
    return dict(counts.most_common())


def _sample(start: Start) -> list[str]:
    lines = start.text.removeprefix("\ufeff").splitlines(keepends=True)
    return (lines if start.complete else lines[:-1])[:_SAMPLE_LINES]


def _matches(start: Start) -> bool:
    """Whether a file without a telling name has labels before its texts and is no table."""
    if start.suffix or start.streamed:
        return False
    lines = _sample(start)
    like = start.request.like
    if like is not None:
        if like.format != LABELLED.name:
            return False
        words = [line.split(maxsplit=1)[0] for line in lines if not line.isspace()]
        return start.request.labelled or 10 * sum(word in like.columns for word in words) >= 9 * len(words)
    if not start.request.labelled or _labels_of(lines) is None:
        return False
    return find_dialect(lines, start.complete, ",").merit < 0.9


def _layout(start: Start) -> Source:
    no_group(start)
    request = start.request
    lines = [line for line in _sample(start) if not line.isspace()]
    found = _labels_of(lines) or Counter(line.split(maxsplit=1)[0] for line in lines)
    labels = request.like.columns if request.like is not None else tuple(found)
    return replace(
        start.source,
        columns=labels,
        text=("text",),
        label="first word" if request.labelled else None,
        notes=("the first word of each line is its label",),
    )


def _records(source: Source, refuse: Refuse, lines: Lines | None) -> Iterator[Record]:
    """A record a line, without blank lines; the label is the first word."""
    for number, line in numbered(source, refuse, lines):
        label, *text = line.split(maxsplit=1)
        if source.label is not None and not text:
            refuse(number, NoLabel("the line has one word: a label and a text are expected"))
        else:
            labels = (label,) if source.label is not None else None
            yield Record(number, text[0].rstrip("\r\n") if text else label, labels, None)


LABELLED = Format("labelled", "lines of a label and a text", _layout, _matches, records=_records)
