"""The runs of a study on disk: the description of the study, and one line per finished run."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from recurra.errors import OutputError
from recurra.files import replacing
from recurra.measure.study import Scores

__all__ = [
    "DATA", "Job", "Place", "Run", "Store", "append_line", "files_read", "open_identified", "pack", "unpack",
]  # fmt: skip

DATA = "data"  # directory of the rows
_STUDY, _RUNS = "study.json", "runs.jsonl"
_FLOATS = "f8:"


class Place(BaseModel):
    """The place of a run in a study.

    Attributes:
        arm: Key of the arm or of the baseline.
        size: Number of training rows requested; 0 for all.
        seed: Seed of weights, masks and batches, and of the choice of rows if not all are used.
    """

    model_config = ConfigDict(frozen=True)

    arm: str
    size: int
    seed: int

    @property
    def place(self) -> tuple[str, int, int]:
        """Arm, size and seed."""
        return self.arm, self.size, self.seed

    def __str__(self) -> str:
        rows = f"{self.size:,} rows, " if self.size else ""
        return f"{self.arm}, {rows}seed {self.seed}"


class Job(Place):
    """One run to make, as it is sent to its process.

    Attributes:
        rows: Number of training rows in ``train``.
        settings: Layers of settings nested as in `Config`; later ones override earlier ones.
        train: Training file.
        valid: File that chooses the epoch; None if it is a part of ``train``.
        test: File to measure on; None if it is a part of ``train``, or the validation rows are measured on.
        baseline: Whether to train the baseline instead of a network.
        estimator: Name of the origin of an estimator of another library; None for a network or the baseline.
        imports: Modules to import first, which register cells.
        path: Directories from which modules are imported, besides those of the process.
    """

    rows: int
    settings: tuple[dict[str, Any], ...]
    train: Path
    valid: Path | None
    test: Path | None
    baseline: bool = False
    estimator: str | None = None
    imports: tuple[str, ...] = ()
    path: tuple[str, ...] = ()


class Run(Place):
    """The results of one run.

    Attributes:
        train_rows: Number of training rows.
        rows: Number of rows measured on.
        score: Value of the criterion of the study, such as the accuracy.
        log_loss: Mean log loss with calibrated probabilities; None if the task has none.
        scores: Score of each row, as written by `pack`.
        sizes: Units in each row, as written by `pack`; None if each row is one unit.
        seconds: Wall-clock time of the training.
        cpu_seconds: Processor time of the training.
        memory: Peak memory of the process in bytes; None if the system does not report it.
        parameters: Number of parameters of the network; 0 for the baseline.
        best_epoch: Epoch whose weights were kept.
        epochs: Number of epochs trained.
        token_share: Share of the tokens of the training texts with a pretrained vector; None without one.
    """

    train_rows: int
    rows: int
    score: float
    log_loss: float | None
    scores: str
    sizes: str | None = None
    seconds: float
    cpu_seconds: float
    memory: int | None
    parameters: int = 0
    best_epoch: int = 0
    epochs: int = 0
    token_share: float | None = None

    @property
    def row_scores(self) -> Scores:
        """The scores of the rows."""
        sizes = None if self.sizes is None else unpack(self.sizes, self.rows).astype(np.float64)
        return Scores(unpack(self.scores, self.rows), sizes, self.log_loss)


def files_read(settings: Sequence[dict[str, Any]], *paths: Path | None) -> list[str]:
    """Returns the paths of the files that a run reads, as they are written in its job.

    Args:
        settings: Its layers of settings, which may name pretrained weights and a file of the vocabulary.
        paths: Its files of rows; None for those that it does not have.

    Example:
        >>> files_read([{"train": {"pretrained": "glove.txt"}}, {"model": {"units": 8}}], Path("a.csv"), None)
        ['a.csv', 'glove.txt']
    """
    places = (("train", "pretrained"), ("language", "vocabulary"))
    found = [(layer.get(section) or {}).get(key) for layer in settings for section, key in places]
    named = [path for path in found if path]
    return list(dict.fromkeys([*(str(path) for path in paths if path is not None), *map(str, named)]))


def pack(values: NDArray[np.bool_] | NDArray[np.float64]) -> str:
    """Returns ``n`` values as text: booleans as bits, numbers as float64."""
    if values.dtype == bool:
        return base64.b64encode(np.packbits(values.astype(bool)).tobytes()).decode("ascii")
    return _FLOATS + base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")


def unpack(text: str, rows: int) -> NDArray[np.bool_] | NDArray[np.float64]:
    """Returns the ``rows`` values that `pack` wrote.

    Example:
        >>> unpack(pack(np.array([True, False, True])), 3).tolist()
        [True, False, True]
        >>> unpack(pack(np.array([0.5, 3.0])), 2).tolist()
        [0.5, 3.0]
    """
    if text.startswith(_FLOATS):
        return np.frombuffer(base64.b64decode(text.removeprefix(_FLOATS)), "<f8").astype(np.float64)
    bits = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(bits, count=rows).astype(bool)


def open_identified(path: Path, identity: dict[str, Any], what: str, hint: str) -> bool:
    """Writes the description of what a directory holds, or checks that it has the same one.

    Args:
        path: The file of the description.
        identity: The description, JSON values.
        what: What the directory is to hold, such as "comparison".
        hint: What to do with a directory of another description.

    Returns:
        Whether the file was created.

    Raises:
        OutputError: If the directory has other contents or another description, or cannot be written.
    """
    folder = path.parent
    if not path.is_file():
        # A hidden file is the draft of a process that was killed.
        foreign = folder.exists() and (
            not folder.is_dir() or any(file.name[0] != "." for file in folder.iterdir())
        )
        if foreign:
            raise OutputError(
                f"already exists and holds no {what}", where=folder, hint="choose another --out"
            )
        with replacing(path) as draft:
            draft.write_text(json.dumps(identity, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return True
    try:
        former = json.loads(path.read_text(encoding="utf-8"))
        other = [name.replace("_", " ") for name in identity if former.get(name) != identity[name]]
    except (OSError, ValueError, AttributeError):
        raise OutputError("can't be read", where=path, hint="choose another --out") from None
    if other:
        raise OutputError(
            f"holds another {what}: {', '.join(other)} differ{'s' if len(other) == 1 else ''}",
            where=folder,
            hint=hint,
        )
    return False


def append_line(path: Path, line: str) -> None:
    """Appends a line to a file and waits until it is on the disk.

    Raises:
        OutputError: If it cannot be written.
    """
    raw = line.encode() + b"\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            if size and os.pread(handle, 1, size - 1) != b"\n":
                raw = b"\n" + raw  # an incomplete line remains a line of its own
            os.write(handle, raw)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise OutputError(f"can't be written ({error.strerror})", where=path) from error


class Store:
    """The directory of a study: its description in ``study.json``, one line per run in ``runs.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = folder / _RUNS

    def open(self, study: dict[str, Any]) -> dict[tuple[str, int, int], Run]:
        """Returns the finished runs of a study by arm, size and seed, and creates the directory if needed.

        Args:
            study: Description of the study.

        Raises:
            OutputError: If the directory has other contents, belongs to another study, or cannot be written.
        """
        hint = "choose another --out, or repeat the command as it was"
        if open_identified(self.folder / _STUDY, study, "comparison", hint):
            return {}
        return self.finished()

    def forget(self) -> None:
        """Removes what `open` created, if no run has been made."""
        if not self._runs.exists():
            shutil.rmtree(self.folder / DATA, ignore_errors=True)
            (self.folder / _STUDY).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.folder.rmdir()

    def add(self, run: Run) -> None:
        """Appends a run and waits until it is on the disk.

        Raises:
            OutputError: If it cannot be written.
        """
        append_line(self._runs, run.model_dump_json())

    def finished(self) -> dict[tuple[str, int, int], Run]:
        """Returns the finished runs by arm, size and seed."""
        return {run.place: run for run in self._read()}

    def _read(self) -> Iterator[Run]:
        if not self._runs.is_file():
            return
        for line in self._runs.read_bytes().splitlines():
            try:
                yield Run.model_validate_json(line)
            except ValidationError:
                continue  # an incomplete line: this run is made again
