"""Scoring of files: their rows with the answers of a model beside them, written to other files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError, DataError, OutputError
from recurra.io.files import look, open_bytes
from recurra.io.formats import format_named
from recurra.tasks.answer_files import ANSWER_FORMATS, BINARY, format_of, write_file
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.inputs import whole_number
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import answers_of, bundle_of
from recurra.tasks.work import computed

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Scored", "expected_rows", "predict_files", "score", "types_of"]

_SAMPLE = 4_000_000  # bytes from which the number of rows is estimated
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Scored:
    """A file that was scored, or several.

    Attributes:
        out: the file of the answers; of several files, their directory.
        answers: number of the answers.
        notes: number of rows by note, such as ``empty text``; empty for other tasks than classification.
        warnings: sentences about the answers.
        files: of several files, each of them.
    """

    out: Path
    answers: int
    notes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: list[Scored] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What ``recurra predict --json`` prints, without the model."""
        files = {"files": [file.as_json() for file in self.files]} if self.files else {}
        return {"rows": self.answers, "notes": self.notes, "out": str(self.out), **files}


def predict_files(
    model: Any,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    keep: bool | Sequence[str] = True,
    probabilities: bool = False,
    form: str | None = None,
    jobs: int | None = None,
    engine: str | None = None,
    address: str | None = None,
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
        data: The file, in any format that training reads; or several files.
        out: The file to write: ``.csv``, ``.tsv``, ``.jsonl`` (each also ``.gz``) or ``.parquet``. For
            several files, or if it is a directory, the directory of one file for each, of the same name.
        keep: Whether to repeat all columns of ``data``, or the names of those to repeat.
        probabilities: Whether to write the probability of each class too (classification).
        form: ``csv``, ``tsv``, ``jsonl`` or ``parquet``; None for that of the suffix of ``out``, and in a
            directory for that of each file, if answers can be written in it, else ``csv``.
        jobs: Number of processes that compute answers; None for one, with ``engine`` for one per processor.
        engine: ``processes``, ``ray`` or ``inline``; None for this process, or for ``processes`` if there is
            more than one job.
        address: Address of a Ray cluster; None to start one on this machine.
        safe_csv: Whether cells of a CSV that a spreadsheet would take for a formula begin with an apostrophe.
        options: Further options of the task, as those of ``recurra predict``: ``{"next": 3}``.
        settings: Settings that describe ``data``, as a nested dictionary: ``{"data": {"text": ["body"]}}``.
        reporter: Receives the progress.

    Raises:
        BundleError: There is no model in the directory.
        ConfigError: A setting, an option or a column of ``keep`` is not for this model or file.
        DataError: ``data`` can't be used.
        DependencyError: The library of the engine is not installed.
        OutputError: ``out`` can't be written; a previous file is unchanged.

    Example:
        >>> recurra.predict_files("my-model", "new.csv", "scored.parquet")  # doctest: +SKIP
        Scored(out=PosixPath('scored.parquet'), answers=1200, notes={'empty text': 3}, ...)
    """
    files = [Path(data)] if isinstance(data, str | Path) else [Path(file) for file in data]
    if form is not None and form not in ANSWER_FORMATS:
        raise ConfigError(f"form is {form!r}", hint=f"use one of {', '.join(ANSWER_FORMATS)}")
    if not isinstance(keep, bool):
        keep = (keep,) if isinstance(keep, str) else tuple(keep)
    chosen = {**(options or {}), **({"probabilities": True} if probabilities else {})}
    requests = [PredictRequest(file, [], chosen, dict(settings or {}), keep) for file in files]
    return score(
        model, requests, Path(out), form=form, jobs=jobs, engine=engine, address=address, safe_csv=safe_csv,
        reporter=reporter or Reporter(),
    )  # fmt: skip


def score(
    model: Any,
    requests: Sequence[PredictRequest],
    out: Path,
    *,
    form: str | None = None,
    jobs: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    safe_csv: bool = False,
    reporter: Reporter,
) -> Scored:
    """Writes the answers to requests to files; arguments and errors are those of `predict_files`."""
    jobs = None if jobs is None else whole_number(jobs, "jobs", least=1)
    if not requests:
        raise ConfigError("there is no file to predict", hint="name one")
    many = len(requests) > 1 or out.is_dir()
    places = _places([request.file for request in requests], out, form) if many else [out]
    bundle = bundle_of(model)
    scored = []
    with computed(
        Path(model) if isinstance(model, str | Path) else bundle,
        requests,
        lambda request: answers_of(bundle, request),
        jobs=jobs,
        engine=engine,
        address=address,
    ) as found:
        for request, place, answers in zip(requests, places, found, strict=True):
            scored.append(_scored(answers, request, place, form, safe_csv, reporter))
    if not many:
        return scored[0]
    notes: Counter[str] = Counter()
    for file in scored:
        notes.update(file.notes)
    warnings = [f"{file.out.name}: {sentence}" for file in scored for sentence in file.warnings]
    return Scored(out, sum(file.answers for file in scored), dict(notes), warnings, scored)


def _scored(
    answers: Answers, request: PredictRequest, out: Path, form: str | None, safe: bool, reporter: Reporter
) -> Scored:
    """Writes the answers to one request to a file."""
    for sentence in (known := [*answers.warnings]):
        reporter.warn(sentence)
    binary = (form or format_of(out)) == BINARY
    types = types_of(request.file) if binary and answers.columns else None
    with reporter.counting("predicting", expected_rows(request.file)) as tick:
        count = write_file(answers, out, form, safe=safe, tick=tick, types=types)
    for sentence in answers.warnings[len(known) :]:
        reporter.warn(sentence)
    notes = {name: number for name, number in answers.counts.items() if name != "rows"}
    return Scored(out, count, notes, answers.warnings)


def _places(files: Sequence[Path | None], folder: Path, form: str | None) -> list[Path]:
    """Returns the file to write in a directory for each file.

    Raises:
        ConfigError: two of them would be the same, or one of the files would be replaced.
        OutputError: there is a file in the directory's place.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError("is not a directory", where=folder, hint="several files need a directory")
    sources = [file for file in files if file is not None and str(file) != "-"]
    if len(sources) < len(files):
        raise ConfigError("standard input can't be one of several files", hint="name a file for --out")
    places: dict[Path, Path] = {}
    for source in sources:
        place = folder / _name(source, form)
        if place in places:
            what = f"the answers to {places[place]} and {source} would be the same file"
            raise ConfigError(what, where=place, hint="give files of different names")
        if place.exists() and place.samefile(source):
            raise ConfigError("would be replaced by its answers", where=source, hint="choose another --out")
        places[place] = source
    return list(places)


def _name(source: Path, form: str | None) -> str:
    """Returns the name of the answers to a file.

    Example:
        >>> [_name(Path(name), None) for name in ("a.tsv", "b.csv.gz", "c.txt", "d")]
        ['a.tsv', 'b.csv.gz', 'c.csv', 'd.csv']
        >>> _name(Path("b.csv.gz"), "parquet")
        'b.parquet'
    """
    name = form or format_of(source)
    plain = Path(source.name.removesuffix(".gz"))
    if plain.suffix.lower() in format_named(name).suffixes:
        return plain.name if name == BINARY else source.name
    return f"{plain.stem}.{name}"


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
