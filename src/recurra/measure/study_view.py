"""The results of a study of several arms as sentences, tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from recurra.measure.charts import interval_chart, line_chart
from recurra.measure.formatting import count, duration, plain, sentence
from recurra.measure.report import Bar, Chart, ReportTable, Section
from recurra.measure.study import Criterion, Judgement, Mean

__all__ = [
    "ArmFigures", "StudyFigures", "arms_table", "baseline_sentence", "report_fields", "verdict_sentence",
    "verdicts",
]  # fmt: skip

_DEFAULT = Criterion()


@dataclass(frozen=True)
class ArmFigures:
    """The figures of one arm on training sets of one size.

    Attributes:
        key: The arm as it was given on the command line.
        name: Its display name.
        size: Number of training rows requested; 0 for all.
        rows: Number of training rows.
        scores: Value of the criterion for each seed.
        log_losses: Log loss for each seed; empty if there is none.
        seconds: Mean wall-clock time of one training.
        memory: Largest peak memory of a run in bytes; None if not known.
        parameters: Mean number of parameters; 0 for the baseline.
        epochs: Mean number of epochs trained.
        best_epoch: Mean epoch whose weights were kept.
        cost: Processor time relative to the arm that it is compared with; None for that arm.
        mean: Mean score over seeds and rows with its error; None with one seed.
        judgement: Result of the comparison; None for the arm compared with, or with too few seeds.
        compared: Whether the arm is compared with another one.
    """

    key: str
    name: str
    size: int
    rows: int
    scores: list[float]
    log_losses: list[float]
    seconds: float
    memory: int | None
    parameters: int
    epochs: float
    best_epoch: float
    cost: float | None = None
    mean: Mean | None = None
    judgement: Judgement | None = None
    compared: bool = False

    @property
    def score(self) -> float:
        """Mean score over seeds."""
        return fmean(self.scores)


@dataclass(frozen=True)
class StudyFigures:
    """The results of a study.

    Attributes:
        against: Name of the arm that the others are compared with.
        measured: Number and kind of the rows measured on, such as ``1,821 test rows``.
        tested: Whether these are test rows, which did not choose the epoch.
        enough: Largest difference that does not matter.
        arms: Arms by ascending size, then in the order given, including the one compared with.
        baselines: The baseline by size.
        majority: Value of the criterion for always giving the most frequent answer; None if not defined.
        unfinished: Reasons why the study is incomplete; empty if it is complete.
        criterion: The figure that is compared.
    """

    against: str
    measured: str
    tested: bool
    enough: float
    arms: list[ArmFigures]
    baselines: dict[int, ArmFigures] = field(default_factory=dict)
    majority: float | None = None
    unfinished: list[str] = field(default_factory=list)
    criterion: Criterion = field(default_factory=Criterion)

    @property
    def sizes(self) -> list[int]:
        """Sizes of the training sets in ascending order, all rows last."""
        return list(dict.fromkeys(arm.size for arm in self.arms))

    @property
    def largest(self) -> list[ArmFigures]:
        """The arms on the largest training set, which the verdicts are about."""
        return [arm for arm in self.arms if arm.size == self.sizes[-1]]

    def size_name(self, arm: ArmFigures) -> str:
        """Returns the size of an arm's training set, such as ``1,000 rows`` or ``all 6,920 rows``."""
        return f"{'' if arm.size else 'all '}{arm.rows:,} {self.criterion.rows}"


def gain(judgement: Judgement, criterion: Criterion) -> str:
    """Returns a difference with half the width of its interval, such as ``+0.8 ± 0.3 points``."""
    half = (judgement.high - judgement.low) / 2
    difference = criterion.number(judgement.difference.mean)
    return f"{difference} ± {criterion.number(half, '')} {criterion.unit}"


def verdict_sentence(arm: ArmFigures, enough: float, criterion: Criterion = _DEFAULT) -> str:
    """Returns the result of the comparison of one arm as a sentence.

    Example:
        >>> judged = Judgement(Mean(0.008, 0.001, 50, 5, 2000, 0.2), 0.005, 0.011, 0.001, "better", True)
        >>> arm = ArmFigures("bi-lstm", "Bidirectional LSTM", 0, 900, [0.9], [0.3], 10.0, None, 7, 3.0, 2.0,
        ...                  1.9, None, judged, True)
        >>> verdict_sentence(arm, 0.005)
        'Bidirectional LSTM: +0.8 ± 0.3 points, real; costs 1.9 times the time.'
    """
    judgement = arm.judgement
    if judgement is None:
        return f"{arm.name}: not enough seeds for a verdict yet."
    difference = gain(judgement, criterion)
    if judgement.kind in ("better", "worse"):
        small = max(abs(judgement.low), abs(judgement.high)) <= enough
        which = "" if criterion.higher_is_better else f" ({judgement.kind})"
        verdict = f"{difference}{which}, real{' but small' if small else ''}"
    elif judgement.kind == "same":
        limit = f"{criterion.scale * enough:g}"
        verdict = f"no difference that matters ({difference}, which lies within {limit})"
    else:
        verdict = f"no difference shown ({difference})"
    return f"{arm.name}: {verdict}; {_cost(arm.cost)}."


def arms_table(figures: StudyFigures, arms: Sequence[ArmFigures]) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table of arms, with the baseline in the last row."""
    criterion = figures.criterion
    header = ["", plain(criterion.name), "over seeds", "seeds", "difference", "verdict", "time", "cost"]
    header += ["parameters", "memory"]
    shown = [arm for arm in (*arms, figures.baselines.get(arms[0].size)) if arm is not None]
    rows = [_row(arm, criterion) for arm in shown]
    if any(arm.log_losses for arm in shown):
        header.append("log loss")
        for row, arm in zip(rows, shown, strict=True):
            row.append(f"{fmean(arm.log_losses):.3f}" if arm.log_losses else "")
    return header, rows


def report_fields(figures: StudyFigures) -> dict[str, Any]:
    """Returns the fields of a report that show the results."""
    criterion = figures.criterion
    judged = [(arm, arm.judgement) for arm in figures.largest if arm.judgement is not None]
    better = [(arm, judgement) for arm, judgement in judged if judgement.kind == "better"]
    sign = 1 if criterion.higher_is_better else -1
    best = max(better, key=lambda pair: sign * pair[0].score, default=None)
    notes = list(figures.unfinished)
    if not figures.tested:
        rows = criterion.rows
        notes.append(
            f"The validation {rows} also chose the epochs: expect slightly worse figures on new {rows}."
        )
    verdict = f"No arm is shown to be better than {figures.against}." if judged else ""
    if best is not None:
        arm, judgement = best
        verdict = f"{arm.name} is best: {gain(judgement, criterion)}, and {_cost(arm.cost)}."
    compared = _lead(figures, [judgement.kind for _, judgement in judged])
    unit = " in percent" if criterion.shares else ""
    direction = "" if criterion.higher_is_better else ": lower is better"
    return {
        "lead": baseline_sentence(figures) or compared,
        "verdict": f"{compared} {verdict}".strip() if figures.baselines else verdict,
        "verdict_kind": "good" if best else "",
        "caution": " ".join(notes),
        "bars": _bars(figures),
        "bars_label": f"{sentence(plain(criterion.name))} on {figures.measured}{unit}, "
        f"with 95% intervals over {criterion.rows} and seeds{direction}",
        "bars_top": 100.0 if criterion.shares else None,
        "sections": [_verdicts(figures), *_curves(figures), _method(figures)],
    }


def baseline_sentence(figures: StudyFigures) -> str:
    """Returns where the baseline stands among the arms, by their means; empty if it was not measured.

    Example:
        >>> figures = StudyFigures("LSTM", "900 test rows", True, 0.005, [
        ...     ArmFigures("lstm", "LSTM", 0, 900, [0.9], [], 1.0, None, 7, 3.0, 2.0),
        ... ], {0: ArmFigures("ngrams", "n-gram baseline", 0, 900, [0.92], [], 1.0, None, 0, 0.0, 0.0)})
        >>> baseline_sentence(figures)
        'The n-gram baseline leads: 92.0% on 900 test rows; LSTM has 90.0%.'
    """
    baseline = figures.baselines.get(figures.sizes[-1])
    if baseline is None:
        return ""
    criterion, arms = figures.criterion, figures.largest
    sign = 1 if criterion.higher_is_better else -1
    best = max(arms, key=lambda arm: sign * arm.score)
    ahead = [arm for arm in arms if sign * arm.score > sign * baseline.score]
    name = baseline.name if baseline.name.startswith("the ") else f"the {baseline.name}"
    its = f"{criterion.value(baseline.score)} on {figures.measured}"
    others = f"{best.name} has {criterion.value(best.score)}"
    if len(arms) > 1:
        others = f"the best of the {len(arms)} arms, {best.name}, has {criterion.value(best.score)}"
    if not ahead:
        equal = sign * best.score == sign * baseline.score
        return f"{sentence(name)} {'is level with the best' if equal else 'leads'}: {its}; {others}."
    if len(ahead) == len(arms):
        return f"{sentence(name)} is behind {'every arm' if len(arms) > 1 else best.name}: {its}; {others}."
    return f"{sentence(name)} is ahead of {len(arms) - len(ahead)} of {len(arms)} arms: {its}; {others}."


def verdicts(figures: StudyFigures) -> dict[int, list[str]]:
    """Returns the verdicts as sentences, by size."""
    return {
        size: [
            verdict_sentence(arm, figures.enough, figures.criterion)
            for arm in figures.arms
            if arm.size == size and arm.compared
        ]
        for size in figures.sizes
    }


def _cost(cost: float | None) -> str:
    if cost is None:
        return "its cost is not known"
    if cost >= 1.1:
        return f"costs {cost:.1f} times the time"
    return f"takes {cost:.1f} times the time" if cost <= 0.9 else "takes as long"


def _lead(figures: StudyFigures, kinds: Sequence[str]) -> str:
    words = {
        "better": "better",
        "worse": "worse",
        "same": "no different in practice",
        "open": "not shown to differ",
    }
    counts = [f"{kinds.count(kind)} {word}" for kind, word in words.items() if kind in kinds]
    results = ", ".join(counts) or "no verdict yet"
    arms = "1 arm" if len(kinds) == 1 else f"{len(kinds)} arms"
    return f"Of {arms} compared with {figures.against} on {figures.measured}: {results}."


def _bars(figures: StudyFigures) -> list[Bar]:
    criterion = figures.criterion
    scale = criterion.scale
    decimals = 1 if criterion.shares else 3
    top = scale if criterion.shares else float("inf")
    bars = []
    for arm in figures.largest:
        low = high = None
        text = criterion.value(arm.score)
        if arm.mean is not None:
            low, high = (min(top, max(0.0, scale * end)) for end in arm.mean.interval())
            text = f"{text} ({low:.{decimals}f} to {high:.{decimals}f})"
        bars.append(Bar(name=arm.name, value=scale * arm.score, low=low, high=high, text=text, kind="model"))
    baseline = figures.baselines.get(figures.sizes[-1])
    if baseline is not None:
        text = criterion.value(baseline.score)
        bars.append(Bar(name=baseline.name, value=scale * baseline.score, text=text))
    if figures.majority is not None:
        text = criterion.value(figures.majority)
        bars.append(Bar(name=criterion.majority, value=scale * figures.majority, text=text, kind="majority"))
    return bars


def _row(arm: ArmFigures, criterion: Criterion) -> list[str]:
    spread = f"± {criterion.number(stdev(arm.scores), '')}" if len(arm.scores) > 1 else ""
    names = {"better": "better", "worse": "worse", "same": "no matter", "open": "not shown"}
    judgement = arm.judgement
    return [
        arm.name,
        criterion.value(arm.score),
        spread,
        str(len(arm.scores)),
        gain(judgement, criterion).removesuffix(f" {criterion.unit}") if judgement else "",
        names[judgement.kind] if judgement else "",
        duration(arm.seconds),
        f"{arm.cost:.1f}" if arm.cost is not None else "",
        count(arm.parameters) if arm.parameters else "",
        f"{arm.memory / 2**20:,.0f} MiB" if arm.memory else "–",
    ]


def _verdicts(figures: StudyFigures) -> Section:
    arms, criterion = figures.largest, figures.criterion
    judged = [(arm.name, arm.judgement) for arm in arms if arm.judgement is not None]
    charts = []
    if judged:
        scale = criterion.scale
        rows = [(name, scale * j.difference.mean, scale * j.low, scale * j.high) for name, j in judged]
        differences = "; ".join(f"{name} {gain(j, criterion)}" for name, j in judged)
        svg = interval_chart(
            rows, title=f"Differences from {figures.against}: {differences}", name="differences",
            x_label=f"{criterion.unit} of {plain(criterion.name)}",
        )  # fmt: skip
        corrected = "corrected for the number of arms and of looks"
        caption = f"Difference from {figures.against}, with 95% intervals {corrected}"
        charts = [Chart(caption=caption, svg=svg)]
    header, cells = arms_table(figures, arms)
    limit = f"{criterion.scale * figures.enough:g} {criterion.unit}"
    notes = [
        f"An arm is a recipe with its changes. {sentence(plain(criterion.name))}: the mean over seeds, that "
        "is, over trainings from other random numbers. Over seeds: their standard deviation. Difference from "
        f"{figures.against}, with half the width of its 95% interval, which is corrected for the number of "
        "arms and of looks and which the verdict rests on.",
        f"Verdicts. Better, worse: the interval does not contain 0. No matter: it lies within {limit}. Not "
        "shown: neither, so there may be a difference or none.",
        f"Time: of one training. Cost: processor time, where that of {figures.against} is 1. Memory: the "
        "largest of a run.",
    ]
    return Section(
        anchor="verdicts",
        title="Verdicts",
        paragraphs=verdicts(figures)[figures.sizes[-1]],
        charts=charts,
        tables=[ReportTable(caption=f"Trained on {figures.size_name(arms[0])}", header=header, rows=cells)],
        notes=notes,
    )


def _curves(figures: StudyFigures) -> list[Section]:
    """Learning curves, if there are several sizes."""
    if len(figures.sizes) < 2:
        return []
    criterion = figures.criterion
    lines, bands = {}, {}
    for name in dict.fromkeys(arm.name for arm in figures.arms):
        by_size = {arm.size: arm for arm in figures.arms if arm.name == name}
        arms = [by_size.get(size) for size in figures.sizes]
        lines[name] = [arm.score if arm else float("nan") for arm in arms]
        ends = [arm.mean.interval() if arm and arm.mean else (float("nan"),) * 2 for arm in arms]
        bands[name] = ([low for low, _ in ends], [high for _, high in ends])
    if len(figures.baselines) == len(figures.sizes):
        baselines = [figures.baselines[size] for size in figures.sizes]
        lines[baselines[0].name] = [baseline.score for baseline in baselines]
    first = {arm.size: arm for arm in reversed(figures.arms)}
    what, rows = sentence(plain(criterion.name)), f"training {criterion.rows}"
    ends_of_lines = "; ".join(
        f"{name} {criterion.value(values[0])} to {criterion.value(values[-1])}"
        for name, values in lines.items()
    )
    svg = line_chart(
        [float(first[size].rows) for size in figures.sizes], lines, bands=bands, percent=criterion.shares,
        title=f"{what} by number of {rows}: {ends_of_lines}", name="sizes", x_label=rows,
        y_label="" if criterion.shares else plain(criterion.name), log_x=True, wide=True,
    )  # fmt: skip
    tables = []
    for size in figures.sizes[:-1]:
        header, cells = arms_table(figures, [arm for arm in figures.arms if arm.size == size])
        caption = f"Trained on {figures.size_name(first[size])}"
        tables.append(ReportTable(caption=caption, header=header, rows=cells))
    paragraphs = [
        f"On {figures.size_name(first[size])}, {line}"
        for size, lines_of_size in verdicts(figures).items()
        if size != figures.sizes[-1]
        for line in lines_of_size
    ]
    caption = f"{what} by the number of {rows}; bands are 95% intervals over {criterion.rows} and seeds"
    chart = Chart(caption=caption, svg=svg, wide=True)
    return [
        Section(
            anchor="curves", title="Learning curves", paragraphs=paragraphs, charts=[chart], tables=tables
        )
    ]


def _method(figures: StudyFigures) -> Section:
    criterion = figures.criterion
    rows, limit = criterion.rows, f"{criterion.scale * figures.enough:g} {criterion.unit}"
    judged = [arm.judgement for arm in figures.largest if arm.judgement]
    paragraphs = [
        f"All arms use the same split and are measured on the same {rows}. For each seed, two arms have the "
        f"same training {rows}; each has its own weights, masks and order of batches.",
        f"An interval accounts for both sources of chance: the seeds and the {rows} that are measured on. "
        f"Seeds are measured on {rows} as readers judge cases in multi-reader studies (Obuchowski and "
        "Rockette 1995; Hillis 2007).",
        "A difference is called real if its p-value, corrected for the number of arms by Holm's method and "
        "for repeated looks, is at most 0.05. The interval of a difference is corrected in the same way: it "
        "does not contain 0 if and only if the difference is real. No difference that matters: the whole "
        f"interval lies within {limit}. Otherwise no difference is shown, which does not mean that there is "
        "none.",
        "Seeds are added until the verdict is settled or their maximum number is reached. Each look uses a "
        "part of the 5%, so the intervals are valid whenever an arm stopped.",
        "Time is the wall-clock time of one training; cost is the processor time relative to that of "
        f"{figures.against}.",
    ]
    if judged:
        from_seeds = 100 * fmean(j.difference.from_seeds for j in judged)
        paragraphs.append(
            f"Of the uncertainty {from_seeds:.0f}% (mean over arms) comes from seeds and would decrease with "
            f"more of them; the rest comes from the {rows} measured on."
        )
    return Section(anchor="method", title="Method", paragraphs=paragraphs)
