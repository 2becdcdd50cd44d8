"""The sections of the report of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from recurra.measure.charts import interval_chart, line_chart, page_chart
from recurra.measure.formatting import count, duration, plain, sentence
from recurra.measure.report import Bar, Chart, ReportTable, Section
from recurra.tuning.importance import LEAST
from recurra.tuning.search import Tried
from recurra.tuning.tuned import Tuned, front
from recurra.tuning.worker import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recurra.measure.charts import Palette

__all__ = ["bars", "bars_label", "sections"]

_SHOWN = 10  # trials in the table above the fold


def sections(tuned: Tuned) -> list[Section]:
    """Returns the sections: the winner, what mattered, costs, trials, method."""
    return [_fair(tuned), _mattered(tuned), _costs(tuned), _trials(tuned), _method(tuned)]


def bars(tuned: Tuned) -> list[Bar]:
    """The means over fresh seeds on the test rows, if they were compared."""
    fair, c = tuned.fairness, tuned.criterion
    if fair is None:
        pairs = [("best trial", tuned.best[1].value)]
        pairs += [("recipe", result.value) for trial, result in tuned.complete if trial.number == 0]
    else:
        pairs = [
            ("winner", sum(fair.winner) / len(fair.winner)),
            ("recipe", sum(fair.default) / len(fair.default)),
        ]
    return [
        Bar(
            name=name,
            value=max(0.0, c.scale * value),
            text=c.value(value),
            kind="baseline" if number else "model",
        )
        for number, (name, value) in enumerate(pairs)
    ]


def bars_label(tuned: Tuned) -> str:
    """Returns what the bars show."""
    where = (
        "the validation rows"
        if tuned.fairness is None
        else f"{tuned.fairness.measured}, mean over fresh seeds"
    )
    direction = "" if tuned.criterion.higher_is_better else ": lower is better"
    return f"{sentence(plain(tuned.criterion.name))} on {where}{direction}"


def _fair(tuned: Tuned) -> Section:
    """The comparison of the winner with the recipe."""
    fair, c = tuned.fairness, tuned.criterion
    if fair is None:
        return Section(anchor="winner", title="Better, or luckier?", paragraphs=[tuned.verdict])
    rows = [
        [str(seed), c.value(a), c.value(b), c.number(a - b)]
        for seed, a, b in zip(fair.seeds, fair.winner, fair.default, strict=True)
    ]
    table = ReportTable(
        caption=f"Fresh seeds, on {fair.measured}",
        header=["seed", "winner", "recipe", "difference"],
        rows=rows,
    )
    chance = "seeds and rows" if fair.over_rows else "seeds, not for the rows"
    note = (
        f"Both are trained with the same seeds, which the search has not used, and measured on rows that it "
        f"has not seen. The 95% interval accounts for {chance}. The lead in the search is that of the best "
        "of many results on the rows that chose it: it is too large by what was luck."
    )
    return Section(
        anchor="winner", title="Better, or luckier?", paragraphs=[fair.sentence], tables=[table], notes=[note]
    )


def _mattered(tuned: Tuned) -> Section:
    """Which settings decided the results."""
    found = tuned.importances
    charts, paragraphs = [], []
    if found:
        rows = [(each.name, 100 * each.share, 100 * each.low, 100 * each.high) for each in found]
        named = "; ".join(f"{name} {share:.0f}% ({low:.0f} to {high:.0f})" for name, share, low, high in rows)
        svg = interval_chart(
            rows, title=f"Importance: {named}", name="importance", x_label="share in percent"
        )
        charts = [
            Chart(caption="Share of each setting in the variance of the results, with 95% intervals", svg=svg)
        ]
        sure = [each for each in found if each.low > 1 / len(found)]
        names = ", ".join(each.name for each in sure)
        paragraphs = [
            f"More than an even share of the differences comes from {names}."
            if sure
            else "No setting is shown to matter more than an even share: few trials give wide intervals."
        ]
    else:
        paragraphs = [f"With fewer than {LEAST} finished trials nothing can be said of single settings."]
    table = ReportTable(
        caption="What was varied",
        header=["setting", "best", "values", "why"],
        rows=[
            [name, _shown(tuned.best_settings[name]), dimension.text, dimension.why]
            for name, dimension in tuned.space.items()
        ],
    )
    note = (
        "Functional analysis of variance of random trees on the finished trials, of 40 samples of them with "
        "replacement: median and 95% interval. Interactions count for none of the settings; trials that "
        "were ended early are left out."
    )
    return Section(
        anchor="mattered",
        title="What mattered",
        paragraphs=paragraphs,
        charts=charts,
        tables=[table],
        notes=[note],
    )


def _costs(tuned: Tuned) -> Section:
    """The trade-off of the metric against time and size."""
    c, sign = tuned.criterion, tuned.sign
    charts, tables = [], []
    titles = {"cpu_seconds": "CPU seconds of training", "parameters": "parameters"}
    for cost, title in titles.items():
        best = front(tuned.complete, cost, sign)
        named = "; ".join(f"{_cost(cost, result)} {c.value(result.value)}" for _, result in best)
        svg = page_chart(
            _drawn(tuned, cost, title, best), title=f"Best by {title}: {named}", name=f"front-{cost}"
        )
        charts.append(Chart(caption=f"{sentence(plain(c.name))} by {title}, each point a trial", svg=svg))
        rows = [
            [f"{trial.number}", c.value(result.value), _cost(cost, result), _briefly(tuned, result)]
            for trial, result in best
        ]
        tables.append(
            ReportTable(
                caption=f"The best for each amount of {title}",
                header=["trial", plain(c.name), title, "settings"],
                rows=rows,
                folded=len(rows) > _SHOWN,
            )
        )
    return Section(anchor="costs", title="Accuracy and cost", charts=charts, tables=tables)


def _drawn(
    tuned: Tuned, cost: str, title: str, best: Sequence[tuple[Tried, Result]]
) -> Callable[[Axes, Palette], None]:
    c = tuned.criterion

    def draw(axes: Axes, palette: Palette) -> None:
        from matplotlib.ticker import LogLocator, NullLocator

        for pairs, label, line, mark in (
            (tuned.complete, "trials", "", "o"),
            (best, "best for the cost", "-", "s"),
        ):
            x = [max(getattr(result, cost), 1e-3) for _, result in pairs]
            y = [c.scale * result.value for _, result in pairs]
            colour = palette.lines[1 if line else 0]
            axes.plot(x, y, linestyle=line, marker=mark, color=colour, label=label)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:,.10g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel=title, ylabel=f"{plain(c.name)}{' in %' if c.shares else ''}")

    return draw


def _cost(cost: str, result: Result) -> str:
    return duration(result.cpu_seconds) if cost == "cpu_seconds" else count(result.parameters)


def _briefly(tuned: Tuned, result: Result) -> str:
    return ", ".join(f"{name.partition('.')[2]} {_shown(result.setting(name))}" for name in tuned.space)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _trials(tuned: Tuned) -> Section:
    """All trials: the best so far by their number, and a table."""
    c, sign = tuned.criterion, tuned.sign
    x = [float(trial.number) for trial in tuned.trials]
    values = [math.nan if trial.result is None else trial.result.value for trial in tuned.trials]
    top, so_far = -math.inf, []
    for value in values:
        top = max(top, sign * value) if math.isfinite(value) else top
        so_far.append(sign * top if math.isfinite(top) else math.nan)
    charts = []
    if len(x) > 1:
        svg = line_chart(
            x, {"best so far": so_far, "trial": values}, name="trials",
            title=f"Best of {len(x)} trials: {c.value(so_far[-1])}",
            x_label="trial", y_label=plain(c.name), percent=c.shares, wide=True,
        )  # fmt: skip
        charts = [
            Chart(caption=f"{sentence(plain(c.name))} on the validation rows by trial", svg=svg, wide=True)
        ]
    order = sorted(tuned.complete, key=lambda pair: -sign * pair[1].value)
    header = ["trial", plain(c.name), *(name.partition(".")[2] for name in tuned.space), "time", "parameters"]
    rows = [
        [
            "recipe" if trial.number == 0 else str(trial.number),
            c.value(result.value),
            *(_shown(result.setting(name)) for name in tuned.space),
            duration(result.seconds),
            count(result.parameters),
        ]
        for trial, result in order
    ]
    tables = [ReportTable(caption="The best trials", header=header, rows=rows[:_SHOWN])]
    if len(rows) > _SHOWN:
        tables.append(ReportTable(caption="The other trials", header=header, rows=rows[_SHOWN:], folded=True))
    failed = [f"Trial {trial.number} failed: {trial.reason}." for trial in tuned.trials if trial.reason]
    return Section(anchor="trials", title="Trials", charts=charts, tables=tables, notes=failed[:_SHOWN])


def _method(tuned: Tuned) -> Section:
    limit = "" if tuned.run_minutes is None else (
        f" Each run has {60 * tuned.run_minutes:.0f} s, for which its epochs are chosen: settings are "
        "compared for the same time, not for the same epochs."
    )  # fmt: skip
    paragraphs = [
        "Trial 0 has the settings of the recipe. At least six more are drawn at random from the search "
        "space; the others are proposed from the results so far by Optuna's tree-structured Parzen "
        "estimators. "
        "All have the same rows and the same seed. A trial whose value after an epoch is behind the median "
        "of the others at this epoch is ended early, unless it is the last epoch.",
        f"The best on the validation rows is the winner.{limit}",
        "The final model is trained on the same rows with a seed that nothing else has used, and is tested "
        "once.",
    ]
    return Section(anchor="method", title="Method", paragraphs=paragraphs)
