"""The four charts of the memory of one network or of several: for a page in its colours, or as a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.measure.memory import Memory, Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recurra.measure.charts import Palette
    from recurra.measure.report import Chart

__all__ = ["charts", "picture"]

_SOFT = "#8a8f99"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "memory",
    "axes.edgecolor": _SOFT,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": "#e4e2de",
    "grid.linewidth": 0.6,
    "legend.edgecolor": "none",
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
}
_DASHES = ("-", "--", ":", "-.")
_FLOOR, _CEILING = 1e-30, 1e30  # smaller values are drawn as this, larger ones are not drawn
Networks = Mapping[str, Memory]


def charts(networks: Networks) -> list[Chart]:
    """Returns the charts for a page, with captions; that of the gates only if a network has gates."""
    from recurra.measure.charts import page_chart
    from recurra.measure.report import Chart

    who = " and ".join(networks)
    return [
        Chart(caption=caption, svg=page_chart(draw, title=f"{title} of {who}", name=f"memory-{number}"))
        for number, (title, caption, draw) in enumerate(_draws(networks))
    ]


def picture(networks: Networks, title: str, form: str) -> bytes:
    """Returns the charts as one light picture, ``png`` or ``svg``."""
    import matplotlib
    from matplotlib.figure import Figure

    from recurra.measure.charts import BASE_STYLE, Palette  # imports scikit-learn

    light = Palette(
        ink="#1d1f23", soft=_SOFT, lines=("#1f5fae", "#b2560d", "#1c7a43", "#7a3b9a", "#9a7400", "#0f7f86")
    )
    with matplotlib.rc_context({**BASE_STYLE, **_STYLE}):
        draws = list(_draws(networks))
        rows, columns = (2, 2) if len(draws) == 4 else (1, len(draws))
        figure = Figure(
            figsize=(9 if len(networks) == 1 else 12, 6.6) if rows == 2 else (3 * columns + 2, 3.5),
            layout="constrained",
        )
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=light.ink)
        for axes, (name, _, draw) in zip(figure.subplots(rows, columns).ravel(), draws, strict=True):
            draw(axes, light)
            axes.set_title(name)
            if axes.get_legend_handles_labels()[0]:
                square = axes.get_aspect() == 1  # eigenvalues may lie anywhere: the legend stands beside them
                axes.legend(**{"loc": "center left", "bbox_to_anchor": (1, 0.5)} if square else {})
        buffer = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(buffer, format=form, dpi=150, facecolor="white", metadata=metadata)
        return buffer.getvalue()


def _draws(networks: Networks) -> Iterator[tuple[str, str, Callable[[Axes, Palette], None]]]:
    """Title, caption and drawing function of each chart."""
    several = len(networks) > 1
    yield (
        "Gradient by distance",
        "How much of the gradient of the last state reaches a word so many steps before it: the median over "
        f"texts{'' if several else '; the band has half of the texts'}",
        lambda axes, palette: _gradient(axes, networks, palette),
    )
    if any(memory.last.eigenvalues for memory in networks.values()):
        yield (
            "Eigenvalues and spectral radius",
            "Eigenvalues of the recurrent matrix; the largest absolute value is the spectral radius. Dotted: "
            "radius 1",
            lambda axes, palette: _eigenvalues(axes, networks, palette),
        )
    yield (
        "Free state",
        "What is left of a random state with zero input, with the activation and without it: a line that "
        "rises blows up, one that falls dies out",
        lambda axes, palette: _free_state(axes, networks, palette),
    )
    if any(memory.last.gates for memory in networks.values()):
        without = [name for name, memory in networks.items() if not memory.last.gates]
        yield (
            "Gates over time",
            "Mean opening of the gates over units and texts, by the distance from the last word: 1 is open"
            f"{'; no gates: ' + ', '.join(without) if without else ''}",
            lambda axes, palette: _gates(axes, networks, palette),
        )


def _gradient(axes: Axes, networks: Networks, palette: Palette) -> None:
    lowest, highest, longest = 1e-3, 1.0, 0
    for (name, memory), colour in zip(networks.items(), palette.lines, strict=False):
        g = memory.gradient
        low, median, high = (_drawable(line) for line in (g.low, g.median, g.high))
        across = range(len(median))
        label = f"{name}, median" if len(networks) > 1 else f"median of {g.texts} texts"
        if len(networks) == 1:
            axes.fill_between(
                across, low, high, color=colour, alpha=0.2, linewidth=0, label="half of the texts"
            )
        axes.plot(across, median, color=colour, label=label)
        drawn = (low, high) if len(networks) == 1 else (median, median)
        lowest, highest = min(lowest, np.nanmin(drawn[0])), max(highest, np.nanmax(drawn[1]))
        longest = max(longest, len(median) - 1)
    for level, text in ((0.5, "a half"), (1e-3, "a thousandth")):
        axes.axhline(level, color=palette.soft, linestyle=":", linewidth=1)
        axes.annotate(text, (longest, level), ha="right", va="bottom", fontsize=7.5, color=palette.ink)
    axes.set(
        yscale="log",
        ylim=(0.5 * lowest, 2 * highest),
        xlabel="steps before the last",
        ylabel="|dh(T)/dx(t)|, relative to t = T",
    )


def _drawable(line: Sequence[float | None]) -> list[float]:
    """Values for a logarithmic axis; values that are too large become NaN."""
    return [np.nan if value is None or value > _CEILING else max(value, _FLOOR) for value in line]


def _eigenvalues(axes: Axes, networks: Networks, palette: Palette) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((0, 0), 1, fill=False, color=palette.soft, linewidth=1, linestyle=":"))
    if len(networks) == 1:
        ((_, memory),) = networks.items()
        part = memory.last
        sets = {f"{name} {part.spectral_radius[name]:.2f}": v for name, v in part.eigenvalues.items()}
        radii = list(part.spectral_radius.values())
    else:
        parts: dict[str, Part] = {name: memory.last for name, memory in networks.items()}
        radii = [radius for part in parts.values() for radius in part.spectral_radius.values()]
        sets = {
            f"{name} {max(part.spectral_radius.values()):.2f}": [
                value for values in part.eigenvalues.values() for value in values
            ]
            for name, part in parts.items()
            if part.eigenvalues
        }
    for (label, values), colour in zip(sets.items(), palette.lines, strict=False):
        axes.plot(*zip(*values, strict=True), "o", color=colour, markersize=3, alpha=0.7, label=label)
    if len(sets) == 1:  # a legend of one entry is not drawn
        axes.annotate(
            f"spectral radius\n{max(radii):.2f}", (0, 0), ha="center", va="center", color=palette.ink
        )
    reach = 1.08 * max(1.0, *radii)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="real part", ylabel="imaginary part")


def _free_state(axes: Axes, networks: Networks, palette: Palette) -> None:
    for number, (name, memory) in enumerate(networks.items()):
        part, several = memory.last, len(networks) > 1
        for dash, (curve, which) in enumerate(
            ((part.with_activation, f"with {part.activation}"), (part.linear, f"without {part.activation}"))
        ):
            colour = palette.lines[(number if several else dash) % len(palette.lines)]
            label = f"{name}, {which}" if several else which
            axes.plot(_drawable(curve.left), color=colour, linestyle=_DASHES[dash], label=label)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set(
        ylim=(min(low, 0.05), max(high, 2)), xlabel="steps of zero input", ylabel="share of the state left"
    )


def _gates(axes: Axes, networks: Networks, palette: Palette) -> None:
    for number, (name, memory) in enumerate(networks.items()):
        several = len(networks) > 1
        for index, gate in enumerate(memory.last.gates):
            colour = palette.lines[(number if several else index) % len(palette.lines)]
            dash = _DASHES[index % len(_DASHES)] if several else "-"
            label = f"{name}, {gate.name} {gate.mean:.2f}" if several else f"{gate.name} {gate.mean:.2f}"
            axes.plot(gate.by_distance, color=colour, linestyle=dash, label=label)
    axes.set(ylim=(0, 1), xlabel="steps before the last", ylabel="mean opening")
