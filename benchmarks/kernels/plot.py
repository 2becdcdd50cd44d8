"""Rows to one plot: a line a case, a mark a peer, milliseconds on a logarithmic axis."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.kernels.peers.roster import OURS, PEERS
from benchmarks.kernels.rows import Row
from benchmarks.kernels.table import newest

__all__ = ["plot"]

# Okabe and Ito's colours, told apart by the colour-blind; the marks differ too.
_MARKS = {
    OURS: ("o", "#d55e00"),
    "torch.nn": ("s", "#0072b2"),
    "torch.nn packed": ("D", "#56b4e9"),
    "torch cell loop": ("P", "#56b4e9"),
    "Keras TensorFlow": ("^", "#009e73"),
    "Keras JAX": ("v", "#009e73"),
    "JAX scan": ("X", "#cc79a7"),
    "ONNX Runtime": ("*", "#000000"),
}


def plot(rows: list[Row], path: Path) -> None:
    """The last machine's rows, each peer's better malloc setting; the ending decides between SVG and PNG."""
    last = max(rows, key=lambda row: row.date)
    runs = newest([row for row in rows if row.machine == last.machine])
    cells = list(dict.fromkeys(run[0].cell for run in runs))
    settings = {"svg.hashsalt": "recurra", "font.size": 9, "axes.spines.top": False}
    with mpl.rc_context({**settings, "axes.spines.right": False}):
        heights = [sum(run[0].cell == cell for run in runs) for cell in cells]
        figure, grid = plt.subplots(
            len(cells),
            1,
            figsize=(8.5, 0.9 + 0.28 * (len(runs) + len(cells))),
            sharex=True,
            squeeze=False,
            gridspec_kw={"height_ratios": [height + 0.6 for height in heights]},
            layout="constrained",
        )
        for axes, cell in zip(grid[:, 0], cells, strict=True):
            _panel(axes, cell, [run for run in runs if run[0].cell == cell])
        grid[-1, 0].set_xlabel(
            f"milliseconds, better malloc of each, lower is better; right: best peer's time ÷ {OURS}'s"
        )
        marks = {label: mark for axes in grid[:, 0] for mark, label in zip(*_legend(axes), strict=True)}
        known = [peer for peer in PEERS if peer in marks]
        figure.legend([marks[p] for p in known], known, loc="outside upper center", ncols=4, frameon=False)
        figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def _panel(axes: Axes, cell: str, runs: list[list[Row]]) -> None:
    names = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
    shapes = {(run[0].B, run[0].T, run[0].E, run[0].H) for run in runs}
    labels = []
    for place, run in enumerate(runs):
        case = run[0].case
        shape = "" if len(shapes) == 1 else f"  {case.B}, {case.T}, {case.E}, {case.H}"
        labels.append(case.variant.replace("_", " ") + shape)
        best: dict[str, float] = {}
        for row in run:
            if row.p50_ms:
                best[row.peer] = min(row.p50_ms, best.get(row.peer, row.p50_ms))
        if best:
            axes.hlines(place, min(best.values()), max(best.values()), color="#dddddd", lw=1.5, zorder=1)
        for peer, time in best.items():
            mark, colour = _MARKS[peer]
            size = 55 if peer == OURS else 30
            axes.scatter(time, place, size, colour, marker=mark, lw=0, zorder=2 + (peer == OURS), label=peer)
        _write_ratio(axes, place, best)
    one = runs[0][0].case
    shape = f", B={one.B} T={one.T} E={one.E} H={one.H}" if len(shapes) == 1 else "; B, T, E, H"
    axes.set_title(names[cell] + shape, loc="left", fontsize=9, fontweight="bold")
    axes.set_yticks(range(len(runs)), labels)
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(axis="x", color="#eeeeee", zorder=0)
    axes.tick_params(axis="y", length=0)


def _write_ratio(axes: Axes, place: int, best: dict[str, float]) -> None:
    others = [time for peer, time in best.items() if peer != OURS]
    if OURS in best and others:
        ratio = min(others) / best[OURS]
        text, colour = (f"{ratio:.2f}", "#b00000") if ratio < 1 else (f"{ratio:.1f}", "#333333")
        axes.text(1.01, place, f"×{text}", transform=axes.get_yaxis_transform(), va="center", color=colour)


def _legend(axes: Axes) -> tuple[list[object], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(handles), list(labels)
