"""The rows of a result file: what stands in one, which of them a resumed run can leave out."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks.kernels.grid import Case

__all__ = ["Row", "append", "read"]


@dataclass(frozen=True)
class Row:
    """One peer's figures for one case. Rows of one case and date were timed in turns in one run."""

    date: str
    commit: str
    cpu: str
    lanes: int
    """Float32 numbers in a vector of our kernels: 16, 8 or 4."""
    widest: int
    """The same of the processor. If it is more, ``RECURRA_LANES`` made ours narrower, but not the peers'."""
    cores: int
    threads: int
    versions: str
    cell: str
    variant: str
    B: int
    T: int
    E: int
    H: int
    peer: str
    backend: str
    malloc: str
    p20_ms: float | None
    p50_ms: float | None
    p80_ms: float | None
    n: int
    gflops: float | None
    """Of the products with the weights at true steps, by p50."""
    peak_gflops: float
    """Measured in the same run, all threads, in vectors of ``lanes`` numbers."""
    peak_percent: float | None
    max_error: float | None
    """Share of the greatest number of the array it stands in."""
    error_in: str
    others_percent: float | None
    """Processor time that went to anything else while this peer was timed, of all cores' time."""
    note: str
    """Why there are no figures."""

    @property
    def case(self) -> Case:
        return Case(self.cell, self.variant, self.B, self.T, self.E, self.H)

    @property
    def machine(self) -> tuple[str, int, int, int]:
        """The kind of machine: figures of different ones are not compared."""
        return (self.cpu, self.lanes, self.cores, self.threads)

    @property
    def key(self) -> tuple[object, ...]:
        """What makes timing it again needless; the commit is not in it."""
        return (*self.machine, self.versions, self.case, self.peer, self.backend, self.malloc)


def append(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read(path: Path) -> list[Row]:
    """All rows of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Row:
    kinds = {field.name: str(field.type) for field in fields(Row)}
    if line.keys() != kinds.keys():
        raise SystemExit(f"the file has other columns: {', '.join(line.keys() ^ kinds.keys())}")
    make = {
        "str": str,
        "int": int,
        "float": float,
        "float | None": lambda text: float(text) if text else None,
    }
    return Row(**{name: make[kinds[name]](text) for name, text in line.items()})
