"""Counts over a data file, in a few bytes a row: texts are kept as 64-bit hashes, labels as codes."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.io.files import OtherEncodingError
from recurra.io.formats import Rows, Source
from recurra.io.formats.reading import chunks, records_of
from recurra.io.formats.spec import NoLabel
from recurra.io.text import guess_language

__all__ = ["Faults", "Figures", "Leak", "PartCheck", "conflicts", "leak_of", "leaks", "part_of", "repeats"]

Pair = tuple[int, int]
Column: TypeAlias = "array[int] | npt.NDArray[Any]"
"""One number a row, of shape (rows,)."""
_SHOWN = 5
_LANGUAGE_SAMPLE = 64  # of the up to 1,024 rows of a chunk
_QUANTILES = (5, 25, 50, 75, 95, 99, 100)
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\x00"


class PartCheck(BaseModel, frozen=True):
    """The counts of one file.

    Attributes:
        classes: number of rows of each label.
        tokens: quantiles of the number of tokens before the cut, by percent; "100" is the longest.
        empty: number of texts without a visible character, and ``empty_rows``, the first of them.
        duplicates: number of rows with exactly the text of an earlier row; ``duplicates_loose`` ignores case
            and white space. ``duplicate_rows`` are the first, each with the earlier row.
        conflicts: number of texts with different labels, and ``conflict_rows`` as above.
        truncated: share of texts longer than ``tokenizer.max_tokens``.
        unknown: share of tokens that are not in the vocabulary of the training part.
        languages: share of texts in each language, from a sample.
        sorted_by_class: whether the label changes far less often than in shuffled rows.
        skipped: number of broken rows, and ``skipped_rows``, the first of them with what is wrong.
        unlabelled: number of rows without a label, and ``unlabelled_rows``, the first of them. They and the
            broken rows are not among ``rows``.
    """

    file: str
    rows: int
    classes: dict[str, int]
    tokens: dict[str, int]
    empty: int
    empty_rows: list[int]
    duplicates: int
    duplicates_loose: int
    duplicate_rows: list[Pair]
    conflicts: int
    conflict_rows: list[Pair]
    truncated: float
    unknown: float
    languages: dict[str, float]
    sorted_by_class: bool
    skipped: int
    skipped_rows: list[str]
    unlabelled: int
    unlabelled_rows: list[int]


class Leak(BaseModel, frozen=True):
    """Texts of one part that occur in another.

    ``rows`` of ``part``, which should be unseen, have exactly a text of ``seen_in``; ``rows_loose`` ignores
    case and white space. ``first`` are the first of them, each with the row in ``seen_in``.
    """

    part: str
    seen_in: str
    rows: int
    rows_loose: int
    first: list[Pair]


@dataclass(frozen=True)
class Matches:
    """The number of matching rows, and the first five as pairs of row numbers."""

    count: int
    first: list[Pair]


@dataclass
class Faults:
    """The rows that can't be used.

    Attributes:
        broken: number of broken rows, and ``examples``, the first of them with what is wrong.
        unlabelled: number of rows without a label, and ``unlabelled_rows``, the first of them.
        encoding: what to do about rows in another encoding, if there are any.
        end: the error that ended the file, such as damaged gzip data; None for a whole file.
    """

    broken: int = 0
    examples: list[str] = field(default_factory=list)
    unlabelled: int = 0
    unlabelled_rows: list[int] = field(default_factory=list)
    encoding: str | None = None
    end: DataError | None = None

    def refuse(self, number: int, what: str | DataError) -> None:
        """Counts a row."""
        if isinstance(what, NoLabel):
            self.unlabelled += 1
            if len(self.unlabelled_rows) < _SHOWN:
                self.unlabelled_rows.append(number)
            return
        self.broken += 1
        if isinstance(what, OtherEncodingError):
            self.encoding = self.encoding or what.hint
        if len(self.examples) < _SHOWN:
            self.examples.append(f"row {number:,}: {what if isinstance(what, str) else what.what}")

    def rows(self, source: Source) -> Iterator[Rows]:
        """Yields the whole rows of a file, and counts the others."""
        try:
            yield from chunks(records_of(replace(source, skip_bad_rows=True), self.refuse))
        except DataError as error:
            self.end = error


@dataclass
class Figures:
    """Running counts of one file.

    For each row, ``exact`` and ``loose`` have the hash of the text, as it is and in lower case with single
    spaces; ``numbers`` the row number, ``codes`` that of the labels, ``lengths`` the tokens before the cut.
    """

    rows: int = 0
    empty: int = 0
    unknown: int = 0
    held_out_tokens: int = 0
    held_out_unknown: int = 0
    empty_rows: list[int] = field(default_factory=list)
    languages: Counter[str] = field(default_factory=Counter)
    faults: Faults = field(default_factory=Faults)
    exact: array[int] = field(default_factory=lambda: array("Q"))
    loose: array[int] = field(default_factory=lambda: array("Q"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    codes: array[int] = field(default_factory=lambda: array("i"))
    lengths: array[int] = field(default_factory=lambda: array("i"))

    def add(
        self,
        rows: Rows,
        lengths: npt.NDArray[np.int64],
        unknown: npt.NDArray[np.int64],
        held_out: npt.NDArray[np.bool_],
        codes: dict[tuple[str, ...], int],
    ) -> None:
        """Counts a chunk of ``n`` rows, and adds their tuples of labels to ``codes``.

        Each text ``(n,)`` has ``lengths`` tokens, of which ``unknown`` are not in the vocabulary, and may be
        ``held_out``: the vocabulary was learned without it.
        """
        self.rows += len(rows)
        self.unknown += int(unknown.sum())
        self.held_out_tokens += int(lengths[held_out].sum())
        self.held_out_unknown += int(unknown[held_out].sum())
        self.numbers.extend(rows.numbers)
        self.lengths.extend(lengths.tolist())
        for number, text in zip(rows.numbers, rows.texts, strict=True):
            words = " ".join(text.lower().split())
            if not words.strip(_INVISIBLE):
                self.empty += 1
                if len(self.empty_rows) < _SHOWN:
                    self.empty_rows.append(number)
            self.exact.append(_hash(text))
            self.loose.append(_hash(words))
        if rows.labels is None:
            self.codes.extend([0] * len(rows))
        else:
            self.codes.extend(codes.setdefault(labels, len(codes)) for labels in rows.labels)
        step = max(1, len(rows) // _LANGUAGE_SAMPLE)
        self.languages.update(map(guess_language, rows.texts[::step]))


def repeats(hashes: Column, numbers: Column) -> Matches:
    """Returns the rows whose hash occurred before, each with the first row that has it."""
    first = _first_rows(hashes)
    rows = np.flatnonzero(first != np.arange(len(first)))
    return _matches(rows, numbers, np.asarray(numbers)[first[rows]])


def conflicts(hashes: Column, codes: Column, numbers: Column) -> Matches:
    """Returns the texts with more than one label, each by the first two rows that differ."""
    first, codes = _first_rows(hashes), np.asarray(codes)
    rows = np.flatnonzero(codes != codes[first])
    rows = rows[np.unique(first[rows], return_index=True)[1]]
    return _matches(rows, numbers, np.asarray(numbers)[first[rows]])


def leaks(hashes: Column, numbers: Column, seen: Column, seen_numbers: Column) -> Matches:
    """Returns the rows whose hash is among ``seen``, each with the first row there."""
    known, first = np.unique(np.asarray(seen), return_index=True)
    if not len(known):
        return Matches(0, [])
    place = np.minimum(np.searchsorted(known, np.asarray(hashes)), len(known) - 1)
    rows = np.flatnonzero(known[place] == np.asarray(hashes))
    return _matches(rows, numbers, np.asarray(seen_numbers)[first[place[rows]]])


def _first_rows(hashes: Column) -> npt.NDArray[np.intp]:
    """The first row with the hash of each row."""
    _, first, group = np.unique(np.asarray(hashes), return_index=True, return_inverse=True)
    return first[group.reshape(-1)]


def _matches(rows: npt.NDArray[np.intp], numbers: Column, others: npt.NDArray[Any]) -> Matches:
    shown = np.argsort(rows, kind="stable")[:_SHOWN]
    return Matches(len(rows), [(int(numbers[rows[i]]), int(others[i])) for i in shown])


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def part_of(
    source: Source,
    figures: Figures,
    codes: dict[tuple[str, ...], int],
    max_tokens: int,
    tick: Callable[[int], object] = lambda rows: None,
) -> PartCheck:
    """Returns the counts of a file as a record, with the label codes that `Figures.add` extended.

    ``tick`` is called with the number of rows, three times, as repeated rows are found.
    """
    label_codes = np.asarray(figures.codes)
    again = repeats(figures.exact, figures.numbers)
    tick(figures.rows)
    differing = conflicts(figures.exact, label_codes, figures.numbers)
    tick(figures.rows)
    again_loose = repeats(figures.loose, figures.numbers)
    tick(figures.rows)
    lengths = np.asarray(figures.lengths)
    quantiles = np.percentile(lengths, _QUANTILES, method="nearest").astype(int)
    classes: Counter[str] = Counter()
    if source.label is not None:
        names = list(codes)
        for code, count in enumerate(np.bincount(label_codes, minlength=len(codes))):
            classes.update(dict.fromkeys(names[code], int(count)))
    sampled = sum(figures.languages.values())
    return PartCheck(
        file=str(source.path),
        rows=figures.rows,
        classes={name: classes[name] for name in sorted(classes) if classes[name]},
        tokens={str(p): int(q) for p, q in zip(_QUANTILES, quantiles, strict=True)},
        empty=figures.empty,
        empty_rows=figures.empty_rows,
        duplicates=again.count,
        duplicates_loose=again_loose.count,
        duplicate_rows=again.first,
        conflicts=differing.count,
        conflict_rows=differing.first,
        truncated=int(np.count_nonzero(lengths > max_tokens)) / figures.rows,
        unknown=figures.unknown / max(1, int(lengths.sum())),
        languages={name: count / sampled for name, count in figures.languages.most_common()},
        sorted_by_class=_is_sorted(label_codes),
        skipped=figures.faults.broken,
        skipped_rows=figures.faults.examples,
        unlabelled=figures.faults.unlabelled,
        unlabelled_rows=figures.faults.unlabelled_rows,
    )


def leak_of(part: str, seen: str, figures: dict[str, Figures]) -> Leak:
    """Returns the texts of ``part`` that occur in ``seen``."""
    unseen, given = figures[part], figures[seen]
    exact = leaks(unseen.exact, unseen.numbers, given.exact, given.numbers)
    loose = leaks(unseen.loose, unseen.numbers, given.loose, given.numbers)
    return Leak(part=part, seen_in=seen, rows=exact.count, rows_loose=loose.count, first=exact.first)


def _is_sorted(codes: npt.NDArray[np.int32]) -> bool:
    """Whether neighbouring labels differ less than a fifth as often as in shuffled rows."""
    if len(codes) < 20:
        return False
    shares = np.bincount(codes) / len(codes)
    expected = (len(codes) - 1) * (1 - float(np.sum(shares**2)))
    changes = int(np.count_nonzero(codes[1:] != codes[:-1]))
    return expected > 2 and changes < 0.2 * expected
