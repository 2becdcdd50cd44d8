"""Rows to one Markdown table: ours, each peer, and how many times our time the best of them takes."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from benchmarks.kernels.peers.roster import OURS, PEERS
from benchmarks.kernels.rows import Row

__all__ = ["Ratio", "behind", "machine_name", "markdown", "newest", "ratios"]

_BUSY = 5.0  # percent of the machine's processor time that others may have without our saying so


class Ratio(NamedTuple):
    """In one malloc setting: the best peer, and its time over ours."""

    peer: str
    value: float


def newest(rows: list[Row]) -> list[list[Row]]:
    """For each case the rows of its last run on each machine; rows of different runs are never mixed."""
    found: dict[object, list[Row]] = {}
    for row in sorted(rows, key=attrgetter("date")):
        key = (row.machine, row.case)
        if key not in found or found[key][0].date != row.date:
            found.pop(key, None)
            found[key] = []
        found[key].append(row)
    return sorted(found.values(), key=lambda run: run[0].machine)


def ratios(run: list[Row]) -> list[Ratio]:
    """Malloc as it is, then tuned if anyone was; who was not tuned is compared as it is."""
    times = {(row.peer, row.malloc): row.p50_ms for row in run if row.p50_ms}
    others = {peer for peer, _ in times} - {OURS}
    found = []
    for malloc in ("default", "tuned"):
        if all(setting != malloc for _, setting in times):
            continue
        ours = times.get((OURS, malloc), times.get((OURS, "default")))
        theirs = {peer: times.get((peer, malloc), times.get((peer, "default"))) for peer in others}
        known = {peer: time for peer, time in theirs.items() if time}
        if ours and known:
            best = min(known, key=known.__getitem__)
            found.append(Ratio(best, known[best] / ours))
    return found


def behind(found: list[Ratio]) -> bool:
    """Whether a peer is ahead of us in any setting."""
    return any(ratio.value < 1 for ratio in found)


def markdown(rows: list[Row]) -> str:
    """One table a machine, with what it needs to be read, and a line for whoever has no figure."""
    machines = groupby(newest(rows), key=lambda run: run[0].machine)
    return "\n".join(_machine(list(runs)) for _, runs in machines)


def _machine(runs: list[list[Row]]) -> str:
    rows = [row for run in runs for row in run]
    known = {row.peer for row in rows if row.p50_ms}
    peers = [peer for peer in PEERS if peer in known and peer != OURS]
    heads = ["cell", "variant", "B, T, E, H", OURS, "% of peak", *peers, f"best peer ÷ {OURS}"]
    lines = [heads, ["---"] * 3 + ["---:"] * (len(heads) - 3)]
    for run in runs:
        case = run[0].case
        ours = [row for row in run if row.peer == OURS]
        lines.append(
            [
                case.cell,
                case.variant.replace("_", " "),
                f"{case.B}, {case.T}, {case.E}, {case.H}",
                _pair([row.p50_ms for row in ours]),
                _pair([row.peak_percent for row in ours]),
                *(_pair([row.p50_ms for row in run if row.peer == peer]) for peer in peers),
                _best(ratios(run)),
            ]
        )
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{_heading(rows)}\n\n{table}\n\n{_summary([ratios(run) for run in runs])}{_notes(rows)}"


def machine_name(row: Row) -> str:
    """A machine and the width of our vectors, for a heading."""
    forced = "" if row.lanes == row.widest else f", of {row.widest} that it has and the peers use"
    return f"{row.threads} threads on {row.cores} cores of {row.cpu}, vectors of {row.lanes} numbers{forced}"


def _heading(rows: list[Row]) -> str:
    one = rows[0]
    versions = list(dict.fromkeys(row.versions.replace("; ", ", ") for row in rows))
    days = sorted({row.date[:10] for row in rows})
    peaks = sorted({row.peak_gflops for row in rows})
    backends = sorted({row.backend for row in rows if row.peer == OURS})
    return (
        f"Milliseconds (median), float32, {machine_name(one)}, "
        f"{' and '.join(days)}. {'; '.join(versions)}. {OURS}'s backend: {', '.join(backends)}. "
        f"a → b: default malloc → freed memory kept. % of peak: of "
        f"{' or '.join(f'{peak:.0f}' for peak in peaks)} GFLOP/s, measured with multiply-adds in registers."
    )


def _summary(compared: list[list[Ratio]]) -> str:
    cases = sum(map(bool, compared))
    ahead = sum(map(behind, compared))
    return f"A peer is ahead in {ahead} of {cases} cases{' (bold)' if ahead else ''}.\n"


def _notes(rows: list[Row]) -> str:
    noted = [f"{row.case}, {row.peer}, malloc {row.malloc}: {row.note}" for row in rows if row.note]
    busy = [row.others_percent for row in rows if (row.others_percent or 0) > _BUSY]
    if busy:
        noted.append(f"others used more than {_BUSY:.0f}% of the processors during {len(busy)} measurements")
    return "".join(f"\n- {note}" for note in noted) + ("\n" if noted else "")


def _pair(values: list[float | None]) -> str:
    """``default → tuned``, three digits or all before the point, as far as there are figures."""
    known = [value for value in values if value is not None]
    return " → ".join(f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in known) or "–"


def _best(found: list[Ratio]) -> str:
    if not found:
        return "–"
    numbers = " → ".join(f"{ratio.value:.2f}" for ratio in found)
    if behind(found):
        ahead = dict.fromkeys(ratio.peer for ratio in found if ratio.value < 1)
        return f"**{numbers}, {' and '.join(ahead)} ahead**"
    return f"{numbers} ({', '.join(dict.fromkeys(ratio.peer for ratio in found))})"
