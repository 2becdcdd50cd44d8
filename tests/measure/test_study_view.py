"""A study in words: verdicts say what was shown, what it costs, and never more than that."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from recurra.measure.report import ReportData, render
from recurra.measure.study import Criterion, Judgement, Mean
from recurra.measure.study_view import (
    ArmFigures,
    StudyFigures,
    arms_table,
    report_fields,
    verdict_sentence,
    verdicts,
)
from tests.page import HOSTILE, Page


def judged(mean: float, half: float, kind: str) -> Judgement:
    difference = Mean(mean, half / 2.5, 6.0, 5, 2000, 0.4)
    return Judgement(difference, mean - half, mean + half, 0.01, kind, True)  # type: ignore[arg-type]


def arm(name: str, cost: float | None, verdict: Judgement | None = None, size: int = 0) -> ArmFigures:
    return ArmFigures(
        key=name.lower(), name=name, size=size, rows=size or 6920, scores=[0.8, 0.81, 0.82],
        log_losses=[0.4, 0.5, 0.6], seconds=83.0, memory=500 * 2**20,
        parameters=0 if name == "n-grams" else 123456,
        epochs=9.0, best_epoch=6.0, cost=cost, mean=Mean(0.81, 0.01, 8.0, 3, 2000, 0.4), judgement=verdict,
        compared=cost is not None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cost", "verdict", "said"),
    [
        (1.9, judged(0.008, 0.003, "better"), "+0.8 ± 0.3 points, real; costs 1.9 times the time."),
        (0.4, judged(-0.031, 0.01, "worse"), "−3.1 ± 1.0 points, real; takes 0.4 times the time."),
        (1.0, judged(0.003, 0.001, "better"), "+0.3 ± 0.1 points, real but small; takes as long."),
        (
            2.6,
            judged(0.001, 0.009, "open"),
            "no difference shown (+0.1 ± 0.9 points); costs 2.6 times the time.",
        ),
        (
            1.2,
            judged(0.001, 0.002, "same"),
            "no difference that matters (+0.1 ± 0.2 points, which lies within 0.5); "
            "costs 1.2 times the time.",
        ),
        (1.2, None, "not enough seeds for a verdict yet."),
    ],
)
def test_verdicts_in_words(cost: float, verdict: Judgement | None, said: str) -> None:
    assert verdict_sentence(arm("GRU", cost, verdict), 0.005) == f"GRU: {said}"


def study(
    sizes: tuple[int, ...] = (0,), names: tuple[str, str] = ("LSTM", "GRU"), tested: bool = True
) -> StudyFigures:
    kinds = judged(0.008, 0.003, "better"), judged(0.001, 0.009, "open")
    arms = []
    for number, size in enumerate(sizes):
        arms += [arm(names[0], None, size=size), arm(names[1], 1.9, kinds[number % 2], size)]
    return StudyFigures(
        against=names[0], measured="1,821 test rows", tested=tested, enough=0.005, arms=arms,
        baselines={size: arm("n-grams", None, size=size) for size in sizes}, majority=0.5,
        unfinished=[] if tested else ["gru, seed 2 came to nothing: the loss is nan."],
    )  # fmt: skip


def test_the_page_of_a_study() -> None:
    page = Page(render(ReportData(title="LSTM and GRU on a.csv", **report_fields(study()))))
    for words in (
        "Of 1 arm compared with LSTM on 1,821 test rows: 1 better.",
        "GRU is best: +0.8 ± 0.3 points, and costs 1.9 times the time.",
        "GRU: +0.8 ± 0.3 points, real;", "81.0%", "123,456", "500 MiB", "83 s", "0.500", "N-grams",
        "Largest class",
        "Trained on all 6,920 rows", "An arm is a recipe", "Cost: processor time", "Obuchowski",
        "40% (mean over arms) comes from seeds",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.tags.count("svg") == 1
    assert "Learning curves" not in page.text


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (0.9, "The n-grams leads: 90.0% on 1,821 test rows; the best of the 2 arms, GRU, has 85.0%."),
        (0.83, "The n-grams is ahead of 1 of 2 arms: 83.0%"),
        (0.7, "The n-grams is behind every arm: 70.0%"),
        (0.85, "The n-grams is level with the best: 85.0%"),
        (None, "Of 1 arm compared with LSTM on 1,821 test rows: 1 better."),
    ],
)
def test_the_first_line_says_where_the_baseline_stands(baseline: float | None, said: str) -> None:
    found = study()
    arms = [replace(one, scores=[score]) for one, score in zip(found.arms, (0.8, 0.85), strict=True)]
    baselines = {} if baseline is None else {0: replace(found.baselines[0], scores=[baseline])}
    fields = report_fields(replace(found, arms=arms, baselines=baselines))
    assert fields["lead"].startswith(said)
    loss = Criterion("loss", "losses", "texts", "nats", shares=False, higher_is_better=False, majority="")
    fields = report_fields(replace(found, arms=arms, baselines=baselines, criterion=loss))
    assert ("leads" in fields["lead"]) == (baseline == 0.7)


def test_learning_curves_and_cautions() -> None:
    page = Page(render(ReportData(title="t", **report_fields(study((250, 0), tested=False)))))
    for words in (
        "No arm is shown to be better than LSTM.", "came to nothing: the loss is nan.",
        "expect slightly worse", "On 250 rows, GRU: +0.8 ± 0.3 points, real", "Trained on 250 rows",
        "training rows",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.tags.count("svg") == 2
    assert verdicts(study((250, 0))).keys() == {250, 0}


def test_bars_and_tables_hold_the_figures() -> None:
    found = study()
    html = render(ReportData(title="t", **report_fields(found)))
    widths = [float(width) for width in re.findall(r'class="fill" style="width:([\d.]+)%"', html)]
    assert widths == [81, 81, 81, 50]
    header, rows = arms_table(found, found.arms)
    assert {len(row) for row in rows} == {len(header)}
    assert [row[0] for row in rows] == ["LSTM", "GRU", "n-grams"]


def test_hostile_names_stay_names() -> None:
    page = Page(render(ReportData(title="t", **report_fields(study((250, 0), (HOSTILE, "b"))))))
    assert not {"script", "img"} & set(page.tags)
    assert HOSTILE in page.text


def test_a_criterion_that_is_no_share_and_better_when_lower() -> None:
    loss = Criterion("loss", "losses", "texts", "nats", shares=False, higher_is_better=False, majority="")
    better = judged(-0.02, 0.01, "better")
    figures = replace(
        study((250, 0)),
        criterion=loss,
        majority=None,
        arms=[
            replace(one, scores=[4.5, 4.6], log_losses=[], judgement=one.judgement and better)
            for one in study((250, 0)).arms
        ],
        baselines={},
    )
    page = Page(render(ReportData(title="t", **report_fields(figures))))
    for words in (
        "Loss on 1,821 test rows, with 95% intervals over texts and seeds: lower is better", "4.550",
        "GRU: −0.020 ± 0.010 nats (better), real; costs 1.9 times the time.", "Trained on all 6,920 texts",
        "within 0.005 nats", "training texts",
    ):  # fmt: skip
        assert words in page.text, words
    assert "%" not in page.text.replace("95%", "").replace("5%", "").replace("40%", "")
    assert "log loss" not in page.text
