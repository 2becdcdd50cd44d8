"""What a study of several ways of training found, in words, tables and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from recurra.measure.charts import interval_chart, line_chart
from recurra.measure.formatting import count, duration
from recurra.measure.report import Bar, Chart, ReportTable, Section
from recurra.measure.study import Judgement, Mean

__all__ = [
    "ArmFigures",
    "StudyFigures",
    "arms_table",
    "report_fields",
    "size_name",
    "verdict_sentence",
    "verdicts",
]


@dataclass(frozen=True)
class ArmFigures:
    """One way of training, on training sets of one size.

    Attributes:
        key: as it was typed.
        name: for people.
        size: training rows asked for, or 0 for all there are.
        rows: training rows there were.
        accuracies: of each seed, in their order.
        log_losses: of each seed.
        seconds: of one training by the clock, mean.
        memory: largest peak of a run, in bytes; None where it is not known.
        parameters: numbers in the network, mean; 0 for the baseline.
        epochs: trained, mean.
        best_epoch: whose weights were kept, mean.
        cost: how many times the processors' time of the arm it is compared to; None for that one.
        mean: the accuracy over seeds and rows with its error; None with one seed.
        judgement: what is to be said beside the arm it is compared to; None for that one, or too few seeds.
        beside: whether it is compared to another.
    """

    key: str
    name: str
    size: int
    rows: int
    accuracies: list[float]
    log_losses: list[float]
    seconds: float
    memory: int | None
    parameters: int
    epochs: float
    best_epoch: float
    cost: float | None = None
    mean: Mean | None = None
    judgement: Judgement | None = None
    beside: bool = False

    @property
    def accuracy(self) -> float:
        """Mean over seeds."""
        return fmean(self.accuracies)


@dataclass(frozen=True)
class StudyFigures:
    """All that a study found.

    Attributes:
        against: the name of the arm that the others are compared to.
        measured: how many rows, and which: ``1,821 test rows``.
        tested: whether those did not choose the epoch.
        enough: a difference this small does not matter, as a share.
        seeds: how many at most.
        arms: by size, smallest first, then in the order they were named; that of ``against`` among them.
        baselines: the n-gram baseline by size.
        majority: accuracy of always saying the largest class; None for multi-label.
        unfinished: why the study is not complete; empty if it is.
    """

    against: str
    measured: str
    tested: bool
    enough: float
    seeds: int
    arms: list[ArmFigures]
    baselines: dict[int, ArmFigures] = field(default_factory=dict)
    majority: float | None = None
    unfinished: list[str] = field(default_factory=list)

    @property
    def sizes(self) -> list[int]:
        """Smallest first, all rows last."""
        return list(dict.fromkeys(arm.size for arm in self.arms))

    @property
    def largest(self) -> list[ArmFigures]:
        """The arms on the largest training set, which verdicts are about."""
        return [arm for arm in self.arms if arm.size == self.sizes[-1]]


def points(value: float, sign: str = "+") -> str:
    """A share as points with one decimal, and a true minus.

    Example:
        >>> points(0.0084), points(-0.012), points(0.5, ""), points(-0.0001)
        ('+0.8', '−1.2', '50.0', '+0.0')
    """
    # The sum makes a zero of a negative one.
    return f"{round(100 * value, 1) + 0.0:{sign}.1f}".replace("-", "−")


def gain(found: Judgement) -> str:
    """A difference with half its interval, such as ``+0.8 ± 0.3``."""
    return f"{points(found.difference.mean)} ± {points((found.high - found.low) / 2, '')}"


def verdict_sentence(arm: ArmFigures, enough: float) -> str:
    """What is to be said of one arm beside the one it is compared to.

    Example:
        >>> judged = Judgement(Mean(0.008, 0.001, 50, 5, 2000, 0.2), 0.005, 0.011, 0.001, "better", True)
        >>> arm = ArmFigures("bi-lstm", "Bidirectional LSTM", 0, 900, [0.9], [0.3], 10.0, None, 7, 3.0, 2.0,
        ...                  1.9, None, judged, True)
        >>> verdict_sentence(arm, 0.005)
        'Bidirectional LSTM: +0.8 ± 0.3 points, real; costs 1.9 times the time.'
    """
    found = arm.judgement
    if found is None:
        return f"{arm.name}: not enough seeds for a verdict yet."
    how = f"{gain(found)} points"
    if found.kind in ("better", "worse"):
        small = max(abs(found.low), abs(found.high)) <= enough
        said = f"{how}, real{' but small' if small else ''}"
    elif found.kind == "same":
        said = f"no difference that matters ({how}, which lies within {100 * enough:g})"
    elif found.low > 0 or found.high < 0:
        said = f"no difference shown once all comparisons are counted ({how})"
    else:
        said = f"no difference shown ({how})"
    return f"{arm.name}: {said}; {_cost(arm.cost)}."


def arms_table(found: StudyFigures, arms: Sequence[ArmFigures]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: an arm a line, the baseline last."""
    header = ["", "accuracy", "over seeds", "seeds", "difference", "verdict", "time", "cost"]
    header += ["parameters", "memory", "log loss"]
    rows = [_row(arm) for arm in arms]
    baseline = found.baselines.get(arms[0].size)
    if baseline is not None:
        rows.append(_row(baseline))
    return header, rows


def report_fields(found: StudyFigures) -> dict[str, Any]:
    """The fields of a report that say what came out."""
    others = [arm for arm in found.largest if arm.judgement is not None]
    real = [arm for arm in others if arm.judgement and arm.judgement.kind == "better"]
    best = max(real, key=lambda arm: arm.accuracy, default=None)
    notes = list(found.unfinished)
    if not found.tested:
        notes.append("The validation rows also chose the epochs: expect a little less on new texts.")
    verdict = f"None is shown to be better than {found.against}." if others else ""
    if best is not None and best.judgement is not None:
        verdict = f"{best.name} does best: {gain(best.judgement)} points, and {_cost(best.cost)}."
    return {
        "lead": _lead(found, others),
        "verdict": verdict,
        "verdict_kind": "good" if best else "",
        "caution": " ".join(notes),
        "bars": _bars(found),
        "bars_label": f"Accuracy on {found.measured} in percent, with 95% intervals over rows and seeds",
        "bars_top": 100.0,
        "sections": [_verdicts(found), *_curves(found), _method(found)],
    }


def verdicts(found: StudyFigures) -> dict[int, list[str]]:
    """The verdicts by size, in words."""
    return {
        size: [verdict_sentence(arm, found.enough) for arm in found.arms if arm.size == size and arm.beside]
        for size in found.sizes
    }


def size_name(size: int, rows: int) -> str:
    """``1,000 rows``, or ``all 6,920 rows``."""
    return f"{rows:,} rows" if size else f"all {rows:,} rows"


def _cost(cost: float | None) -> str:
    if cost is None:
        return "its cost is not known"
    if cost >= 1.1:
        return f"costs {cost:.1f} times the time"
    return f"takes {cost:.1f} times the time" if cost <= 0.9 else "takes as long"


def _lead(found: StudyFigures, others: Sequence[ArmFigures]) -> str:
    kinds = [arm.judgement.kind for arm in others if arm.judgement]
    words = {
        "better": "better",
        "worse": "worse",
        "same": "no different in practice",
        "open": "not shown to differ",
    }
    parts = [f"{kinds.count(kind)} {word}" for kind, word in words.items() if kind in kinds]
    told = ", ".join(parts) or "no verdict yet"
    others_ = "1 other" if len(others) == 1 else f"{len(others)} others"
    return f"Of {others_} beside {found.against}, on {found.measured}: {told}."


def _bars(found: StudyFigures) -> list[Bar]:
    bars = []
    for arm in found.largest:
        value, low, high, text = 100 * arm.accuracy, None, None, f"{100 * arm.accuracy:.1f}%"
        if arm.mean is not None:
            low, high = (min(100.0, max(0.0, 100 * end)) for end in arm.mean.interval())
            text = f"{text} ({low:.1f} to {high:.1f})"
        bars.append(Bar(name=arm.name, value=value, low=low, high=high, text=text, kind="model"))
    baseline = found.baselines.get(found.sizes[-1])
    if baseline is not None:
        bars.append(
            Bar(name=baseline.name, value=100 * baseline.accuracy, text=f"{100 * baseline.accuracy:.1f}%")
        )
    if found.majority is not None:
        text = f"{100 * found.majority:.1f}%"
        bars.append(Bar(name="largest class", value=100 * found.majority, text=text, kind="majority"))
    return bars


def _row(arm: ArmFigures) -> list[str]:
    spread = f"± {100 * stdev(arm.accuracies):.1f}" if len(arm.accuracies) > 1 else ""
    verdicts = {"better": "better", "worse": "worse", "same": "no matter", "open": "not shown"}
    judged = arm.judgement
    return [
        arm.name,
        f"{100 * arm.accuracy:.1f}%",
        spread,
        str(len(arm.accuracies)),
        gain(judged) if judged else "",
        verdicts[judged.kind] if judged else "",
        duration(arm.seconds),
        f"{arm.cost:.1f}" if arm.cost is not None else "",
        count(arm.parameters) if arm.parameters else "",
        f"{arm.memory / 2**20:,.0f} MiB" if arm.memory else "–",
        f"{fmean(arm.log_losses):.3f}",
    ]


def _verdicts(found: StudyFigures) -> Section:
    arms = found.largest
    judged = [(arm.name, arm.judgement) for arm in arms if arm.judgement is not None]
    charts = []
    if judged:
        rows = [(name, 100 * j.difference.mean, 100 * j.low, 100 * j.high) for name, j in judged]
        told = "; ".join(f"{name} {gain(j)}" for name, j in judged)
        svg = interval_chart(
            rows, title=f"Differences from {found.against} in points: {told}", name="differences",
            x_label="points of accuracy",
        )  # fmt: skip
        charts = [Chart(caption=f"Difference from {found.against}, with 95% intervals", svg=svg)]
    header, rows_ = arms_table(found, arms)
    return Section(
        anchor="verdicts",
        title="Verdicts",
        paragraphs=verdicts(found)[found.sizes[-1]],
        charts=charts,
        tables=[
            ReportTable(
                caption=f"Trained on {size_name(arms[0].size, arms[0].rows)}", header=header, rows=rows_
            )
        ],
    )


def _curves(found: StudyFigures) -> list[Section]:
    """Learning curves, where there are several sizes."""
    if len(found.sizes) < 2:
        return []
    names = list(dict.fromkeys(arm.name for arm in found.arms))
    lines, bands = {}, {}
    for name in names:
        by_size = {arm.size: arm for arm in found.arms if arm.name == name}
        mine = [by_size.get(size) for size in found.sizes]
        lines[name] = [arm.accuracy if arm else float("nan") for arm in mine]
        ends = [arm.mean.interval() if arm and arm.mean else (float("nan"),) * 2 for arm in mine]
        bands[name] = ([low for low, _ in ends], [high for _, high in ends])
    if len(found.baselines) == len(found.sizes):
        lines["n-grams"] = [found.baselines[size].accuracy for size in found.sizes]
    rows = {arm.size: arm.rows for arm in found.arms}
    svg = line_chart(
        [float(rows[size]) for size in found.sizes], lines, bands=bands, percent=True, log_x=True, wide=True,
        title=f"Accuracy over training rows: {_ends(lines)}", name="sizes", x_label="training rows",
    )  # fmt: skip
    tables = []
    for size in found.sizes[:-1]:
        header, cells = arms_table(found, [arm for arm in found.arms if arm.size == size])
        tables.append(
            ReportTable(caption=f"Trained on {size_name(size, rows[size])}", header=header, rows=cells)
        )
    paragraphs = [
        f"On {size_name(size, rows[size])}, {line}"
        for size, told in verdicts(found).items()
        if size != found.sizes[-1]
        for line in told
    ]
    caption = "Accuracy by the number of training rows; bands are 95% intervals over rows and seeds"
    chart = Chart(caption=caption, svg=svg, wide=True)
    return [
        Section(
            anchor="curves", title="Learning curves", paragraphs=paragraphs, charts=[chart], tables=tables
        )
    ]


def _ends(lines: Mapping[str, Sequence[float]]) -> str:
    return "; ".join(
        f"{name} {100 * values[0]:.1f} to {100 * values[-1]:.1f}%" for name, values in lines.items()
    )


def _method(found: StudyFigures) -> Section:
    judged = [arm.judgement for arm in found.largest if arm.judgement]
    shares = [j.difference.from_seeds for j in judged]
    told = [
        "All arms saw the same split and are measured on the same rows; a seed gives two arms the same rows "
        "to learn from, and its own weights, masks and order of batches.",
        "An interval counts both sources of chance: which seeds were drawn, and which rows the test part "
        "happens to hold. Seeds judge rows as readers judge cases in multi-reader studies (Obuchowski and "
        "Rockette 1995; Hillis 2007).",
        "A difference is called real when its p-value, corrected for the number of arms by Holm's method and "
        "for repeated looks, is at most 0.05. No difference that matters: the whole interval lies within "
        f"{100 * found.enough:g} points. All else is not shown, which does not mean that nothing is there.",
        "Seeds are added until that is settled or their number is reached. Each look spends a part of the "
        "5%, so the intervals hold whenever an arm stopped.",
        f"Time is the clock's for one training; cost is the processors' time beside that of {found.against}.",
    ]
    if shares:
        told.append(
            f"Of the uncertainty {100 * fmean(shares):.0f}% (mean over arms) comes from seeds and would "
            "shrink with more of them; the rest comes from the rows measured on."
        )
    return Section(anchor="method", title="How it was judged", paragraphs=told)
