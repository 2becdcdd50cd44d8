"""A forecaster for export: rows in their own units to forecasts in the unit of the target.

Dimensions: ``B`` windows, ``T`` rows, ``E`` inputs of a row, ``K`` forecasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.export import layers
from recurra.export.graph import Graph, Value
from recurra.export.plan import Measure, Plan, Probe, Run, described
from recurra.export.programs import ForecasterProgram
from recurra.export.recurrent import last, recurrent
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.network import forecast_windows
from recurra.tasks.forecasting.prepare import Part
from recurra.tasks.forecasting.windows import Windows
from recurra.tasks.reporter import Tick

__all__ = ["plan", "scales_of"]

_BATCH = 128
_SIZES = (1, 3, 8)


def plan(bundle: ForecasterBundle) -> Plan:
    """Returns what is exported of a forecaster."""
    layout, reach = bundle.assets.layout, reach_of(bundle)
    kinds = [
        *(["number"] * len(layout.numbers)),
        *(["missing"] * len(layout.flags)),
        *(["word"] * sum(len(column.words) for column in layout.categories)),
        *(["calendar"] * 2 * len(layout.calendar)),
    ]
    columns: list[dict[str, Any]] = [
        {"name": name, "kind": kind} for name, kind in zip(layout.features, kinds, strict=True)
    ]
    for column, scale in zip(columns, layout.numbers, strict=False):
        column.update(mean=scale.mean, missing=scale.missing)
    signature: dict[str, Any] = {
        "labels": None,
        "temperature": None,
        "target": layout.target.name,
        "columns": columns,
        "window": {
            "rows": reach.back + 1,
            "read_every": reach.step,
            "forecasts_rows_ahead": reach.targets.tolist(),
        },
        "inputs": [
            described(
                "rows",
                "float64",
                ["batch", "time", len(columns)],
                f"the last rows, oldest first, at least {reach.back + 1:,}, in the order of `columns` in "
                "signature.json: numbers in their own unit, a missing one replaced by the last before it, or "
                "by the mean; 1 or 0 for missing and for words; sine and cosine of the share of the period "
                "that has passed",
            ),
            described("last", "float64", ["batch"], "the last known value of the target"),
        ],
        "outputs": [
            described(
                "forecasts", "float64", ["batch", reach.horizon], f"{layout.target.name}, in its own unit"
            ),
        ],
    }
    return Plan(
        graph=partial(_graph, bundle),
        program=partial(ForecasterProgram, bundle),
        signature=signature,
        files={},
        probes=partial(_probes, bundle),
        measure=partial(_measure, bundle),
    )


def scales_of(bundle: ForecasterBundle) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns what is subtracted from each input of a row, and what it is divided by, of shape (E,)."""
    numbers, width = bundle.assets.layout.numbers, len(bundle.assets.layout.features)
    means, deviations = np.zeros(width), np.ones(width)
    means[: len(numbers)] = [scale.mean for scale in numbers]
    deviations[: len(numbers)] = [scale.std for scale in numbers]
    return means, deviations


def _windows(bundle: ForecasterBundle, rows: NDArray[np.float64], last: NDArray[np.float64]) -> Windows:
    """Returns windows ``(B, T, E)`` of rows in their own units as recurra reads them."""
    series, layout, reach = bundle.config.series, bundle.assets.layout, reach_of(bundle)
    means, deviations = scales_of(bundle)
    B, T, E = rows.shape
    inputs = ((rows - means) / deviations).astype(np.float32).reshape(-1, E)
    ends = np.arange(B) * T + T - 1
    every = np.zeros(B * T, np.float32)
    every[ends] = layout.target.normal(last).astype(np.float32)
    behind = reach.behind[::-1] if series.reversed else reach.behind
    relative = len(layout.numbers) if series.relative else 0
    return Windows(inputs, every, every, ends, behind, reach.targets, _BATCH, relative=relative)


def _probes(bundle: ForecasterBundle, random: np.random.Generator) -> Iterator[Probe]:
    layout, reach = bundle.assets.layout, reach_of(bundle)
    means, deviations = scales_of(bundle)
    for more, B in enumerate(_SIZES):
        normal = random.normal(size=(B, reach.back + 1 + 5 * more, len(means))) / 2
        normal[:, :, len(layout.numbers) :] = np.clip(normal[:, :, len(layout.numbers) :], -1, 1)
        rows = normal * deviations + means
        known = random.normal(size=B) * layout.target.std + layout.target.mean
        found = layout.target.in_unit(forecast_windows(bundle.model, _windows(bundle, rows, known)))
        yield Probe({"rows": rows, "last": known}, {"forecasts": found})


def _measure(bundle: ForecasterBundle, part: Part, run: Run, tick: Tick) -> Measure:
    """Returns the mean absolute error in the unit of the target."""
    reach = reach_of(bundle)
    means, deviations = scales_of(bundle)
    errors = []
    for first in range(0, len(part), _BATCH):
        ends = part.rows[first : first + _BATCH]
        places = ends[:, None] + np.arange(-reach.back, 1)
        rows = part.matrix.inputs[places].astype(np.float64) * deviations + means
        found = run({"rows": rows, "last": part.matrix.last[ends]})["forecasts"]
        errors.append(np.abs(found - part.matrix.target[ends[:, None] + reach.targets]).mean(axis=1))
        tick(len(ends))
    values = np.concatenate(errors)
    return Measure("mean absolute error", float(values.mean()), len(values), values, "windows")


def _graph(bundle: ForecasterBundle) -> Graph:
    graph, network = Graph(), bundle.model
    series, layout, reach = bundle.config.series, bundle.assets.layout, reach_of(bundle)
    means, deviations = scales_of(bundle)
    E = len(means)
    rows = graph.input("rows", np.float64, ["batch", "time", E])
    known = graph.input("last", np.float64, ["batch"])
    normal = graph.op("Div", graph.op("Sub", rows, graph.constant(means)), graph.constant(deviations))
    inputs = graph.cast(normal, np.float32)
    one = graph.constant(np.int64(1))
    newest = graph.op("Sub", graph.size(rows, 1), one)
    present = graph.op("Gather", inputs, newest, axis=1)  # (B, 1, E)
    behind = reach.behind[::-1] if series.reversed else reach.behind
    window = graph.op("Gather", inputs, graph.op("Add", newest, graph.integers(*behind.tolist())), axis=1)
    if series.relative and layout.numbers:
        moved = np.zeros(E, np.float32)
        moved[: len(layout.numbers)] = 1
        window = graph.op("Sub", window, graph.op("Mul", present, graph.constant(moved)))
    vector = _vector(graph, bundle, window)
    if network.present:
        vector = graph.op("Concat", vector, graph.op("Squeeze", present, graph.integers(1)), axis=1)
    found = layers.linear(graph, network.head, vector)
    mean, deviation = (graph.constant(np.float64(v)) for v in (layout.target.mean, layout.target.std))
    if network.residual:
        start = graph.cast(graph.op("Div", graph.op("Sub", known, mean), deviation), np.float32)
        found = graph.op("Add", found, graph.op("Unsqueeze", start, graph.integers(1)))
    wide = graph.op("Add", graph.op("Mul", graph.cast(found, np.float64), deviation), mean)
    graph.output("forecasts", wide, np.float64, ["batch", reach.horizon])
    return graph


def _vector(graph: Graph, bundle: ForecasterBundle, window: Value) -> Value:
    """Adds the pooled states of windows ``(B, T, E)``, of equal length."""
    network = bundle.model
    B, T = graph.size(window, 0), graph.size(window, 1)
    lengths = graph.op("Expand", T, B)
    steps = graph.op("Transpose", window, perm=[1, 0, 2])
    outputs, states = recurrent(graph, network.recurrent, steps, graph.cast(lengths, np.int32))
    valid = layers.inside(graph, lengths, T)
    rows = graph.op("Transpose", outputs, perm=[1, 0, 2])
    final = last(graph, network.recurrent, states)
    return layers.pooled(graph, network.pooling, rows, lengths, valid, final)
