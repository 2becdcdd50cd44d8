"""The runs of a study on disk: what was asked for, and a line for each run that is done."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from recurra.errors import OutputError
from recurra.files import replacing

__all__ = ["BASELINE", "DATA", "Job", "Run", "Store", "pack", "unpack"]

BASELINE = "n-grams"  # the arm that is no network
DATA = "data"  # the folder of the rows
_STUDY, _RUNS = "study.json", "runs.jsonl"


class Job(BaseModel):
    """One run to do, as it is handed to its process.

    Attributes:
        arm: its key, or `BASELINE`.
        size: training rows, or 0 for all there are.
        seed: of weights, masks, batches and, for fewer rows than all, of which rows.
        settings: layers of settings in the nesting of `Config`, later ones winning.
        train: the training file.
        valid: the file that chooses the epoch.
        test: the file to measure on; that of ``valid`` if None.
    """

    model_config = ConfigDict(frozen=True)

    arm: str
    size: int
    seed: int
    settings: tuple[dict[str, Any], ...]
    train: Path
    valid: Path
    test: Path | None


class Run(BaseModel):
    """What one run found.

    Attributes:
        arm: its key, or `BASELINE`.
        size: training rows asked for, or 0 for all there are.
        seed: see `Job`.
        train_rows: how many it learned from.
        rows: how many it was measured on.
        accuracy: share of them that it has right.
        log_loss: mean of them, with calibrated probabilities.
        right: which rows it has right, as `pack` writes them.
        seconds: of training, by the clock.
        cpu_seconds: of training, by the processors.
        memory: the most that its process had in use, in bytes; None where the system does not say.
        parameters: numbers in the network; 0 for the baseline.
        best_epoch: whose weights were kept.
        epochs: how many were trained.
        token_share: share of the training texts' tokens with a pretrained vector; None without.
    """

    model_config = ConfigDict(frozen=True)

    arm: str
    size: int
    seed: int
    train_rows: int
    rows: int
    accuracy: float
    log_loss: float
    right: str
    seconds: float
    cpu_seconds: float
    memory: int | None
    parameters: int = 0
    best_epoch: int = 0
    epochs: int = 0
    token_share: float | None = None

    @property
    def place(self) -> tuple[str, int, int]:
        """What it is a run of: arm, size, seed."""
        return self.arm, self.size, self.seed


def pack(right: NDArray[np.bool_]) -> str:
    """``(n,)`` truths as text, eight in a byte."""
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def unpack(text: str, rows: int) -> NDArray[np.bool_]:
    """``(n,)`` truths that `pack` wrote.

    Example:
        >>> unpack(pack(np.array([True, False, True])), 3).tolist()
        [True, False, True]
    """
    bits = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(bits, count=rows).astype(bool)


class Store:
    """A study's directory: ``study.json`` says what it is, ``runs.jsonl`` has a line for each run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = folder / _RUNS

    def open(self, study: dict[str, Any]) -> dict[tuple[str, int, int], Run]:
        """The runs that are done already, by arm, size and seed; ``study`` says what they must be runs of.

        Raises:
            OutputError: the directory holds something else, or runs of another study, or can't be written.
        """
        path = self.folder / _STUDY
        if not path.is_file():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise OutputError(
                    "is there already and holds no comparison", where=self.folder, hint="choose another --out"
                )
            with replacing(path) as draft:
                draft.write_text(json.dumps(study, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            return {}
        try:
            former = json.loads(path.read_text(encoding="utf-8"))
            other = [name.replace("_", " ") for name in study if former.get(name) != study[name]]
        except (OSError, ValueError, AttributeError):
            raise OutputError("can't be read", where=path, hint="choose another --out") from None
        if other:
            raise OutputError(
                f"holds another comparison: {', '.join(other)} differ{'s' if len(other) == 1 else ''}",
                where=self.folder,
                hint="choose another --out, or repeat the command as it was",
            )
        return {run.place: run for run in self._read()}

    def forget(self) -> None:
        """Takes back what `open` began, where no run has been made."""
        if not self._runs.exists():
            shutil.rmtree(self.folder / DATA, ignore_errors=True)
            (self.folder / _STUDY).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.folder.rmdir()

    def add(self, run: Run) -> None:
        """Writes one more line, and waits until it is on the disk.

        Raises:
            OutputError: it can't be written.
        """
        line = run.model_dump_json().encode() + b"\n"
        try:
            handle = os.open(self._runs, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.lseek(handle, 0, os.SEEK_END)
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = b"\n" + line  # what a power cut left of a line stays one by itself
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise OutputError(f"can't be written ({error.strerror})", where=self._runs) from error

    def _read(self) -> Iterator[Run]:
        if not self._runs.is_file():
            return
        for line in self._runs.read_bytes().splitlines():
            try:
                yield Run.model_validate_json(line)
            except ValidationError:
                continue  # a line that was cut off: that run is done again
