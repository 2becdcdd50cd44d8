"""Counts over a data file, in a few bytes a row: texts are kept as 64-bit hashes, labels as codes."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from recurra.io.formats import Rows, Skipped, Source
from recurra.io.text import language_shares

__all__ = [
    "LOOSE",
    "Figures",
    "Leak",
    "Matches",
    "Pair",
    "PartCheck",
    "Record",
    "conflicts",
    "leak_of",
    "leaks",
    "part_of",
    "repeats",
]

LOOSE = True
"""Hashes of texts in lower case with single spaces."""

Pair = tuple[int, int]
_SHOWN = 5
_LANGUAGE_SAMPLE = 64  # of the up to 1,024 rows of a chunk
_QUANTILES = (5, 25, 50, 75, 95, 99, 100)
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\x00"


class Record(BaseModel):
    """A frozen record that can be written as JSON."""

    model_config = ConfigDict(frozen=True)


class PartCheck(Record):
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
        skipped: number of broken rows left out, and ``skipped_rows``, the first error messages.
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


class Leak(Record):
    """Texts of one part that occur in another.

    Attributes:
        part: the part that should be unseen.
        seen_in: the other part.
        rows: number of rows of ``part`` whose exact text is in ``seen_in``; ``rows_loose`` ignores case and
            white space.
        first: the first of them: the row in ``part`` and the row in ``seen_in``.
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
class Figures:
    """Running counts of one file."""

    rows: int = 0
    empty: int = 0
    tokens: int = 0
    unknown: int = 0
    held_out_tokens: int = 0
    held_out_unknown: int = 0
    truncated: int = 0
    empty_rows: list[int] = field(default_factory=list)
    languages: Counter[str] = field(default_factory=Counter)
    skipped: Skipped = field(default_factory=Skipped)
    _exact: array[int] = field(default_factory=lambda: array("Q"))
    _loose: array[int] = field(default_factory=lambda: array("Q"))
    _numbers: array[int] = field(default_factory=lambda: array("q"))
    _codes: array[int] = field(default_factory=lambda: array("i"))
    _lengths: array[int] = field(default_factory=lambda: array("i"))

    def add(
        self,
        rows: Rows,
        lengths: npt.NDArray[np.int64],
        unknown: npt.NDArray[np.int64],
        held_out: npt.NDArray[np.bool_],
        codes: dict[tuple[str, ...], int],
    ) -> None:
        """Counts a chunk of ``n`` rows.

        Args:
            rows: the chunk.
            lengths: ``(n,)`` number of tokens of each text.
            unknown: ``(n,)`` number of these that are not in the vocabulary.
            held_out: ``(n,)`` whether the vocabulary was learned without the text.
            codes: a number for each tuple of labels; new ones are added.
        """
        self.rows += len(rows)
        self.tokens += int(lengths.sum())
        self.unknown += int(unknown.sum())
        self.held_out_tokens += int(lengths[held_out].sum())
        self.held_out_unknown += int(unknown[held_out].sum())
        self._numbers.extend(rows.numbers)
        self._lengths.extend(lengths.tolist())
        for number, text in zip(rows.numbers, rows.texts, strict=True):
            words = " ".join(text.lower().split())
            if not words.strip(_INVISIBLE):
                self.empty += 1
                if len(self.empty_rows) < _SHOWN:
                    self.empty_rows.append(number)
            self._exact.append(_hash(text))
            self._loose.append(_hash(words))
        if rows.labels is None:
            self._codes.extend([0] * len(rows))
        else:
            self._codes.extend(codes.setdefault(labels, len(codes)) for labels in rows.labels)
        step = max(1, len(rows) // _LANGUAGE_SAMPLE)
        self.languages += language_shares(rows.texts[::step])

    def hashes_array(self, loose: bool = False) -> npt.NDArray[np.uint64]:
        """Returns the hashes of the texts ``(rows,)``; if ``loose``, in lower case with single spaces."""
        return _array(self._loose if loose else self._exact, np.uint64)

    def numbers_array(self) -> npt.NDArray[np.int64]:
        """Returns the row numbers ``(rows,)``."""
        return _array(self._numbers, np.int64)

    def codes_array(self) -> npt.NDArray[np.int32]:
        """Returns the label codes ``(rows,)``."""
        return _array(self._codes, np.int32)

    def lengths_array(self) -> npt.NDArray[np.int32]:
        """Returns the number of tokens before the cut ``(rows,)``."""
        return _array(self._lengths, np.int32)


def repeats(hashes: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int64]) -> Matches:
    """Returns the rows whose hash occurred before, each with the first row that has it."""
    order, first = _grouped(hashes)
    again = np.flatnonzero(first != np.arange(len(order)))
    rows, earlier = order[again], order[first[again]]
    return _matches(rows, numbers[rows], numbers[earlier])


def conflicts(
    hashes: npt.NDArray[np.uint64], codes: npt.NDArray[np.int32], numbers: npt.NDArray[np.int64]
) -> Matches:
    """Returns the texts with more than one label, each by the first two rows that differ."""
    order, first = _grouped(hashes)
    differs = np.flatnonzero(codes[order] != codes[order[first]])
    _, once = np.unique(first[differs], return_index=True)
    differs = differs[once]
    rows, earlier = order[differs], order[first[differs]]
    return _matches(rows, numbers[rows], numbers[earlier])


def leaks(
    hashes: npt.NDArray[np.uint64],
    numbers: npt.NDArray[np.int64],
    seen: npt.NDArray[np.uint64],
    seen_numbers: npt.NDArray[np.int64],
) -> Matches:
    """Returns the rows whose hash is among ``seen``, each with the first row there."""
    known, first = np.unique(seen, return_index=True)
    if not len(known):
        return Matches(0, [])
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    rows = np.flatnonzero(known[place] == hashes)
    return _matches(rows, numbers[rows], seen_numbers[first[place[rows]]])


def _grouped(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The rows sorted by hash, and for each position the position at which its group begins."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    begins = np.ones(len(order), bool)
    begins[1:] = ranked[1:] != ranked[:-1]
    places = np.where(begins, np.arange(len(order)), 0)
    return order, np.maximum.accumulate(places) if len(places) else places


def _matches(rows: npt.NDArray[Any], numbers: npt.NDArray[Any], others: npt.NDArray[Any]) -> Matches:
    shown = np.argsort(rows, kind="stable")[:_SHOWN]
    return Matches(len(rows), [(int(numbers[i]), int(others[i])) for i in shown])


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _array(values: array[int], kind: Any) -> npt.NDArray[Any]:
    return np.frombuffer(values, kind) if len(values) else np.empty(0, kind)


def part_of(source: Source, figures: Figures, codes: dict[tuple[str, ...], int]) -> PartCheck:
    """Returns the counts of a file as a record, with the label codes that `Figures.add` extended."""
    exact, numbers = figures.hashes_array(), figures.numbers_array()
    label_codes = figures.codes_array()
    again = repeats(exact, numbers)
    differing = conflicts(exact, label_codes, numbers)
    lengths = figures.lengths_array()
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
        duplicates_loose=repeats(figures.hashes_array(LOOSE), numbers).count,
        duplicate_rows=again.first,
        conflicts=differing.count,
        conflict_rows=differing.first,
        truncated=figures.truncated / figures.rows,
        unknown=figures.unknown / max(1, figures.tokens),
        languages={name: count / sampled for name, count in figures.languages.most_common()},
        sorted_by_class=_is_sorted(label_codes),
        skipped=figures.skipped.count,
        skipped_rows=figures.skipped.examples,
    )


def leak_of(part: str, seen: str, figures: dict[str, Figures]) -> Leak:
    """Returns the texts of ``part`` that occur in ``seen``."""
    unseen, given = figures[part], figures[seen]
    exact = leaks(unseen.hashes_array(), unseen.numbers_array(), given.hashes_array(), given.numbers_array())
    loose = leaks(
        unseen.hashes_array(LOOSE), unseen.numbers_array(), given.hashes_array(LOOSE), given.numbers_array()
    )
    return Leak(part=part, seen_in=seen, rows=exact.count, rows_loose=loose.count, first=exact.first)


def _is_sorted(codes: npt.NDArray[np.int32]) -> bool:
    """Whether neighbouring labels differ less than a fifth as often as in shuffled rows."""
    if len(codes) < 20:
        return False
    shares = np.bincount(codes) / len(codes)
    expected = (len(codes) - 1) * (1 - float(np.sum(shares**2)))
    changes = int(np.count_nonzero(codes[1:] != codes[:-1]))
    return expected > 2 and changes < 0.2 * expected
