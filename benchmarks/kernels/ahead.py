"""Who is ahead on each kind of machine: the closest peer for each form of the computation and each cell."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from typing import NamedTuple

from benchmarks.kernels.grid import CELLS, Case
from benchmarks.kernels.peers.roster import OURS
from benchmarks.kernels.rows import Row
from benchmarks.kernels.table import machine_name, newest, ratios

__all__ = ["who_is_ahead"]

_NAMES = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}


class _Compared(NamedTuple):
    """One case: the peer that is closest to us or ahead of us, in the malloc setting that suits it best."""

    case: Case
    peer: str
    ratio: float


def who_is_ahead(rows: list[Row]) -> str:
    """For each kind of machine a Markdown table, and a line for each case in which a peer is ahead."""
    kinds = groupby(newest(rows), key=lambda run: run[0].machine)
    return "\n".join(_kind(list(runs)) for _, runs in kinds)


def _kind(runs: list[list[Row]]) -> str:
    compared = [_closest(run) for run in runs if ratios(run)]
    groups: dict[str, dict[str, list[_Compared]]] = defaultdict(lambda: defaultdict(list))
    for one in compared:
        groups[_form(one.case)][one.case.cell].append(one)
    cells = [cell for cell in CELLS if any(cell in found for found in groups.values())]
    lines = [["", "cases", *(_NAMES[cell] for cell in cells)], ["---", "---:", *["---"] * len(cells)]]
    for form, found in groups.items():
        count = sum(map(len, found.values()))
        lines.append([form, str(count), *(_least(found[cell]) for cell in cells)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    ahead = sorted((one for one in compared if one.ratio < 1), key=lambda one: one.ratio)
    listed = "".join(f"- {one.case}: {one.peer}, {one.ratio:.2f}\n" for one in ahead)
    machine = machine_name(runs[0][0])
    return (
        f"{machine}: time of the best peer ÷ time of {OURS}, least of all shapes.\n\n{table}\n\n"
        f"A peer is ahead in {len(ahead)} of {len(compared)} cases{':' if ahead else '.'}\n"
        f"{chr(10) if ahead else ''}{listed}"
    )


def _closest(run: list[Row]) -> _Compared:
    least = min(ratios(run), key=lambda ratio: ratio.value)
    return _Compared(run[0].case, least.peer, least.value)


def _form(case: Case) -> str:
    return case.variant.replace("_", " ") + (", one text" if case.B == 1 else "")


def _least(found: list[_Compared]) -> str:
    if not found:
        return "–"
    least = min(found, key=lambda one: one.ratio)
    case = least.case
    text = f"{least.ratio:.2f} {least.peer}"
    if len(found) > 1:
        text += f" ({case.B}, {case.T}, {case.E}, {case.H})"
    return f"**{text}**" if least.ratio < 1 else text
