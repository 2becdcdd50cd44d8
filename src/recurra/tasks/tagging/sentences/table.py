"""Sentences as numbers of words and tags in arrays, in memory or mapped from the cache, read one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from recurra.io.cache import cache_folder, cached_columns, content_key
from recurra.io.columns import Arrays, text_of, texts_of, to_bytes, to_texts
from recurra.io.examples import Examples
from recurra.io.formats import Skipped
from recurra.tasks.reporter import Tick
from recurra.tasks.tagging.sentences.formats import Sentence, SentenceSource
from recurra.tasks.tagging.sentences.reading import read_sentences

__all__ = ["SentenceTable", "WordsOfTable", "cached_sentences", "table_of"]

_CHUNK = 2_000  # sentences
_SKIPPED = "skipped"

Counts = dict[str, dict[str, int]]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SentenceTable(Sequence[Sentence]):
    """N sentences; each is made when it is asked for.

    The memory for a file is that of its different words, wherever the arrays are mapped from disk.

    Attributes:
        forms: the different words of the file, in the order in which they occur; word ``n`` is
            ``forms[n - 1]``.
        names: its different tags, in that order.
        examples: the number of each word, and the line of each sentence.
        tags: the position in ``names`` of the tag of each word, of shape (words,); None without tags.
        numbers: the `Sentence.number` of each sentence.
        rows: the N sentences, by their position in ``examples``.

    Example:
        >>> two = [Sentence(("the", "dog"), ("DET", "NOUN"), 1), Sentence(("the", "end"), ("DET", "NOUN"), 4)]
        >>> table = SentenceTable.of(two)
        >>> table.forms, table.examples.flat.tolist(), table[1].words, table[1:][0].row
        (['the', 'dog', 'end'], [1, 2, 1, 3], ('the', 'end'), 4)
    """

    forms: Sequence[str]
    names: Sequence[str]
    examples: Examples
    tags: NDArray[Any] | None
    numbers: NDArray[np.int64]
    rows: Rows

    @classmethod
    def of(cls, sentences: Iterable[Sentence]) -> SentenceTable:
        """Returns a table in memory; without tags if a sentence has none."""
        chunks = list(_chunks(sentences))
        names = dict.fromkeys(name for chunk in chunks for name in chunk)
        return _table({n: np.concatenate([chunk[n] for chunk in chunks if n in chunk]) for n in names})

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> Sentence: ...

    @overload
    def __getitem__(self, at: slice) -> SentenceTable: ...

    def __getitem__(self, at: int | slice) -> Sentence | SentenceTable:
        if isinstance(at, slice):
            return self.take(np.arange(len(self))[at])
        row = int(self.rows[at])
        begin, end = int(self.examples.offsets[row]), int(self.examples.offsets[row + 1])
        words = tuple(self.forms[number - 1] for number in self.examples.flat[begin:end].tolist())
        tags = None
        if self.tags is not None:
            tags = tuple(self.names[number] for number in self.tags[begin:end].tolist())
        return Sentence(words, tags, int(self.examples.numbers[row]), int(self.numbers[row]))

    def __iter__(self) -> Iterator[Sentence]:
        return (self[at] for at in range(len(self)))

    def take(self, positions: Rows) -> SentenceTable:
        """Returns some of the sentences, by their positions."""
        return replace(self, rows=self.rows[positions])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each sentence, of shape (N,)."""
        return self.examples.lengths[self.rows].astype(np.int64)

    @property
    def words(self) -> WordsOfTable:
        """All words, sentence after sentence."""
        return WordsOfTable(self)

    def flat(self, tick: Tick = lambda rows: None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yields numbers of words, and positions of tags (0 without tags), of some sentences after others."""
        for first in range(0, len(self), _CHUNK):
            rows = self.rows[first : first + _CHUNK]
            places = self.examples.places(rows)
            tick(len(rows))
            forms = self.examples.flat[places].astype(np.int64)
            yield (
                forms,
                np.zeros(len(forms), np.int64) if self.tags is None else self.tags[places].astype(np.int64),
            )

    def tag_sequences(self) -> Iterator[list[str]]:
        """Yields the tags of each sentence."""
        for first in range(0, len(self), _CHUNK):
            some = self.take(np.arange(first, min(first + _CHUNK, len(self))))
            _, tags = next(some.flat())
            names, begin = [self.names[number] for number in tags.tolist()], 0
            for length in some.lengths.tolist():
                yield names[begin : begin + length] if self.tags is not None else []
                begin += length

    @cached_property
    def tag_counts(self) -> dict[str, int]:
        """The number of words of each tag that occurs, in the order of the file."""
        counts = np.zeros(len(self.names) + 1, np.int64)
        if self.tags is not None:
            for _, tags in self.flat():
                counts += np.bincount(tags, minlength=len(counts))
        return {name: count for name, count in zip(self.names, counts.tolist(), strict=False) if count}

    def counts(self, tick: Tick = lambda rows: None) -> Counts:
        """Returns the number of times that each word has each tag, in the order in which they occur."""
        width = max(1, len(self.names))
        found: dict[int, int] = {}
        for forms, tags in self.flat(tick):
            pairs, first, counts = np.unique(forms * width + tags, return_index=True, return_counts=True)
            order = np.argsort(first)
            for pair, count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True):
                found[pair] = found.get(pair, 0) + count
        result: Counts = {}
        for pair, count in found.items():
            form, tag = divmod(pair, width)
            result.setdefault(self.forms[form - 1], {})[self.names[tag]] = count
        return result

    def own_forms(self, tick: Tick = lambda rows: None) -> NDArray[np.int64]:
        """Returns the numbers of the different words of these sentences, in the order in which they occur."""
        seen = np.zeros(len(self.forms) + 1, bool)
        parts = [np.zeros(0, np.int64)]
        for forms, _ in self.flat(tick):
            new, first = np.unique(forms[~seen[forms]], return_index=True)
            seen[new] = True
            parts.append(new[np.argsort(first)])
        return np.concatenate(parts)


@dataclass(frozen=True)
class WordsOfTable(Sequence[str]):
    """The words of the sentences of a table, one after the other."""

    table: SentenceTable

    @cached_property
    def numbers(self) -> NDArray[Any]:
        """Their numbers among the forms, of shape (words,)."""
        return self.table.examples.flat[self.table.examples.places(self.table.rows)]

    def __len__(self) -> int:
        return int(self.table.lengths.sum())

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self.table.forms[number - 1] for number in self.numbers[at].tolist()]
        return self.table.forms[int(self.numbers[at]) - 1]

    def among(self, words: Mapping[str, Any] | set[str]) -> NDArray[np.bool_]:
        """Returns whether each word is one of ``words``, of shape (words,)."""
        known = np.array([False, *(form in words for form in self.table.forms)])
        return np.asarray(known[self.numbers])


def table_of(sentences: Sequence[Sentence]) -> SentenceTable:
    """Returns the table of sentences, which may be one."""
    return sentences if isinstance(sentences, SentenceTable) else SentenceTable.of(sentences)


def cached_sentences(
    source: SentenceSource, skipped: Skipped, tick: Tick = lambda rows: None
) -> SentenceTable:
    """Returns the sentences of a file, mapped from the cache, after reading them once.

    Args:
        source: the file.
        skipped: counts the broken sentences that ``source.skip_bad_rows`` leaves out.
        tick: called with the number of sentences that were read.

    Raises:
        DataError: see `read_sentences`.
    """
    layout = replace(source, path=Path(), skip_bad_rows=False)  # what is whole is read the same way
    key = content_key([source.path], "sentences", layout.to_json())
    left_out = Skipped()

    def build() -> Iterator[Arrays]:
        yield from _chunks(read_sentences(source, left_out), tick)
        yield {_SKIPPED: to_bytes(json.dumps([left_out.count, left_out.examples]))}

    def read(columns: dict[str, NDArray[Any]]) -> SentenceTable:
        count, examples = json.loads(text_of(columns.pop(_SKIPPED)))
        if count and not source.skip_bad_rows:
            raise ValueError("broken sentences, which the reader has to name")
        left_out.count, left_out.examples = count, examples
        return _table(columns)

    try:
        return cached_columns(cache_folder(), key, build, read)
    finally:
        skipped.count += left_out.count
        skipped.examples += left_out.examples


def _chunks(sentences: Iterable[Sentence], tick: Tick = lambda rows: None) -> Iterator[Arrays]:
    """The columns of a table: the arrays of `SentenceTable`, its words and tags as bytes and their ends."""
    forms: dict[str, int] = {}
    names: dict[str, int] = {}
    words, whole, first = 0, True, True
    remaining = iter(sentences)
    while chunk := list(islice(remaining, _CHUNK)):
        ids = [forms.setdefault(word, len(forms) + 1) for sentence in chunk for word in sentence.words]
        tags = [names.setdefault(tag, len(names)) for sentence in chunk for tag in sentence.tags or ()]
        whole = whole and all(sentence.tags is not None for sentence in chunk)
        ends = words + np.cumsum([len(sentence.words) for sentence in chunk], dtype=np.int64)
        yield {
            "ids": _small(ids),
            "tags": _small(tags),
            "offsets": np.concatenate([[0], ends]) if first else ends,
            "lines": np.array([sentence.row for sentence in chunk], np.int64),
            "numbers": np.array([sentence.number for sentence in chunk], np.int64),
        }
        words, first = int(ends[-1]), False
        tick(len(chunk))
    if first:
        nothing = np.zeros(0, np.int64)
        yield {"ids": _small([]), "tags": _small([]), "offsets": np.zeros(1, np.int64)}
        yield {"lines": nothing, "numbers": nothing}
    for name, texts in (("forms", forms), ("names", names)):
        content, text_ends = to_texts(texts)
        yield {name: content, f"{name}_ends": text_ends}
    yield {"tagged": np.array([whole], np.uint8)}


def _table(columns: Mapping[str, NDArray[Any]]) -> SentenceTable:
    """The table of the columns of `_chunks`; ValueError or KeyError if they are not those."""
    examples = Examples(columns["ids"], columns["offsets"], numbers=columns["lines"])
    forms, names = (texts_of(columns[name], columns[f"{name}_ends"]) for name in ("forms", "names"))
    tags = columns["tags"] if columns["tagged"].all() else None
    if tags is not None and len(tags) != len(examples.flat):
        raise ValueError(f"{len(examples.flat)} words, but {len(tags)} tags")
    rows = np.arange(len(examples))
    return SentenceTable(forms, names, examples, tags, columns["numbers"], rows)


def _small(numbers: list[int]) -> NDArray[Any]:
    values = np.array(numbers, np.int32)
    return values.astype(np.uint16) if values.max(initial=0) <= np.iinfo(np.uint16).max else values
