"""The memory of one network or of several as sentences, a table, and a figure (page or picture)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recurra.cells import cell_named
from recurra.errors import OutputError
from recurra.files import replacing
from recurra.measure.formatting import share
from recurra.measure.memory import Memory, Part
from recurra.measure.memory_charts import charts, picture

__all__ = ["check_place", "sentences", "table", "write_figure"]

_EXPLAINED = (
    "Gradient: the norm of the derivative of the last state with respect to the vector of a word so many "
    "steps before it, relative to that of the last word. State left: of a random state, with zero input; "
    "linear: without the activation. Time constant: the number of steps after which the gate has kept 37% of "
    "a cell."
)
_FORMS = (".html", ".png", ".svg")


def sentences(memory: Memory) -> dict[str, str]:
    """Returns one sentence for each measurement, about the forward direction of the last layer."""
    part = memory.last
    lines = {"gradient": _gradient_sentence(memory)}
    if part.spectral_radius:
        lines["matrix"] = _matrix_sentence(memory.cell, part)
    lines["alone"] = _free_state_sentence(part, memory.steps)
    return {**lines, "gates": _gates_sentence(memory)} if part.carry else lines


def table(networks: Mapping[str, Memory]) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table with a column for each layer and direction of each network.

    Args:
        networks: The measurements, over the same distance, by the name of the network.
    """
    several = len(networks) > 1
    header = [""]
    columns: list[dict[str, str]] = []
    for network, memory in networks.items():
        for part in memory.parts:
            name = _name(part, memory)
            one = several and len(memory.parts) == 1
            header.append(network if one else f"{network}: {name}" if several else name)
            columns.append(_column(part, memory))
    labels: list[str] = []
    for column in columns:
        place = 0
        for label in column:  # after the label that is before it in its own column
            if label not in labels:
                labels.insert(place, label)
            place = labels.index(label) + 1
    return header, [[label, *(column.get(label, "") for column in columns)] for label in labels]


def _column(part: Part, memory: Memory) -> dict[str, str]:
    """The figures of a layer and direction by their labels."""
    steps = memory.steps
    distances = [d for d in (1, 10, 50, 100, 200, 500, 1000) if d < steps] + [steps]
    last = part is memory.last
    cells = {f"gradient {d} back": _short(memory.gradient.median[d]) if last else "" for d in distances}
    cells |= {f"spectral radius, {name}": f"{radius:.3f}" for name, radius in part.spectral_radius.items()}
    cells |= {f"state left after {d}": _short(part.with_activation.left[d]) for d in distances}
    cells[f"the same, linear, after {steps}"] = _short(part.linear.left[-1])
    for gate in part.gates:
        cells[f"{gate.name} gate"] = f"{gate.mean:.3f}"
        cells[f"{gate.name} gate, nearly open / shut"] = (
            f"{share(gate.nearly_open)} / {share(gate.nearly_shut)}"
        )
    if part.carry is not None:
        cells["time constant, typical"] = f"{part.carry.typical:,.1f}"
        cells["time constant, longest"] = f"{part.carry.longest:,.1f}"
        cells[f"kept by it over {steps}"] = _short(part.carry.kept)
    return cells


def check_place(path: Path) -> None:
    """Checks the name of a figure before anything is measured.

    Raises:
        OutputError: If it ends in neither ``.html``, ``.png`` nor ``.svg``, or is a directory.
    """
    if path.suffix.lower() not in _FORMS:
        raise OutputError("is not the name of a figure", where=path, hint=f"end it in {', '.join(_FORMS)}")
    if path.is_dir():
        raise OutputError("is a directory", where=path, hint="give the name of a file")


def write_figure(
    networks: Mapping[str, Memory], path: Path, title: str, lines: Mapping[str, Mapping[str, str]]
) -> None:
    """Writes the figure as a picture, or as a page with sentences and table, atomically.

    Args:
        networks: The measurements, by the name of the network.
        path: The file; its ending selects the format.
        title: Title of the figure.
        lines: Sentences on each network for the page, as returned by `sentences`.

    Raises:
        OutputError: If the name ends in neither ``.html``, ``.png`` nor ``.svg``, or can't be written.
    """
    from recurra.measure.report import ReportData, ReportTable, Section, render

    check_place(path)
    form = path.suffix.lower()[1:]
    with replacing(path) as draft:
        if form != "html":
            draft.write_bytes(picture(networks, title, form))
            return
        header, rows = table(networks)
        page = ReportData(
            title=title,
            sections=[
                Section(anchor="figures", title="Figures", charts=charts(networks)),
                *(
                    Section(
                        anchor=f"network-{chr(97 + number)}", title=name, paragraphs=list(said.values()),
                        half=len(lines) > 1,
                    )
                    for number, (name, said) in enumerate(lines.items())
                ),
                Section(
                    anchor="table",
                    title="Table",
                    tables=[ReportTable(header=header, rows=rows)],
                    notes=[_EXPLAINED],
                ),
            ],
        )  # fmt: skip
        draft.write_text(render(page), encoding="utf-8")


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
    power = f": A^{steps} h(0)" if len(part.spectral_radius) == 1 and part.carry is None else ""
    return (
        f"With zero input {_short(left)} of a random state is left after {steps} steps ({_trend(left)}), "
        f"without {part.activation} {_short(linear)} ({_trend(linear)}){power}."
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
