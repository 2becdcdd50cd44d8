"""A run: each case's data made, every peer prepared, checked against the truth, then timed in turns."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.kernels import machine
from benchmarks.kernels.check import Checked, checked
from benchmarks.kernels.grid import Case
from benchmarks.kernels.hosts import Host, HostEndedError
from benchmarks.kernels.peak import fma_peak, vector_lanes
from benchmarks.kernels.peers.roster import OURS, PEERS
from benchmarks.kernels.rows import Row, append, read
from benchmarks.kernels.slices import done, within
from recurra.kernels.dispatch import BACKENDS
from recurra.runtime import facts

__all__ = ["run"]

_TURN = 0.05  # seconds that one peer is timed before the next one's turn
_REST = 0.01  # seconds after each turn, in which its threads fall asleep
_TURNS = (5, 60)  # at least and at most, for each peer


@dataclass
class Entry:
    """One peer in one process, and what is known of it for one case."""

    peer: str
    host: Host
    results: Path
    note: str = ""
    check: Checked | None = None
    times: list[float] = field(default_factory=list)
    wall: float = 0.0
    others: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.peer}{' (tuned)' if self.host.malloc == 'tuned' else ''}"


def run(cases: list[Case], options: argparse.Namespace) -> int:
    """Time the cases and append their rows to ``options.out``, a case at a time.

    Returns:
        How many cases were left after ``options.limit`` seconds.
    """
    backend = options.backend or ("cpu" if "cpu" in BACKENDS else "auto")
    common = {
        "commit": machine.commit(),
        "cpu": facts()["cpu"],
        "lanes": machine.lanes(),
        "widest": vector_lanes(),
        "cores": machine.cores(),
        "threads": options.threads,
        "versions": machine.versions(),
        "peak_gflops": round(fma_peak(options.threads, seconds=2, lanes=machine.lanes()), 1),
    }
    _say(
        f"{len(cases)} cases; {common['versions']}; {common['cpu']}, vectors of {common['lanes']} numbers, "
        f"peak {common['peak_gflops']:.0f} GFLOP/s"
    )
    known = done(read(options.out), options.resume)
    with _hosts(options) as (folder, judge, hosts):

        def entries_of(case: Case) -> list[Entry]:
            return [
                Entry(peer, host, folder / f"{peer} {malloc}.npz")
                for (peer, malloc), host in hosts.items()
                if PEERS[peer].computes(case)
            ]

        def rows_of(case: Case, entries: list[Entry], steps: int) -> list[Row]:
            now = datetime.now().isoformat(timespec="seconds")
            return [_row(entry, common, case, now, backend, case.flops(steps)) for entry in entries]

        waiting = [
            case for case in cases if any(row.key not in known for row in rows_of(case, entries_of(case), 0))
        ]
        number = 0
        for number, case in enumerate(within(options.limit, waiting), 1):
            begun, entries = time.perf_counter(), entries_of(case)
            steps = _measure(case, entries, judge, folder, backend, options.seconds)
            append(options.out, rows_of(case, entries, steps))
            for process in {judge, *hosts.values()}:
                process.forget()
            _report(f"{number}/{len(waiting)} {case}", entries, time.perf_counter() - begun)
    return len(waiting) - number


@contextmanager
def _hosts(options: argparse.Namespace) -> Iterator[tuple[Path, Host, dict[tuple[str, str], Host]]]:
    """The judge, and for every peer and malloc setting the process it lives in; all ended at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool: dict[tuple[str, str], Host] = {}
        hosts = {}
        for peer in options.peers:
            for malloc in ("default", "tuned") if peer in options.tuned else ("default",):
                library = PEERS[peer].host
                host = pool.setdefault((library, malloc), Host(library, options.threads, malloc, folder))
                hosts[peer, malloc] = host
        judge = Host("truth", options.threads, "default", folder)
        try:
            yield folder, judge, hosts
        finally:
            for host in (judge, *pool.values()):
                host.stop()


def _measure(
    case: Case, entries: list[Entry], judge: Host, folder: Path, backend: str, seconds: float
) -> int:
    """Fill in the entries, and return the number of steps of all rows."""
    data, truth = folder / "data.npz", folder / "truth.npz"
    made = judge.ask({"do": "make", "case": asdict(case), "data": str(data), "truth": str(truth)})
    judge.forget()
    if "error" in made:
        raise SystemExit(f"no truth for {case}: {made['error']}")
    lengths = np.load(data)["lengths"]
    _prepare(case, entries, {"case": asdict(case), "data": str(data), "backend": backend})
    for entry in entries:
        if not entry.note:
            entry.check = checked(entry.results, truth, lengths)
            if not entry.check.passed:
                entry.note = f"not timed: {entry.check.name} is {entry.check.error:.1e} from the truth"
        entry.results.unlink(missing_ok=True)
    _time([entry for entry in entries if not entry.note], random.Random(case.seed), seconds)
    return int(lengths.sum())


def _prepare(case: Case, entries: list[Entry], request: dict[str, Any]) -> None:
    """Data handed over, code compiled, results written: in all processes at once where memory allows."""
    free = psutil.virtual_memory().available
    for entry in entries:
        if PEERS[entry.peer].keeps_steps and 2 * case.saved_bytes > free / 2:
            entry.note = f"not tried: may need {2 * case.saved_bytes / 2**30:.0f} GiB of memory"
    queues: dict[Host, list[Entry]] = {}
    for entry in entries:
        if not entry.note:
            queues.setdefault(entry.host, []).append(entry)
    at_once = 2 * case.saved_bytes * len(queues) < free / 2
    singly = ([entry] for queue in queues.values() for entry in queue)
    for wave in zip_longest(*queues.values()) if at_once else singly:
        asked = []
        for entry in filter(None, wave):
            what = {"do": "prepare", "peer": entry.peer, "prepare": PEERS[entry.peer].prepare}
            with _noted(entry):
                entry.host.send({**request, **what, "results": str(entry.results)})
                asked.append(entry)
        for entry in asked:
            with _noted(entry):
                entry.note = entry.host.receive().get("error", "")


def _time(entries: list[Entry], chance: random.Random, seconds: float) -> None:
    """Turns in an order drawn anew each round; who is slow has fewer turns, spread over all rounds."""
    for entry in entries:  # the first turn of each says how many there is time for
        _turn(entry)
    share = seconds / max(len(entries), 1)
    turns = {e.label: int(np.clip(share / (e.wall + _REST), *_TURNS)) - 1 for e in entries if not e.note}
    rounds = max(turns.values(), default=0)
    for number in range(rounds):
        order = [e for e in entries if not e.note and _has_turn(number, turns[e.label], rounds)]
        chance.shuffle(order)
        for entry in order:
            _turn(entry)


def _has_turn(number: int, turns: int, rounds: int) -> bool:
    return (number + 1) * turns // rounds > number * turns // rounds


def _turn(entry: Entry) -> None:
    time.sleep(_REST)
    with _noted(entry):
        busy, own, begun = machine.busy_seconds(), entry.host.cpu_seconds(), time.perf_counter()
        answer = entry.host.ask({"do": "time", "peer": entry.peer, "seconds": _TURN})
        entry.wall += time.perf_counter() - begun
        entry.others += machine.busy_seconds() - busy - (entry.host.cpu_seconds() - own)
        entry.note = answer.get("error", "")
        entry.times += answer.get("times", [])


@contextmanager
def _noted(entry: Entry) -> Iterator[None]:
    """A process that ends takes its figures with it, not the run."""
    try:
        yield
    except HostEndedError as ended:
        entry.note = str(ended)


def _row(entry: Entry, shared: dict[str, Any], case: Case, date: str, backend: str, flops: int) -> Row:
    timed = bool(entry.times) and not entry.note
    p20, p50, p80 = np.percentile(entry.times, [20, 50, 80]).tolist() if timed else [None] * 3
    gflops = 1e-6 * flops / p50 if p50 else None
    wall = entry.wall * shared["cores"]
    return Row(
        **shared,
        **{field.name: getattr(case, field.name) for field in fields(case) if field.name != "seed"},
        date=date,
        peer=entry.peer,
        backend=backend if entry.peer == OURS else "",
        malloc=entry.host.malloc,
        p20_ms=_short(p20),
        p50_ms=_short(p50),
        p80_ms=_short(p80),
        n=len(entry.times) if timed else 0,
        gflops=_short(gflops),
        peak_percent=_short(100 * gflops / shared["peak_gflops"] if gflops else None),
        max_error=_short(entry.check.error if entry.check else None),
        error_in=entry.check.name if entry.check else "",
        others_percent=round(100 * max(entry.others, 0.0) / wall, 1) if timed else None,
        note=entry.note,
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _report(heading: str, entries: list[Entry], seconds: float) -> None:
    timed = [f"{e.label} {np.median(e.times):.3g}" for e in entries if not e.note]
    _say(f"{heading}: {', '.join(timed) or 'none timed'} ms [{seconds:.0f} s]")
    for entry in entries:
        if entry.note:
            _say(f"  {entry.label}: {entry.note}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
