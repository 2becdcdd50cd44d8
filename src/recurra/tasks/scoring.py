"""Scoring of a file: its rows with the answers of a model beside them, written to another file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError, DataError
from recurra.io.files import look, open_bytes
from recurra.tasks.answer_files import ANSWER_FORMATS, write_file
from recurra.tasks.base import PredictRequest
from recurra.tasks.inputs import whole_number
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import answers_of, bundle_of
from recurra.tasks.work import in_processes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Scored", "expected_rows", "predict_files", "types_of"]

_SAMPLE = 4_000_000  # bytes from which the number of rows is estimated
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Scored:
    """A file that was scored.

    Attributes:
        out: the file of the answers.
        answers: number of the answers.
        notes: number of rows by note, such as ``empty text``; empty for other tasks than classification.
        warnings: sentences about the answers.
    """

    out: Path
    answers: int
    notes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What ``recurra predict --json`` prints, without the model."""
        return {"rows": self.answers, "notes": self.notes, "out": str(self.out)}


def predict_files(
    model: Any,
    data: str | Path,
    out: str | Path,
    *,
    keep: bool | Sequence[str] = True,
    probabilities: bool = False,
    form: str | None = None,
    jobs: int = 1,
    safe_csv: bool = False,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Scored:
    """Writes the columns of a file and the answers of a model to another file, in the order of the rows.

    The memory does not depend on the number of rows, except for a series to forecast. If the file has a
    column with the name of one of the answers, that of the answers is called ``predicted_NAME``.

    Args:
        model: A model's directory, a bundle or a fitted estimator, of any task.
        data: The file, in any format that training reads.
        out: The file to write: ``.csv``, ``.tsv``, ``.jsonl`` (each also ``.gz``) or ``.parquet``.
        keep: Whether to repeat all columns of ``data``, or the names of those to repeat.
        probabilities: Whether to write the probability of each class too (classification).
        form: ``csv``, ``tsv``, ``jsonl`` or ``parquet``; None for that of the suffix of ``out``.
        jobs: Number of processes that compute answers.
        safe_csv: Whether cells of a CSV that a spreadsheet would take for a formula begin with an apostrophe.
        options: Further options of the task, as those of ``recurra predict``: ``{"next": 3}``.
        settings: Settings that describe ``data``, as a nested dictionary: ``{"data": {"text": ["body"]}}``.
        reporter: Receives the progress.

    Raises:
        BundleError: There is no model in the directory.
        ConfigError: A setting, an option or a column of ``keep`` is not for this model or file.
        DataError: ``data`` can't be used.
        OutputError: ``out`` can't be written; a previous file is unchanged.

    Example:
        >>> recurra.predict_files("my-model", "new.csv", "scored.parquet")  # doctest: +SKIP
        Scored(out=PosixPath('scored.parquet'), answers=1200, notes={'empty text': 3}, warnings=[...])
    """
    reporter = reporter or Reporter()
    data, out = Path(data), Path(out)
    if form is not None and form not in ANSWER_FORMATS:
        raise ConfigError(f"form is {form!r}", hint=f"use one of {', '.join(ANSWER_FORMATS)}")
    if not isinstance(keep, bool):
        keep = (keep,) if isinstance(keep, str) else tuple(keep)
    chosen = {**(options or {}), **({"probabilities": True} if probabilities else {})}
    request = PredictRequest(data, [], chosen, dict(settings or {}), keep)
    answers = in_processes(answers_of(bundle_of(model), request), whole_number(jobs, "jobs", least=1))
    for sentence in (known := [*answers.warnings]):
        reporter.warn(sentence)
    kept = bool(keep) and bool(answers.columns)
    with reporter.counting("predicting", expected_rows(data)) as tick:
        count = write_file(
            answers, out, form, safe=safe_csv, tick=tick, types=types_of(data) if kept else None
        )
    for sentence in answers.warnings[len(known) :]:
        reporter.warn(sentence)
    notes = {name: number for name, number in answers.counts.items() if name != "rows"}
    return Scored(out, count, notes, answers.warnings)


def types_of(data: Path | None) -> dict[str, pa.DataType]:
    """Returns the types of the columns of a Parquet file by name, those of dictionaries by their values.

    Empty for other files, whose types are detected.
    """
    if data is None or not _is_parquet(data):
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {}
    for column in pq.read_schema(data):
        kind = column.type
        types[column.name] = kind.value_type if pa.types.is_dictionary(kind) else kind
    return types


def _is_parquet(data: Path) -> bool:
    try:
        head = look(data, (_PARQUET,))
    except DataError:  # reported by the reader
        return False
    return head.data.startswith(_PARQUET) and not head.gzip


def expected_rows(data: Path | None) -> int | None:
    """Returns about how many rows a file has, for the time left; None if it can't be known fast.

    That of Parquet is in the file. That of a file of text follows from its size and its first lines.
    """
    if data is None or not data.is_file():
        return None
    if _is_parquet(data):
        import pyarrow.parquet as pq

        return int(pq.read_metadata(data).num_rows)
    try:
        if look(data).gzip:
            return None
        with open_bytes(data, False) as file:
            sample = file.read(_SAMPLE)
    except DataError:
        return None
    lines = sample.count(b"\n")
    size = data.stat().st_size
    if size <= len(sample):
        return max(1, lines)
    return max(1, round(lines * size / len(sample)))
