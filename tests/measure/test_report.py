"""A report shows what a task fills in, fetches nothing and escapes all text."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from markupsafe import Markup
from pydantic import ValidationError

from recurra.errors import DataError, OutputError
from recurra.layers.summary import Row
from recurra.measure.charts import interval_chart, line_chart
from recurra.measure.report import (
    Bar,
    Chart,
    Part,
    ReportData,
    ReportTable,
    Section,
    framed,
    render,
    write_report,
)
from tests.page import HOSTILE, Page


def forecaster() -> ReportData:
    """A page without a class or an accuracy on it."""
    hours = [datetime(2014, 12, 1) + timedelta(hours=h) for h in range(48)]
    truth = [float(h % 24) for h in range(48)]
    lines = {"truth": truth, "GRU": [t + 0.5 for t in truth], "persistence": [float("nan"), *truth[:-1]]}
    sizes = [250.0, 1000.0, 4000.0]
    error = [3.1, 2.6, 2.35]
    ends = ([e - 0.2 for e in error], [e + 0.2 for e in error])
    return ReportData(
        title="GRU on weather.csv",
        created="2026-05-04 12:30 UTC",
        lead="The GRU is off by 2.35 degC on 8,000 hours of the last year.",
        verdict="That is 0.22 degC less than persistence (0.15 to 0.29).",
        verdict_kind="good",
        caution="One winter is not every winter.",
        bars=[
            Bar(name="GRU", value=2.35, low=2.3, high=2.4, text="2.35 degC (2.30 to 2.40)", kind="model"),
            Bar(name="persistence", value=2.57, text="2.57 degC"),
        ],
        bars_label="Mean absolute error in degC: lower is better",
        sections=[
            Section(
                anchor="forecast",
                title="Forecast and truth",
                paragraphs=["Two days of the test part."],
                charts=[
                    Chart(
                        caption="Temperature 24 hours ahead, in degC",
                        svg=line_chart(
                            hours, lines, title="two days", name="days", x_label="", y_label="degC", wide=True
                        ),
                        wide=True,
                    ),
                    Chart(
                        caption="Error by the number of training rows",
                        svg=line_chart(
                            sizes,
                            {"GRU": error, "ridge": [2.9, 2.7, 2.6]},
                            bands={"GRU": ends},
                            title="error falls with rows",
                            name="sizes",
                            x_label="training rows",
                            y_label="degC",
                            log_x=True,
                        ),
                    ),
                    Chart(
                        caption="Difference from persistence",
                        svg=interval_chart(
                            [("GRU", -0.22, -0.29, -0.15), ("ridge", 0.03, -0.04, 0.1)],
                            title="GRU below 0",
                            name="dots",
                            x_label="degC",
                        ),
                    ),
                ],
                tables=[
                    ReportTable(
                        caption="Errors",
                        header=["Model", "MAE", "Kind", "Change"],
                        rows=[["GRU", "2.35", "a network", "−9%"], ["persistence", "2.57", "a rule", "–"]],
                    ),
                    ReportTable(caption="Every hour", header=["Hour"], rows=[], folded=True),
                ],
            )
        ],
        curves={"loss": "Loss: lower is better", "mae": "Mean absolute error in degC"},
        data={"file": "weather.csv"},
        parts=[Part(name="test", rows=8000, source="the last fifth")],
        history=[
            {"epoch": e, "train_loss": 1 / e, "valid_loss": 1.1 / e, "valid_mae": 3 / e} for e in (1, 2)
        ],
        best_epoch=2,
        stopped="interrupted",
        summary=[Row(name="gru", layer="GRU", output_shape="(None, 32)", parameters=3_400, trainable=True)],
        settings={"series": {"lookback": 240}},
        command="recurra fit weather.csv --task forecast",
    )


def test_a_page_of_any_task() -> None:
    html = render(forecaster())
    page = Page(html)
    for words in (
        "The GRU is off by 2.35 degC on 8,000 hours", "0.22 degC less than persistence (0.15 to 0.29).",
        "One winter is not every winter. Training was interrupted", "Mean absolute error in degC: lower",
        "2.35 degC (2.30 to 2.40)", "Persistence", "Forecast and truth", "Two days of the test part.",
        "Every hour", "the last fifth", "series.lookback", "3,400", "recurra fit weather.csv",
    ):  # fmt: skip
        assert words in page.text, words
    for words in ("accuracy", "baseline", "not measured", "Classes", "label"):
        assert words not in page.text, words
    anchors = re.findall(r'<li><a href="#([a-z-]+)">', html)
    assert anchors == re.findall(r'<section id="([a-z-]+)">', html)
    assert anchors == ["forecast", "training", "data", "model", "settings", "reproduce"]
    assert page.tags.count("svg") == 5


def test_bars_end_at_the_largest_value() -> None:
    html = render(forecaster())
    widths = [float(width) for width in re.findall(r'class="fill" style="width:([\d.]+)%"', html)]
    assert widths == [pytest.approx(100 * 2.35 / 2.57, abs=0.01), 100]
    left, width = re.findall(r'class="whisker" style="left:([\d.]+)%;width:([\d.]+)%"', html)[0]
    assert float(left) == pytest.approx(100 * 2.3 / 2.57, abs=0.01)
    assert float(width) == pytest.approx(100 * 0.1 / 2.57, abs=0.02)


def test_columns_of_figures_are_set_to_the_right() -> None:
    html = render(forecaster())
    for cell in ("2.35", "2.57", "−9%", "–"):
        assert re.search(f'<td class="n" data-name="(MAE|Change)">{cell}</td>', html), cell
    assert '<td class="keep" data-name="Kind">a network</td>' in html
    assert '<th scope="row" class="keep">GRU</th>' in html


def test_hostile_words_stay_words() -> None:
    section = Section(
        anchor="a",
        title=HOSTILE,
        paragraphs=[HOSTILE],
        charts=[
            Chart(
                caption=HOSTILE,
                svg=line_chart([1, 2], {HOSTILE: [1, 2], "b": [2, 1]}, title=HOSTILE, name="h"),
            )
        ],
        tables=[ReportTable(caption=HOSTILE, header=[HOSTILE], rows=[[HOSTILE]])],
    )
    bar = Bar(name=HOSTILE, value=1, text=HOSTILE)
    data = ReportData(
        title=HOSTILE,
        lead=HOSTILE,
        verdict=HOSTILE,
        caution=HOSTILE,
        bars=[bar],
        bars_label=HOSTILE,
        sections=[section],
    )
    page = Page(render(data))
    assert not {"script", "img"} & set(page.tags)
    assert page.text.count(HOSTILE) >= 10


def test_a_chart_must_be_markup() -> None:
    with pytest.raises(ValidationError):
        Chart(caption="c", svg="<svg></svg>")  # type: ignore[arg-type]


def test_every_line_has_its_own_look() -> None:
    lines = {f"line {number}": [float(number), number + 1.0] for number in range(7)}
    drawn = line_chart([1, 2], lines, title="seven", name="seven")
    styles = set(re.findall(r"stroke: var\(--(accent|second|third|fourth|fifth|sixth|ink-soft)\)", drawn))
    assert styles == {"accent", "second", "third", "fourth", "fifth", "sixth", "ink-soft"}
    assert all(f">{name}<" in drawn for name in lines)


def test_times_over_any_range_have_ticks() -> None:
    first = datetime(2020, 1, 1)
    for minutes in (1, 40, 250, 290, 350, 1_400, 5_000, 60_000, 110_000, 900_000, 9_000_000):
        times = [first, first + timedelta(minutes=minutes)]
        line_chart(times, {"a": [1.0, 2.0]}, title="t", name="n")  # a missing interval is a warning


def test_a_logarithmic_axis_names_its_places() -> None:
    drawn = line_chart(
        [250, 1000, 6920], {"a": [0.5, 0.6, 0.7]}, title="t", name="n", log_x=True, percent=True
    )
    assert all(f">{place}<" in drawn for place in ("250", "1,000", "6,920"))


def test_missing_parts_are_left_out() -> None:
    page = Page(render(ReportData(title="LSTM")))
    assert page.text.count("LSTM") == 2
    assert not {"section", "svg", "p"} & set(page.tags)


def test_results_come_before_the_training_and_hold_html_and_notes() -> None:
    section = Section(
        anchor="more",
        half=True,
        title="Further results",
        tables=[ReportTable(header=["Figure", "GRU"], rows=[["MAE", "2.35"]], meanings=["Lower is better."])],
        notes=["Measured once."],
        html=Markup("<ul><li>ready-made</li></ul>"),
    )
    data = forecaster()
    html = render(data.model_copy(update={"sections": [*data.sections, section]}))
    anchors = re.findall(r'<section id="([a-z-]+)"', html)
    assert anchors == ["forecast", "more", "training", "data", "model", "settings", "reproduce"]
    assert '<section id="more" class="half">' in html
    assert anchors == re.findall(r'<li><a href="#([a-z-]+)">', html)
    assert "MAE2.35 Lower is better." in Page(html).text
    assert html.index("Measured once.") < html.index("<li>ready-made</li>")


def test_history_with_gaps_and_a_single_epoch() -> None:
    gap = {"epoch": 1.0, "train_loss": 0.5, "valid_loss": float("nan")}
    one = ReportData(title="t", history=[gap])
    assert "svg" not in Page(render(one)).tags
    two = one.model_copy(update={"history": [gap, {"epoch": 2.0, "train_loss": 0.25}]})
    page = Page(render(two))
    assert page.tags.count("svg") == 1
    assert "0.25" in page.text


def test_a_notebook_shows_a_page_in_a_frame_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / f"a{chr(34)}b.html"
    write_report(path, forecaster().model_copy(update={"title": HOSTILE}))
    page = Page(framed(path))
    assert page.tags == ["iframe"]
    attributes = {name: value for _, name, value in page.attributes}
    assert attributes["srcdoc"] == path.read_text(encoding="utf-8")
    assert attributes["sandbox"] == ""  # nothing is allowed
    path.unlink()
    with pytest.raises(DataError, match="can't be read"):
        framed(path)


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, forecaster())
    assert path.read_text(encoding="utf-8") == render(forecaster())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="can't be written"):
        write_report(tmp_path / "file" / "report.html", forecaster())
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_report(tmp_path / "folder", forecaster())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder", "report.html"]
