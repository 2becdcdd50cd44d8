"""The part of a task that `recurra compare` uses: the rows of a study as files, and scores on these rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.files import replacing
from recurra.measure.study import Criterion, Scores
from recurra.tasks.base import Prepared
from recurra.tasks.texts import Part

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "OtherEstimators", "StudyData", "StudyFunctions", "checked_answers", "draw_parquet", "drawn_rows",
    "fit_estimator", "nested_order", "text_chunks", "write_parquet", "write_parts", "write_strata",
]  # fmt: skip

_ROWS_AT_ONCE = 1_000
_STRATA = "strata.npy"


@dataclass(frozen=True)
class StudyData:
    """The rows of a study, in files that are the same for all runs.

    Attributes:
        folder: Directory of the files.
        rows: Number of training rows.
        measured: Number of rows that the arms are measured on.
        train: Training file; a relative path is relative to ``folder``, as for the others.
        valid: File that chooses the epoch; None if it is a part of ``train``.
        test: File to measure on; None if it is a part of ``train``, or the validation rows are measured on.
        tested: Whether the rows measured on did not choose the epoch.
        left_out: Number of test rows left out because their texts occur in the training file.
        majority: Value of the criterion for always giving the most frequent answer; None if not defined.
        settings: Settings for reading these files.
    """

    folder: Path
    rows: int
    measured: int
    train: str
    valid: str | None
    test: str | None
    tested: bool
    left_out: int = 0
    majority: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def path(self, name: str | None) -> Path | None:
        """Returns the path of one of the files."""
        return None if name is None else self.folder / name


P = TypeVar("P", bound=Prepared[Any, Any, Any])
B = TypeVar("B")


@dataclass(frozen=True)
class OtherEstimators(Generic[P]):
    """How `recurra.compare` trains and measures an estimator of another library.

    Attributes:
        fit: Trains the estimator on the training part of prepared data.
        score: Its scores on one part; raises DataError if its answers do not have the form of the rows.
    """

    fit: Callable[[Any, P], None]
    score: Callable[[Any, P, Any], Scores]


def fit_estimator(estimator: Any, X: Any, y: Any, validation: tuple[Any, Any]) -> None:
    """Calls ``estimator.fit(X, y)``, with ``validation_data`` too if it takes them."""
    accepted = signature(estimator.fit).parameters
    estimator.fit(X, y, **({"validation_data": validation} if "validation_data" in accepted else {}))


def checked_answers(found: Any, shape: tuple[int, ...], method: str) -> NDArray[Any]:
    """Returns the answers of an estimator of another library as an array of that shape.

    Raises:
        DataError: If their number or form is another one.
    """
    answers = np.asarray(found)
    if answers.size != np.prod(shape) or answers.shape[:1] != shape[:1]:
        raise DataError(f"{method} returned an array of shape {answers.shape} in place of {shape}")
    return answers.reshape(shape)


@dataclass(frozen=True)
class StudyFunctions(Generic[P, B]):
    """The functions of a task that `recurra compare` calls.

    Attributes:
        criterion: The figure that is compared.
        baseline: Key of the baseline among the arms, such as ``n-grams``.
        baseline_name: Its display name.
        write: Writes prepared data to a folder as the files of a study.
        score: Scores of a trained bundle on one part of the data.
        score_baseline: Scores of the baseline that the task's ``fit_baseline`` returned (None if the task has
            none) on one part of the prepared data.
        draw: Writes a number of training rows drawn by a seed to a path. The rows of a smaller number are
            among those of a larger one. None if a run takes fewer rows of the same file by ``smaller``.
        smaller: Settings of runs with a number of training rows, besides those of all runs. None without any;
            a task without ``draw`` and ``smaller`` has no smaller training sets.
        shared: Settings that all arms must have in common, since they determine what is measured; a section
            or a dotted name.
        others: How estimators of other libraries are trained and measured; None if they cannot be compared.
    """

    criterion: Criterion
    baseline: str
    baseline_name: str
    write: Callable[[P, Path], StudyData]
    score: Callable[[B, Any], Scores]
    score_baseline: Callable[[Any, P, Any], Scores]
    draw: Callable[[StudyData, int, int, Path], None] | None = None
    smaller: Callable[[StudyData, int], dict[str, Any]] | None = None
    shared: tuple[str, ...] = ()
    others: OtherEstimators[P] | None = None


def write_parts(
    prepared: Prepared[Any, Any, Any],
    folder: Path,
    ending: str,
    write: Callable[[Path, Any], None],
    **fields: Any,
) -> StudyData:
    """Writes each part with ``write`` to a file of its name with an ``ending``.

    Args:
        prepared: The data.
        folder: Directory of the files; created if needed.
        ending: Ending of the names, such as ``.parquet``.
        write: Writes one part to a path.
        **fields: Further fields of the result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
    names = {key: f"{key}{ending}" for key, part in parts.items() if part is not None}
    for key, name in names.items():
        write(folder / name, parts[key])
    counts = {"rows": len(prepared.train), "measured": len(prepared.test or prepared.valid)}
    files: dict[str, Any] = {"test": None, **names, "tested": prepared.test is not None}
    return StudyData(folder, **{**counts, **files, **fields})


def nested_order(strata: NDArray[np.integer[Any]], seed: int) -> NDArray[np.int64]:
    """Returns the rows in an order drawn by ``seed`` in which any prefix has the share of each stratum.

    Args:
        strata: Stratum of each row, such as its class, of shape ``(N,)``.
        seed: Seed of the order.

    Example:
        >>> nested_order(np.array([0] * 6 + [1] * 3), 1)[:3].tolist()
        [4, 0, 7]
    """
    generator = np.random.default_rng(seed)
    key = np.empty(len(strata))
    for stratum in np.unique(strata):
        rows = generator.permutation(np.flatnonzero(strata == stratum))
        # The n-th of the m rows of a stratum is within the n-th of m equal intervals.
        key[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
    return np.argsort(key, kind="stable").astype(np.int64)


def write_parquet(path: Path, tables: Iterable[pa.Table]) -> None:
    """Writes tables of the same columns to one Parquet file, atomically."""
    import pyarrow.parquet as pq

    with replacing(path) as draft:
        writer = None
        try:
            for table in tables:
                writer = writer or pq.ParquetWriter(draft, table.schema, compression="zstd")
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()


def text_chunks(part: Part, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
    """Yields sorted rows of a part in chunks, each with its texts."""
    import pyarrow as pa

    texts = part.texts(rows)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        chunk = rows[first : first + _ROWS_AT_ONCE]
        yield chunk, pa.array(list(islice(texts, len(chunk))), pa.string())


def write_strata(folder: Path, strata: NDArray[np.integer[Any]]) -> None:
    """Writes the stratum of each training row, which `draw_parquet` reads."""
    with replacing(folder / _STRATA) as draft, draft.open("wb") as file:
        np.save(file, strata, allow_pickle=False)


def draw_parquet(data: StudyData, size: int, seed: int, path: Path) -> None:
    """Writes ``size`` rows of the training file, drawn by ``seed``, to a Parquet file."""
    from pyarrow.dataset import dataset

    rows = drawn_rows(data, size, seed)
    write_parquet(path, [dataset(data.folder / data.train).take(rows)])


def drawn_rows(data: StudyData, size: int, seed: int) -> NDArray[np.int64]:
    """Returns the sorted training rows that a seed draws.

    Raises:
        DataError: If a stratum has no row among them.
    """
    strata = np.load(data.folder / _STRATA, allow_pickle=False)
    rows = np.sort(nested_order(strata, seed)[:size])
    if len(np.unique(strata[rows])) < len(np.unique(strata)):
        raise DataError(f"{size:,} rows leave out a class", where="--sizes", hint="ask for more rows")
    return rows
