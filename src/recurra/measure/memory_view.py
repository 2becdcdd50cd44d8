"""The memory of a network as sentences, a table, and a figure (page or picture)."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from recurra.cells import cell_named
from recurra.errors import OutputError
from recurra.files import replacing
from recurra.measure.formatting import share
from recurra.measure.memory import Memory, Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_place", "sentences", "table", "write_figure"]

_FORMS = (".html", ".png", ".svg")
_INK, _SOFT = "#1d1f23", "#8a8f99"
_COLOURS = ("#1f5fae", "#b2560d", "#1c7a43", "#7a3b9a")
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
_DRAWN = Markup(
    '<div role="img" aria-label="{}" style="background: #fff; border-radius: .6rem; padding: .6rem">{}</div>'
)
_FLOOR, _CEILING = 1e-30, 1e30  # smaller values are drawn as this, larger ones are not drawn


def sentences(memory: Memory) -> dict[str, str]:
    """Returns one sentence for each measurement, about the forward direction of the last layer."""
    part = memory.last
    lines = {"gradient": _gradient_sentence(memory)}
    if part.spectral_radius:
        lines["matrix"] = _matrix_sentence(memory.cell, part)
    lines["alone"] = _free_state_sentence(part, memory.steps)
    return {**lines, "gates": _gates_sentence(memory)} if part.carry else lines


def table(memory: Memory) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table with a column for each layer and direction."""
    steps = memory.steps
    header = ["", *(_name(part, memory) for part in memory.parts)]
    distances = [d for d in (1, 10, 50, 100, 200, 500, 1000) if d < steps] + [steps]
    rows = [
        [
            f"gradient {d} back",
            *(_short(memory.gradient.median[d]) if part is memory.last else "" for part in memory.parts),
        ]
        for d in distances
    ]
    rows += [
        [f"spectral radius, {name}", *(f"{part.spectral_radius[name]:.3f}" for part in memory.parts)]
        for name in memory.last.spectral_radius
    ]
    rows += [
        [f"state left after {d}", *(_short(part.with_activation.left[d]) for part in memory.parts)]
        for d in distances
    ]
    rows.append(
        [f"the same, linear, after {steps}", *(_short(part.linear.left[-1]) for part in memory.parts)]
    )
    for number, gate in enumerate(memory.last.gates):
        gates = [part.gates[number] for part in memory.parts]
        rows.append([f"{gate.name} gate", *(f"{gate.mean:.3f}" for gate in gates)])
        edges = [f"{share(gate.nearly_open)} / {share(gate.nearly_shut)}" for gate in gates]
        rows.append(["  nearly open / shut", *edges])
    carries = [part.carry for part in memory.parts if part.carry is not None]
    if carries:
        rows.append(["time constant, typical", *(f"{carry.typical:,.1f}" for carry in carries)])
        rows.append(["time constant, longest", *(f"{carry.longest:,.1f}" for carry in carries)])
        rows.append([f"kept by it over {steps}", *(_short(carry.kept) for carry in carries)])
    return header, rows


def check_place(path: Path) -> None:
    """Checks the name of a figure before anything is measured.

    Raises:
        OutputError: If it ends in neither ``.html``, ``.png`` nor ``.svg``, or is a directory.
    """
    if path.suffix.lower() not in _FORMS:
        raise OutputError("is not the name of a figure", where=path, hint=f"end it in {', '.join(_FORMS)}")
    if path.is_dir():
        raise OutputError("is a directory", where=path, hint="give the name of a file")


def write_figure(memory: Memory, path: Path, title: str, lines: Mapping[str, str]) -> None:
    """Writes the figure as a picture, or as a page with sentences and table, atomically.

    Args:
        memory: The measurements.
        path: The file; its ending selects the format.
        title: Title of the figure.
        lines: Sentences of the page, as returned by `sentences`.

    Raises:
        OutputError: If the name ends in neither ``.html``, ``.png`` nor ``.svg``, or can't be written.
    """
    from recurra.measure.report import Chart, ReportData, ReportTable, Section, render

    check_place(path)
    form = path.suffix.lower()[1:]
    with replacing(path) as draft:
        if form == "html":
            drawn = _draw(memory, None, "svg").decode()
            svg = _DRAWN.format(
                title,
                Markup(drawn[drawn.index("<svg") :]),  # noqa: S704 - markup of matplotlib without text of users
            )
            header, rows = table(memory)
            section = Section(
                anchor="figures",
                title="Figures",
                paragraphs=list(lines.values()),
                charts=[Chart(caption="Forward direction of the last layer", svg=svg, wide=True)],
                tables=[ReportTable(header=header, rows=rows)],
            )
            draft.write_text(render(ReportData(title=title, sections=[section])), encoding="utf-8")
        else:
            draft.write_bytes(_draw(memory, title, form))


def _gradient_sentence(memory: Memory) -> str:
    g, steps = memory.gradient, memory.steps
    end = g.median[-1]
    if g.at_zero == 0:
        return (
            f"The last state of {g.texts} texts does not depend on the last word at all: its units are dead."
        )
    left = f"Of the gradient of the last word {_short(end)} is left {_count(steps)} back"
    left += f" (median of {g.texts} texts)"
    if g.thousandth is not None:
        decay = f"it falls below a half after {_count(g.half)} and below a thousandth after {g.thousandth}"
        return f"{left}; {decay}: training cannot learn dependencies over longer distances."
    if end > 1:
        return f"{left}: it grows with the distance, and training may diverge."
    decay = f"it falls below a half after {_count(g.half)}" if g.half is not None else "it stays above a half"
    return f"{left}; {decay}: words at this distance still contribute to training."


def _matrix_sentence(cell: str, part: Part) -> str:
    radii = part.spectral_radius
    by_block = ", ".join(f"{name} {value:.2f}" for name, value in radii.items())
    if part.carry is not None:
        kept = "state" if len(cell_named(cell).state) == 1 else "cell state"
        return (
            f"Spectral radii by block: {by_block}. They alone do not determine the memory, since the {kept} "
            f"passes through the {part.carry.gate} gate and not through these matrices."
        )
    if len(radii) > 1:
        return f"Spectral radii by block: {by_block}."
    (radius,) = radii.values()
    value = f"The spectral radius is {radius:.3f}"
    if radius < 0.99:
        return (
            f"{value}, below 1: in the long run a step without input leaves {radius:.2f} of a state, "
            "which decays."
        )
    if radius > 1.01:
        bound = "tanh bounds it" if part.activation == "tanh" else "nothing bounds it"
        return f"{value}, above 1: without {part.activation} a state grows without limit; {bound}."
    return f"{value}, within 0.01 of 1: the matrix alone neither shrinks nor enlarges a state."


def _free_state_sentence(part: Part, steps: int) -> str:
    left, linear = part.with_activation.left[-1], part.linear.left[-1]
    return (
        f"With zero input {_short(left)} of a random state is left after {steps} steps ({_trend(left)}), "
        f"without {part.activation} {_short(linear)} ({_trend(linear)})."
    )


def _trend(left: float | None) -> str:
    if left is None or left > 10:
        return "it grows"
    return "it vanishes" if left < 0.01 else "it decays" if left < 0.5 else "it persists"


def _gates_sentence(memory: Memory) -> str:
    part, steps, end = memory.last, memory.steps, memory.gradient.median[-1]
    carry = part.carry
    if carry is None:
        raise ValueError("there is no gate that keeps the state")
    gate = next(gate for gate in part.gates if gate.name == carry.gate)
    units = "no unit remembers" if carry.longest < steps / 5 else "some units remember"
    detour = ", and the gradient reaches it through the recurrent matrix"
    elsewhere = detour if end > 1e-3 and carry.kept < 1e-3 * end else ""
    return (
        f"The mean opening of the {gate.name} gate is {gate.mean:.2f} (nearly open {share(gate.nearly_open)} "
        f"of the time, nearly shut {share(gate.nearly_shut)}). The time constant is {carry.typical:,.1f} "
        f"steps for the median unit and {carry.longest:,.1f} for the longest; over {steps} steps the gate "
        f"keeps {_short(carry.kept)}: through this gate alone {units} that distance{elsewhere}."
    )


def _count(steps: int | None) -> str:
    return "1 step" if steps == 1 else f"{steps} steps"


def _short(value: float | None) -> str:
    """``0.00123`` as ``0.0012``, ``1e-9`` as ``1e-9``, None as an overflow."""
    if value is None:
        return "more than 1e308"
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.2g}" if value < 100 else f"{value:,.0f}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def _name(part: Part, memory: Memory) -> str:
    words = [cell_named(memory.cell).title]
    if memory.parts[-1].layer > 1:
        words.append(f"layer {part.layer}")
    if any(part.direction == "backward" for part in memory.parts):
        words.append(part.direction)
    return " ".join(words)


def _draw(memory: Memory, title: str | None, form: str) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    from recurra.measure.charts import BASE_STYLE  # imports scikit-learn

    part = memory.last
    with matplotlib.rc_context({**BASE_STYLE, **_STYLE}):
        draws: list[Callable[[Axes], None]] = [lambda axes: _draw_gradient(axes, memory)]
        if part.eigenvalues:
            draws.append(lambda axes: _draw_matrix(axes, part))
        draws.append(lambda axes: _draw_free_state(axes, part))
        if part.gates:
            draws.append(lambda axes: _draw_gates(axes, part))
        rows, columns = (2, 2) if len(draws) == 4 else (1, len(draws))
        figure = Figure(figsize=(9, 6.6) if rows == 2 else (3 * columns + 2, 3.5), layout="constrained")
        if title is not None:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=_INK)
        for axes, draw in zip(figure.subplots(rows, columns).ravel(), draws, strict=True):
            draw(axes)
        buffer = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(buffer, format=form, dpi=150, facecolor="white", metadata=metadata)
        return buffer.getvalue()


def _draw_gradient(axes: Axes, memory: Memory) -> None:
    g = memory.gradient
    low, median, high = (_drawable(line) for line in (g.low, g.median, g.high))
    across = range(len(median))
    axes.fill_between(across, low, high, color=_COLOURS[0], alpha=0.2, linewidth=0, label="half of the texts")
    axes.plot(across, median, color=_COLOURS[0], label=f"median of {g.texts} texts")
    for level, name in ((0.5, "a half"), (1e-3, "a thousandth")):
        axes.axhline(level, color=_SOFT, linestyle=":", linewidth=1)
        axes.annotate(name, (len(median) - 1, level), ha="right", va="bottom", fontsize=7.5, color=_INK)
    axes.set(
        yscale="log",
        ylim=(min(5e-4, 0.5 * np.nanmin(low)), max(2.0, 2 * np.nanmax(high))),
        title="Gradient by distance",
        xlabel="steps before the last",
        ylabel="|dh(T)/dx(t)|, relative to t = T",
    )
    axes.legend(loc="lower left")


def _drawable(line: Sequence[float | None]) -> list[float]:
    """Values for a logarithmic axis; values that are too large become NaN."""
    return [np.nan if value is None or value > _CEILING else max(value, _FLOOR) for value in line]


def _draw_matrix(axes: Axes, part: Part) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((0, 0), 1, fill=False, color=_SOFT, linewidth=1, linestyle=":"))
    for (name, values), colour in zip(part.eigenvalues.items(), _COLOURS, strict=False):
        label = f"{name} {part.spectral_radius[name]:.2f}"
        axes.plot(*zip(*values, strict=True), "o", color=colour, markersize=3, alpha=0.7, label=label)
    reach = 1.08 * max(1.0, *part.spectral_radius.values())
    axes.set(
        xlim=(-reach, reach),
        ylim=(-reach, reach),
        aspect="equal",
        title="Eigenvalues and spectral radius",
        xlabel="real part (dotted: radius 1)",
        ylabel="imaginary part",
    )
    if len(part.eigenvalues) == 1:  # the marker of a legend would look like an eigenvalue
        axes.annotate(
            f"spectral radius\n{max(part.spectral_radius.values()):.2f}", (0, 0), ha="center", va="center"
        )
    else:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_free_state(axes: Axes, part: Part) -> None:
    for curve, label, dash, colour in (
        (part.with_activation, f"with {part.activation}", "-", _COLOURS[0]),
        (part.linear, f"without {part.activation}", "--", _COLOURS[1]),
    ):
        axes.plot(_drawable(curve.left), color=colour, linestyle=dash, label=label)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    limits = min(low, 0.05), max(high, 2)
    axes.set(ylim=limits, title="Free state", xlabel="steps of zero input", ylabel="share of the state left")
    axes.legend()


def _draw_gates(axes: Axes, part: Part) -> None:
    for gate, colour in zip(part.gates, _COLOURS, strict=False):
        axes.plot(gate.by_distance, color=colour, label=f"{gate.name} {gate.mean:.2f}")
    axes.set(ylim=(0, 1), title="Gates over time", xlabel="steps before the last")
    axes.set_ylabel("opening, mean over units and texts")
    axes.legend(ncols=3, loc="lower left")
