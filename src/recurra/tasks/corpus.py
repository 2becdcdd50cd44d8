"""Texts without labels: read, and left out where the same text judges the model (validation and test)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.cache import content_key
from recurra.io.detect import detect
from recurra.io.formats import Rows, Skipped, Source, read
from recurra.io.text import clean
from recurra.tasks.reporter import Reporter, Tick

__all__ = [
    "IN_PART",
    "Corpus",
    "HeldOut",
    "contents_of",
    "corpus_of_file",
    "corpus_of_texts",
    "texts_of_file",
    "texts_of_rows",
]

Rowset = NDArray[np.int64]
IN_PART = {"test": "are in the test file", "validation": "are among the validation rows"}
"""Where a text is that is left out, in sentences."""


class HeldOut:
    """The texts of validation and test, which no model may learn from.

    Texts are the same if they differ only in case, tags, control characters or spaces. A digest of 16 bytes
    is kept of each text.

    Example:
        >>> held_out = HeldOut()
        >>> held_out.add("test", ["A good film.<br />"])
        >>> held_out.part_of("a GOOD film."), held_out.part_of("a bad film.")
        ('test', None)
    """

    def __init__(self) -> None:
        self._parts: dict[bytes, str] = {}

    def add(self, part: str, texts: Iterable[str]) -> None:
        """Adds the texts of a part, ``"validation"`` or ``"test"``."""
        for text in texts:
            self._parts[_digest(text)] = part

    def part_of(self, text: str) -> str | None:
        """Returns the part that has this text; None if none has."""
        return self._parts.get(_digest(text))


def _digest(text: str) -> bytes:
    spelled = " ".join(clean(text).lower().split())
    return hashlib.blake2b(spelled.encode("utf-8"), digest_size=16).digest()


@dataclass(frozen=True)
class Corpus:
    """Texts without labels.

    Attributes:
        name: name of the file, or ``texts`` if they were given from Python.
        rows: numbers of the rows that are used, sorted, of shape ``(n,)``.
        texts: reads the raw texts of rows, which must be sorted.
        left_out: how many texts are not used since they are in the test or validation part, by part.
        key: a fingerprint of the texts that are used.
    """

    name: str
    rows: Rowset
    texts: Callable[[Rowset], Iterator[str]]
    left_out: dict[str, int] = field(default_factory=dict)
    key: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return self.texts(self.rows)

    @property
    def remarks(self) -> list[str]:
        """A sentence on each part whose texts are left out.

        Example:
            >>> Corpus("more.txt", np.arange(98), lambda rows: iter(()), {"test": 2}).remarks
            ['2 of 100 unlabelled texts are in the test file: left out']
        """
        total = len(self) + sum(self.left_out.values())
        return [
            f"{count:,} of {total:,} unlabelled texts {IN_PART[part]}: left out"
            for part, count in self.left_out.items()
        ]

    def record(self) -> dict[str, Any]:
        """Returns what a model records of the texts, as JSON values."""
        return {"name": self.name, "texts": len(self), "left_out": self.left_out}


def corpus_of_file(
    path: Path, data: DataConfig, held_out: HeldOut, reporter: Reporter, *, like: Source
) -> Corpus:
    """Returns the texts of a file or folder, in any format, and reports how many are left out.

    Args:
        path: the file; its labels, if any, are not read.
        data: the settings of the training file, as the user gave them.
        held_out: the texts to leave out.
        reporter: receives the facts and the progress.
        like: the training file; the text is in columns of the same names, or it is detected.

    Raises:
        DataError: the file can't be used, or no text is left.
    """
    try:
        source = detect(path, data, labelled=False, like=like)
    except DataError:  # other columns than those of the training file
        own = DataConfig(**{**data.model_dump(exclude_unset=True), "text": None, "label": None})
        source = detect(path, own, labelled=False)
    skipped = Skipped()
    with reporter.counting("reading unlabelled texts") as tick:
        rows, left_out = _kept(_ticking(read(source, skipped), tick), held_out)
    key = content_key([], contents_of(source), hashlib.sha256(rows.tobytes()).hexdigest())
    name = PurePath(path.absolute()).name
    corpus = Corpus(name, rows, lambda numbers: texts_of_rows(source, numbers), left_out, key)
    columns = f", column {' + '.join(source.text)}" if source.text and source.columns else ""
    reporter.facts({"unlabelled": f"{path}{columns}, {len(corpus):,} texts"})
    if skipped.count:
        reporter.warn(f"{path}: skipped {skipped.count:,} broken rows: {'; '.join(skipped.examples[:3])}")
    for remark in corpus.remarks:
        reporter.note(remark)
    return _not_empty(corpus, str(path))


def corpus_of_texts(texts: list[str], held_out: HeldOut) -> Corpus:
    """Returns texts given from Python.

    Raises:
        DataError: no text is left.
    """
    rows, left_out = _kept(iter(texts), held_out)
    digest = hashlib.sha256()
    for row in rows:
        digest.update(hashlib.sha256(texts[row].encode("utf-8")).digest())
    corpus = Corpus("texts", rows, lambda rows: (texts[row] for row in rows), left_out, digest.hexdigest())
    return _not_empty(corpus, "unlabeled")


def texts_of_file(path: Path, data: DataConfig, like: Source) -> Iterator[str]:
    """Yields the raw texts of a validation or test file."""
    source = detect(path, data, labelled=False, like=like)
    return (text for rows in read(source, Skipped()) for text in rows.texts)


def texts_of_rows(source: Source, numbers: Rowset) -> Iterator[str]:
    """Yields the raw texts of some rows, which must be sorted, streamed from the file."""
    position, first = 0, 0
    for rows in read(source, Skipped()):
        end = first + len(rows.texts)
        while position < len(numbers) and numbers[position] < end:
            yield rows.texts[int(numbers[position]) - first]
            position += 1
        if position == len(numbers):
            return
        first = end


def contents_of(source: Source) -> str:
    """Returns a fingerprint of a file's contents and of how its rows are read."""
    how = {name: value for name, value in asdict(source).items() if name not in ("path", "notes")}
    return content_key([source.path], json.dumps(how, sort_keys=True, default=str))


def _kept(texts: Iterable[str], held_out: HeldOut) -> tuple[Rowset, dict[str, int]]:
    """Returns the numbers of the texts that are in no part, and how many are in each part."""
    rows: list[int] = []
    left_out: Counter[str] = Counter()
    for row, text in enumerate(texts):
        part = held_out.part_of(text)
        if part is None:
            rows.append(row)
        else:
            left_out[part] += 1
    return np.array(rows, np.int64), dict(sorted(left_out.items()))


def _not_empty(corpus: Corpus, where: str) -> Corpus:
    if not len(corpus):
        what = "every text is in the test or validation part too" if corpus.left_out else "there are no texts"
        raise DataError(what, where=where, hint="give other texts of the same kind, without labels")
    return corpus


def _ticking(chunks: Iterator[Rows], tick: Tick) -> Iterator[str]:
    for rows in chunks:
        yield from rows.texts
        tick(len(rows))
