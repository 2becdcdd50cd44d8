"""Tagged sentences, running text and series as the estimators take them, from local copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig
from recurra.datasets.labelled import found
from recurra.io.files import FileLines, look
from recurra.tasks.forecasting.series.table import read_table
from recurra.tasks.tagging.sentences.reading import detect_sentences, read_sentences
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = [
    "Columns", "Parts", "Sentences", "load_beijing", "load_etth1", "load_ptb", "load_tinyshakespeare",
    "load_ud_ewt",
]  # fmt: skip

T = TypeVar("T")


class Parts(NamedTuple, Generic[T]):
    """The three parts of a set; it unpacks as ``train, valid, test``."""

    train: T
    valid: T
    test: T


class Sentences(NamedTuple):
    """Sentences as `SequenceTagger` takes them; it unpacks as ``words, tags``."""

    words: list[list[str]]
    tags: list[list[str]]


Columns = dict[str, NDArray[Any]]
"""Columns of equal length by name, as `Forecaster` takes them."""

_ETT_ROWS = 14_400  # 20 months of 30 days
_PARTS = (0.6, 0.8)


def load_ud_ewt(*, folder: str | Path | None = None) -> Parts[Sentences]:
    """Returns Universal Dependencies English-EWT with its 17 parts of speech (UPOS), from a local copy.

    Silveira et al. (2014), "A Gold Standard Dependency Corpus for English". 12,544, 2,001 and 2,077
    sentences.

    Args:
        folder: a folder with ``train``, ``dev`` and ``test`` in CoNLL-U. If None, ``$RECURRA_DATA/ud_ewt``
            and the cache of the user.

    Raises:
        DataError: there is no copy, or a file can't be read.

    Example:
        ``(words, tags), *_ = load_ud_ewt()`` and ``SequenceTagger().fit(words, tags)``.
    """
    return Parts(*map(_tagged, found("ud_ewt", folder, "train", "dev", "test")))


def load_ptb(*, folder: str | Path | None = None) -> Parts[list[str]]:
    """Returns the sentences of the Penn Treebank as split by Mikolov et al. (2010), from a local copy.

    Words are separated by spaces, rare ones are ``<unk>``. 42,068, 3,370 and 3,761 sentences.

    Args:
        folder: a folder with ``train``, ``valid`` and ``test``. If None, ``$RECURRA_DATA/ptb`` and the cache
            of the user.

    Raises:
        DataError: there is no copy, or a file can't be read.
    """
    return Parts(*map(_lines, found("ptb", folder, "train", "valid", "test")))


def load_tinyshakespeare(*, folder: str | Path | None = None) -> Parts[list[str]]:
    """Returns lines of Shakespeare's plays (Karpathy 2015, 1.1 million characters), from a local copy.

    The first 90% of the lines train, 5% validate, and the last 5% test.

    Args:
        folder: a folder with ``tinyshakespeare.txt``. If None, ``$RECURRA_DATA/text`` and the cache of the
            user.

    Raises:
        DataError: there is no copy, or the file can't be read.
    """
    [path] = found("text", folder, "tinyshakespeare")
    lines = _lines(path)
    first, second = round(0.9 * len(lines)), round(0.95 * len(lines))
    return Parts(lines[:first], lines[first:second], lines[second:])


def load_etth1(*, folder: str | Path | None = None) -> Parts[Columns]:
    """Returns hourly loads and the oil temperature ``OT`` of a transformer (ETTh1), from a local copy.

    Zhou et al. (2021), "Informer". The parts are those of the paper: 12, 4 and 4 months of 30 days.

    Args:
        folder: a folder with ``ETTh1.csv``. If None, ``$RECURRA_DATA/series`` and the cache of the user.

    Raises:
        DataError: there is no copy, or the file can't be read.

    Example:
        ``train, valid, _ = load_etth1()``, ``Forecaster(target="OT").fit(train, validation_data=valid)``.
    """
    columns = _columns(found("series", folder, "ETTh1")[0])
    rows = min(_ETT_ROWS, len(columns["date"]))
    first, second = (round(share * rows) for share in _PARTS)
    parts = slice(first), slice(first, second), slice(second, rows)
    return Parts(*({name: cells[part] for name, cells in columns.items()} for part in parts))


def load_beijing(*, folder: str | Path | None = None) -> Parts[Columns]:
    """Returns five years of hourly weather and fine dust ``pm2.5`` in Beijing, from a local copy.

    Liang et al. (2015), "Assessing Beijing's PM2.5 pollution". Missing numbers are NaN; the wind ``cbwd`` is
    a category. The years before the last two train, the last but one validates, and the last tests.

    Args:
        folder: a folder with ``beijing...csv``. If None, ``$RECURRA_DATA/series`` and the cache of the user.

    Raises:
        DataError: there is no copy, or the file can't be read.
    """
    columns = _columns(found("series", folder, "beijing")[0])
    year = columns["year"]
    parts = year < year.max() - 1, year == year.max() - 1, year == year.max()
    return Parts(*({name: cells[part] for name, cells in columns.items()} for part in parts))


def _lines(path: Path) -> list[str]:
    """The lines of a text, packed by gzip or not."""
    return [line.rstrip("\r\n") for line in FileLines(path, look(path).gzip, "utf-8", False)]


def _tagged(path: Path) -> Sentences:
    source = detect_sentences(path, DataConfig(), TaggingConfig())
    sentences = list(read_sentences(source))
    return Sentences([list(s.words) for s in sentences], [list(s.tags or ()) for s in sentences])


def _columns(path: Path) -> Columns:
    """The columns of a table: numbers, or text if a cell is neither a number nor missing."""
    table, columns = read_table(path, DataConfig()), {}
    for name, cells in table.columns.items():
        numbers = table.numbers_in(name)
        columns[name] = np.array(cells.to_pylist()) if len(numbers.strange) else numbers.values
    return columns
