"""The rows of a study, laid out once: the same training, validation and test rows for every run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.files import replacing
from recurra.tasks.classification.assess import new_rows
from recurra.tasks.classification.prepare import ClassifierData, prepare
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

__all__ = ["StudyData", "prepare_study_data"]

_AT_ONCE = 1_000


@dataclass(frozen=True)
class StudyData:
    """The files of a study.

    Attributes:
        folder: where they are.
        rows: how many training rows there are.
        measured: how many rows are measured on.
        tested: whether those are a test file's; else they are those that choose the epoch.
        left_out: test rows left out since their texts stand in the training file too.
        majority: share of the measured rows that are of the largest training class; None for multi-label.
        settings: the section ``data`` of the settings that read these files.
    """

    folder: Path
    rows: int
    measured: int
    tested: bool
    left_out: int
    majority: float | None
    settings: dict[str, Any]

    @property
    def valid(self) -> Path:
        """The rows that choose the epoch."""
        return self.folder / "valid.parquet"

    @property
    def test(self) -> Path | None:
        """The rows to measure on, where there is a test file."""
        return self.folder / "test.parquet" if self.tested else None

    def train(self, size: int, seed: int) -> Path:
        """The training rows, or ``size`` of them, drawn by the seed; fewer rows are among the more.

        Raises:
            DataError: so few that a class is missing.
        """
        whole = self.folder / "train.parquet"
        if not size:
            return whole
        path = self.folder / f"train-{size}-{seed}.parquet"
        if not path.is_file():
            strata = np.load(self.folder / "strata.npy", allow_pickle=False)
            chosen = np.sort(nested_order(strata, seed)[:size])
            if len(np.unique(strata[chosen])) < len(np.unique(strata)):
                raise DataError(f"{size:,} rows leave out a class", where="--sizes", hint="ask for more rows")
            _write(path, _taken(whole, chosen))
        return path


def prepare_study_data(
    data: Path,
    config: ClassifierConfig,
    folder: Path,
    reporter: Reporter,
    *,
    valid: Path | None,
    test: Path | None,
) -> StudyData:
    """Reads, splits and writes the rows to ``folder``, unless they are there from a former time.

    Test rows whose texts stand in the training file are left out: an arm must not gain by knowing them.

    Raises:
        DataError: a file can't be used, or no test row is left.
    """
    seal = folder / "parts.json"
    if not seal.is_file():
        ready = prepare(data, config, reporter, valid=valid, test=test)
        study_data = _study_data(ready, folder)
        fields = {name: value for name, value in vars(study_data).items() if name != "folder"}
        with replacing(seal) as draft:
            draft.write_text(json.dumps(fields), encoding="utf-8")
    study_data = StudyData(folder, **json.loads(seal.read_text(encoding="utf-8")))
    if study_data.left_out:
        reporter.warn(
            f"{study_data.left_out:,} of {study_data.left_out + study_data.measured:,} test texts stand "
            "in the training file too: they are left out"
        )
    return study_data


def nested_order(strata: NDArray[np.integer[Any]], seed: int) -> NDArray[np.int64]:
    """``(N,)`` the rows in an order drawn by ``seed``, any beginning of which has each class by its share.

    Example:
        >>> nested_order(np.array([0] * 6 + [1] * 3), 1)[:3].tolist()
        [4, 0, 7]
    """
    generator = np.random.default_rng(seed)
    key = np.empty(len(strata))
    for stratum in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == stratum))
        # The n-th of m rows of a class stands somewhere in the n-th of m equal stretches.
        key[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
    return np.argsort(key, kind="stable").astype(np.int64)


def _study_data(ready: ClassifierData, folder: Path) -> StudyData:
    names, kind = ready.assets.labels.names, ready.assets.labels.label_kind
    measured, kept = ready.valid, np.ones(len(ready.valid), bool)
    if ready.test is not None:
        measured, kept = ready.test, new_rows(ready.test, ready.train)
        if not kept.any():
            raise DataError(
                "every text stands in the training file too",
                where=ready.test.where,
                hint="give texts that no arm learned from",
            )
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "train.parquet", _rows(ready.train, ready.train.rows, names, kind))
    _write(folder / "valid.parquet", _rows(ready.valid, ready.valid.rows, names, kind))
    if ready.test is not None:
        _write(folder / "test.parquet", _rows(ready.test, ready.test.rows[kept], names, kind))
    codes = ready.train.labels
    strata = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1) if codes.ndim > 1 else codes
    with replacing(folder / "strata.npy") as draft, draft.open("wb") as file:
        np.save(file, strata, allow_pickle=False)
    majority = None
    if kind != "multilabel":
        largest = np.bincount(codes.astype(np.int64)).argmax()
        majority = float((measured.labels[kept] == largest).mean())
    columns = {"text": ["text"], "label": "label", "label_separator": None, "group": None}
    settings = {"format": "parquet", "label_kind": kind, **columns}
    rows, left_out = int(kept.sum()), int((~kept).sum())
    return StudyData(folder, len(ready.train), rows, ready.test is not None, left_out, majority, settings)


def _rows(part: Part, rows: NDArray[np.int64], names: tuple[str, ...], kind: str) -> Iterator[pa.Table]:
    """The sorted ``rows`` of a part's examples as tables of ``text`` and ``label``."""
    codes = part.labels[np.searchsorted(part.rows, rows)]
    texts = part.texts(rows)
    for first in range(0, len(rows), _AT_ONCE):
        some = codes[first : first + _AT_ONCE]
        chosen = [np.flatnonzero(row) if kind == "multilabel" else [row] for row in some]
        # A list even of one: no reader then looks for several labels within its name.
        labels = pa.array([[names[int(code)] for code in row] for row in chosen], pa.list_(pa.string()))
        yield pa.table({"text": pa.array(list(islice(texts, len(some))), pa.string()), "label": labels})


def _taken(path: Path, rows: NDArray[np.int64]) -> Iterator[pa.Table]:
    """The sorted ``rows`` of a file, a stretch at a time."""
    first = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_AT_ONCE):
            here = rows[(rows >= first) & (rows < first + len(batch))] - first
            if len(here):
                yield pa.table(batch.take(pa.array(here)).to_pydict(), schema=batch.schema)
            first += len(batch)


def _write(path: Path, tables: Iterable[pa.Table]) -> None:
    with replacing(path) as draft:
        writer = None
        try:
            for table in tables:
                writer = writer or pq.ParquetWriter(draft, table.schema, compression="zstd")
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
