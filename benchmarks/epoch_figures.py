"""The epoch of the course's LSTM as the README shows it: the newest runs of `epoch.py`, as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["epoch_figures", "machine_name", "newest_runs"]

Row = dict[str, Any]
_PROGRAMS = {"recurra": "recurra", "keras": "keras", "torch": "torch-padded+tuned"}


def machine_name(row: Row) -> str:
    """The processor of a row, without marks and fillers."""
    return re.sub(r"\((R|TM)\)| Processor| CPU", "", row["cpu"])


def newest_runs(rows: Iterable[Row], *, whole: bool = False) -> list[list[Row]]:
    """The last run of the LSTM on each kind of machine in which all programs took turns, the newest run last.

    Args:
        rows: of `epoch.py`, in the order in which they were measured.
        whole: whether all reviews were trained on; else scaled times are taken too.
    """
    runs: dict[str, list[Row]] = {}
    for row in rows:
        if row["recipe"] == "lstm" and (row["scale"] == 1 or not whole):
            runs.setdefault(row["run"], []).append(row)
    newest: dict[tuple[Any, ...], list[Row]] = {}
    for run in runs.values():
        if {row["program"] for row in run}.issuperset(_PROGRAMS.values()):
            key = (run[0]["cpu"], run[0]["cores"], run[0].get("lanes"))
            newest.pop(key, None)
            newest[key] = run
    return list(newest.values())


def epoch_figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Seconds of the newest run; accuracy and memory of the newest one on all reviews.

    Returns:
        For ``recurra``, ``keras`` and ``torch`` a dictionary of ``seconds``, ``ratio`` to recurra's,
        ``accuracy`` and ``megabytes``. Of the newest run ``machine``, ``cores``, ``reviews`` and ``scaled``,
        whether its time was scaled to all reviews; and ``whole_machine`` of the one on all.
    """
    timed, whole = newest_runs(rows)[-1], newest_runs(rows, whole=True)[-1]
    seconds = {row["program"]: row["seconds_an_epoch"] for row in timed}
    trained = {row["program"]: row for row in whole}
    figures: dict[str, Any] = {
        name: {
            "seconds": f"{seconds[program]:.1f}",
            "ratio": f"{seconds[program] / seconds['recurra']:.1f}",
            "accuracy": f"{100 * trained[program]['test_accuracy']:.1f}",
            "megabytes": f"{trained[program]['peak_memory_training'] / 1e6:,.0f}",
        }
        for name, program in _PROGRAMS.items()
    }
    return figures | {
        "machine": machine_name(timed[0]),
        "cores": str(timed[0]["threads"]),
        "reviews": f"{timed[0]['rows']:,}",
        "scaled": timed[0]["scale"] != 1,
        "whole_machine": machine_name(whole[0]),
    }
