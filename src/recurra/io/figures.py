"""Counting over a whole file in a few bytes a row: texts as 64-bit hashes, labels as codes."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from recurra.io.formats import Rows, Skipped
from recurra.io.language import language_shares

__all__ = ["LOOSE", "Figures", "Found", "Pair", "conflicts", "leaks", "repeats"]

LOOSE = True
"""Hashes of texts in lower case with single spaces."""

Pair = tuple[int, int]
_SHOWN = 5
_LANGUAGE_SAMPLE = 64  # of the up to 1,024 rows of a chunk
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\x00"


@dataclass(frozen=True)
class Found:
    """How many, and the first few as pairs of row numbers."""

    count: int
    first: list[Pair]


@dataclass
class Figures:
    """What was counted of one file so far."""

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
        """Count a chunk of ``n`` rows.

        Args:
            rows: the chunk.
            lengths: ``(n,)`` tokens of each text.
            unknown: ``(n,)`` those of them that are not in the vocabulary.
            held_out: ``(n,)`` whether the vocabulary was made without the text.
            codes: a number for each label tuple, extended as new ones come.
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
        """``(rows,)`` hashes of the texts."""
        return _array(self._loose if loose else self._exact, np.uint64)

    def numbers_array(self) -> npt.NDArray[np.int64]:
        """``(rows,)`` row numbers."""
        return _array(self._numbers, np.int64)

    def codes_array(self) -> npt.NDArray[np.int32]:
        """``(rows,)`` label codes."""
        return _array(self._codes, np.int32)

    def lengths_array(self) -> npt.NDArray[np.int32]:
        """``(rows,)`` tokens before the cut."""
        return _array(self._lengths, np.int32)


def repeats(hashes: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int64]) -> Found:
    """Rows whose hash stood in an earlier row, each with the first such row."""
    order, first = _grouped(hashes)
    again = np.flatnonzero(first != np.arange(len(order)))
    rows, earlier = order[again], order[first[again]]
    return _found(rows, numbers[rows], numbers[earlier])


def conflicts(
    hashes: npt.NDArray[np.uint64], codes: npt.NDArray[np.int32], numbers: npt.NDArray[np.int64]
) -> Found:
    """Texts with more than one label: the first two rows that differ."""
    order, first = _grouped(hashes)
    differs = np.flatnonzero(codes[order] != codes[order[first]])
    _, once = np.unique(first[differs], return_index=True)
    differs = differs[once]
    rows, earlier = order[differs], order[first[differs]]
    return _found(rows, numbers[rows], numbers[earlier])


def leaks(
    hashes: npt.NDArray[np.uint64],
    numbers: npt.NDArray[np.int64],
    seen: npt.NDArray[np.uint64],
    seen_numbers: npt.NDArray[np.int64],
) -> Found:
    """Rows whose hash is among ``seen``, each with the first row there."""
    known, first = np.unique(seen, return_index=True)
    if not len(known):
        return Found(0, [])
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    rows = np.flatnonzero(known[place] == hashes)
    return _found(rows, numbers[rows], seen_numbers[first[place[rows]]])


def _grouped(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows in order of hash, and for each place the place where its group begins."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    begins = np.ones(len(order), bool)
    begins[1:] = ranked[1:] != ranked[:-1]
    places = np.where(begins, np.arange(len(order)), 0)
    return order, np.maximum.accumulate(places) if len(places) else places


def _found(rows: npt.NDArray[Any], numbers: npt.NDArray[Any], others: npt.NDArray[Any]) -> Found:
    shown = np.argsort(rows, kind="stable")[:_SHOWN]
    return Found(len(rows), [(int(numbers[i]), int(others[i])) for i in shown])


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _array(values: array[int], kind: Any) -> npt.NDArray[Any]:
    return np.frombuffer(values, kind) if len(values) else np.empty(0, kind)
