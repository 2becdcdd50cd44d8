"""The report of a classifier is one well-formed page that shows every figure and escapes all text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.layers.summary import Row
from recurra.measure.calibration import probabilities, reliability
from recurra.measure.comparison import compare_accuracy
from recurra.measure.explain import Contribution, Explanation
from recurra.measure.metrics import classification_metrics, correct_rows
from recurra.measure.report import Part, ReportData, render
from recurra.tasks.classification.assess import Assessment
from recurra.tasks.classification.mistakes import worst_mistakes
from recurra.tasks.classification.report import result_fields
from tests.page import HOSTILE, Page


def assessment(
    task: str = "multiclass", names: tuple[str, ...] = ("bad", "so-so", "good"), seed: int = 0
) -> Assessment:
    """An assessment with every field filled."""
    rng = np.random.default_rng(seed)
    n, C = 240, len(names)
    if task == "multilabel":
        y = (rng.random((n, C)) < 0.4).astype(np.float32)
        logits, other = (rng.normal(size=y.shape) + 3 * y - 1.5 for _ in range(2))
    else:
        y = rng.integers(0, C, n)
        logits, other = (rng.normal(size=(n, C)) + 2 * np.eye(C)[y] for _ in range(2))
        if task == "binary":
            logits, other = logits[:, 1:] - logits[:, :1], other[:, 1:] - other[:, :1]
    p, q = probabilities(logits / 1.6, task), probabilities(other, task)
    return Assessment(
        part="test",
        model_name="the GRU",
        metrics=classification_metrics(y, p, names, task),
        majority=0.4125,
        baseline=classification_metrics(y, q, names, task),
        comparison=compare_accuracy(
            correct_rows(y, p, task), correct_rows(y, q, task), "the GRU", "the n-gram baseline"
        ),
        before=reliability(probabilities(logits, task), y, task),
        after=reliability(p, y, task),
        mistakes=worst_mistakes(y, p, names, task, lambda rows: [f"wrong text {r}" for r in rows], count=3),
        explanations=[
            Explanation(
                label=names[0],
                probability=0.875,
                true=names[1],
                row=4321,
                note="the text is long",
                parts=[
                    Contribution(text="truly", contribution=1.75),
                    Contribution(text="awful", contribution=-0.75),
                ],
            )
        ],
    )


def page_of(found: Assessment, names: tuple[str, ...] = ("bad", "so-so", "good"), **more: Any) -> ReportData:
    """The report of an assessment, with the fields that any task fills."""
    fields = {
        "title": "GRU on reviews.csv",
        "created": "2025-05-04 12:30 UTC",
        "data": {"file": "reviews.csv", "columns": "text -> label"},
        "parts": [
            Part(
                name="test",
                rows=240,
                source="held out",
                counts=dict.fromkeys(names, 80),
                notes="median 17 tokens",
            )
        ],
        "history": [
            {
                "epoch": e,
                "train_loss": 1 / e,
                "valid_loss": 1.1 / e,
                "valid_accuracy": 1 - 0.5 / e,
                "seconds": 3.25,
            }
            for e in (1, 2, 3)
        ],
        "best_epoch": 3,
        "stopped": "epochs",
        "summary": [
            Row(
                name="embedding",
                layer="Embedding",
                output_shape="(None, None, 32)",
                parameters=320_000,
                trainable=True,
            ),
            Row(name="gru", layer="GRU", output_shape="(None, 100)", parameters=40_200, trainable=False),
        ],
        "settings": {"train": {"seed": 3, "clip_norm": None}, "model": {"units": [64, 32]}, "recipe": "gru"},
        "command": "recurra fit reviews.csv --recipe gru",
        "seed": 3,
        "versions": {"torch": "2.9.1"},
        "hardware": {"cores": "2"},
    }
    ngrams = more.pop("ngrams", {name: [("a b", 12.5), ("c", 3.5)] for name in names})
    note = "trained on a random 100 of 240 texts"
    results = result_fields(found, names, 1.6, baseline_note=note, ngrams=ngrams)
    results["warnings"] = ["12 rows are exact duplicates"]
    return ReportData.model_validate({**fields, **results, **more})


def whole(task: str = "multiclass", names: tuple[str, ...] = ("bad", "so-so", "good")) -> ReportData:
    """A report with every part filled."""
    return page_of(assessment(task, names), names)


def test_every_figure_is_there() -> None:
    found = assessment()
    text = Page(render(page_of(found))).text
    m, b, c = found.metrics, found.baseline, found.comparison
    assert b is not None
    assert c is not None
    for figures in (m, b):
        for value in (figures.accuracy, figures.ece):
            assert f"{100 * value:.2f}%" in text
        assert f"{100 * figures.accuracy_low:.2f} to {100 * figures.accuracy_high:.2f}" in text
        for value in (figures.log_loss, figures.macro_f1, figures.auc):
            assert f"{value:.3f}" in text
    for one in m.classes:
        shares = f"{one.precision:.1%}{one.recall:.1%}{one.f1:.1%}"
        assert f"{one.name}{one.support}{one.predicted}{shares}{one.auc:.3f}" in text
    assert c.sentence[1:] in text
    assert "right on" in text
    for words in (
        "41.2%", "reviews.csv", "text -> label", "held out", "median 17 tokens",
        "12 rows are exact duplicates", "3 epochs (all that were requested)", "weights are those of epoch 3",
        "temperature fitted on the validation rows is 1.60", "probability 87.5%", "wrong: it is so-so",
        "row 4,321", "“truly” +1.75", "“awful” −0.75", "The text is long.", "12.5", "320,000", "40,200",
        "360,200", "frozen", "train.seed", "[64, 32]", "recurra fit reviews.csv --recipe gru", "Seed 3.",
        "2.9.1", "trained on a random 100 of 240 texts", "2025-05-04 12:30 UTC", "wrong text",
    ):  # fmt: skip
        assert words in text, words


def test_results_come_in_the_order_of_their_use() -> None:
    html = render(whole())
    assert re.findall(r'<section id="([a-z-]+)"', html) == [
        "figures", "classes", "mistakes", "explanations", "calibration", "ngrams", "training", "data",
        "model", "settings", "reproduce",
    ]  # fmt: skip
    assert re.findall(r'<section id="([a-z-]+)" class="half"', html) == ["figures", "classes"]


@pytest.mark.parametrize("wrong", [1, 5, 6, 12])
def test_five_mistakes_are_shown_and_the_others_folded(wrong: int) -> None:
    found = assessment()
    one = found.mistakes[0]
    many = [one.model_copy(update={"text": f"text {number}"}) for number in range(wrong)]
    html = render(page_of(replace(found, mistakes=many)))
    section = html[html.index('id="mistakes"') : html.index('id="explanations"')]
    shown, _, folded = section.partition("<details>")
    assert shown.count('<p class="quote"') == min(5, wrong)
    assert folded.count('<p class="quote"') == max(0, wrong - 5)
    assert (f"<summary>{wrong - 5} more</summary>" in folded) == (wrong > 5)
    assert ('start="6"' in folded) == (wrong > 5)


def test_weights_of_the_baseline_are_sorted_and_say_their_unit() -> None:
    weights = {"bad": [("dull", 2.0), ("not good", 9.5), ("so", 4.25)], "good": [("fine", 19.0)]}
    html = render(page_of(assessment(), ngrams=weights))
    section = html[html.index('id="ngrams"') : html.index('id="training"')]
    figures = re.findall(
        r'<bdi>([^<]+)</bdi><span class="soft">([^<]+)</span><i style="width:(\d+)%"', section
    )
    assert figures == [
        ("not good", "+9.5", "50"), ("so", "+4.2", "22"), ("dull", "+2.0", "11"), ("fine", "+19.0", "100"),
    ]  # fmt: skip
    assert "log-odds" in section


def test_confusion_matrix_is_the_metrics() -> None:
    found = assessment()
    html = render(page_of(found))
    table = html[html.index('<table class="confusion') :]
    table = table[: table.index("</table>")]
    counts = [int(n) for n in re.findall(r'<td class="(?:hit|miss)"[^>]*>(\d+)', table)]
    assert np.array(counts).reshape(3, 3).tolist() == found.metrics.confusion


def test_nothing_is_fetched_and_nothing_runs() -> None:
    page = Page(render(whole()))
    assert not {"script", "iframe", "link", "object", "embed", "img", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href", "action", "data", "srcset"):
            assert value.startswith("#"), (tag, name, value)
        assert "http:" not in value, (tag, name, value)
        assert "https:" not in value, (tag, name, value)
    style = re.findall(r"<style>(.*?)</style>", render(whole()), flags=re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0]
    assert "@import" not in style[0]


def test_links_and_ids_within_the_page_fit() -> None:
    page = Page(render(whole()))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    pointed = {value[1:] for _, name, value in page.attributes if name == "href"}
    pointed |= set(re.findall(r"url\(#([^)]+)\)", " ".join(value for _, _, value in page.attributes)))
    assert pointed <= set(ids)


def test_charts_have_words_and_follow_the_page_colours() -> None:
    html = render(whole())
    charts = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(charts) == 3
    for chart in charts:
        assert 'role="img" aria-label="' in chart
        assert not re.search(r"#[0-9a-fA-F]{6}\b(?!\")", re.sub(r'(href="|url\()#\w+', "", chart))
        assert "var(--accent)" in chart
        assert ">validation<" in chart or ">with temperature<" in chart


def test_accessible_bones() -> None:
    page = Page(render(whole()))
    assert page.tags.count("h1") == 1
    assert page.tags.count("main") == 1
    assert ("html", "lang", "en") in page.attributes
    scopes = [tag for tag, name, _ in page.attributes if name == "scope"]
    assert len(scopes) == page.tags.count("th")
    assert any(n == "name" and v == "viewport" for _, n, v in page.attributes)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_hostile_text_stays_text(task: str) -> None:
    names = (HOSTILE, "b") if task == "binary" else (HOSTILE, "b", "c")
    found = assessment(task, names)
    hidden = Explanation(
        label=HOSTILE,
        probability=0.5,
        true=HOSTILE,
        note=HOSTILE,
        parts=[Contribution(text=HOSTILE, contribution=1.0)],
    )
    found = replace(
        found,
        model_name=HOSTILE,
        explanations=[hidden],
        mistakes=[m.model_copy(update={"text": HOSTILE}) for m in found.mistakes],
    )
    hostile = dict.fromkeys(("title", "command"), HOSTILE)
    data = page_of(
        found,
        names,
        **hostile,
        settings={HOSTILE: HOSTILE},
        data={HOSTILE: HOSTILE},
        ngrams={HOSTILE: [(HOSTILE, 1.0)]},
    )
    page = Page(render(data))
    assert not {"script", "img"} & set(page.tags)
    assert page.tags.count("title") == 1
    assert page.text.count(HOSTILE) > 10


ASSESSMENT = assessment()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_any_text_gives_a_page_that_utf8_can_hold(text: str) -> None:
    explanation = Explanation(label=text, probability=1, parts=[Contribution(text=text, contribution=1)])
    found = replace(ASSESSMENT, explanations=[explanation])
    data = page_of(found, ("bad", text, "good"), title=text, ngrams={text: [(text, 1.0)]})
    html = render(data).encode("utf-8").decode("utf-8")
    page = Page(html)
    assert page.tags.count("h1") == 1
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", html)


@pytest.mark.parametrize(
    ("model", "baseline", "kind", "said"),
    [(900, 700, "good", "ahead of"), (700, 900, "bad", "behind"), (800, 801, "", "no difference shown")],
)
def test_all_that_is_said_of_the_baseline_agrees(model: int, baseline: int, kind: str, said: str) -> None:
    rows = np.arange(1000)
    compared = compare_accuracy(rows < model, rows[::-1] < baseline, "the GRU", "the n-gram baseline")
    data = page_of(replace(assessment(), comparison=compared))
    text = Page(render(data)).text.replace("−", "-")
    assert data.verdict_kind == kind
    assert said in data.verdict.lower()
    assert f"here {100 * compared.low:+.1f} to {100 * compared.high:+.1f} points" in text
    assert (compared.low <= 0 <= compared.high) == (kind == "")
    assert "p =" not in text
    assert "p <" not in text


def test_without_a_baseline_the_majority_stands_beside() -> None:
    found = replace(assessment(), baseline=None, comparison=None)
    text = Page(render(page_of(found, ngrams={}))).text
    assert "There is no baseline to compare it with" in text
    assert "Largest class" in text
    assert "N-gram baseline" not in text


def test_validation_figures_are_called_that() -> None:
    text = Page(render(page_of(replace(assessment(), part="validation")))).text
    assert "240 validation rows" in text
    assert "which also chose the epoch" in text


def test_multilabel_has_no_confusion_but_micro_f1() -> None:
    found = assessment("multilabel")
    text = Page(render(page_of(found))).text
    assert "predicts all labels correctly for" in text
    assert "Confusion" not in text
    assert f"Micro-F1{found.metrics.micro_f1:.3f}" in text


@pytest.mark.parametrize("classes", [20, 40])
def test_many_classes(classes: int) -> None:
    data = whole("multiclass", tuple(f"class {c}" for c in range(classes)))
    html = render(data)
    page = Page(html)
    assert ('<table class="confusion many">' in html) == (classes <= 30)
    assert "Most frequent confusions" in page.text
    assert '<section id="confusion">' in html
    assert f"class {classes - 1}" in page.text


def test_no_mistake_at_all_is_said() -> None:
    metrics = classification_metrics(np.array([0, 1]), np.eye(2), ["a", "b"], "binary")
    curve = reliability(np.eye(2), np.array([0, 1]), "binary")
    found = Assessment("test", "the LSTM", metrics, None, None, None, curve, curve, [])
    text = Page(render(page_of(found, ("a", "b")))).text
    assert "every row was predicted correctly" in text
    assert "There are few rows" in text


def test_same_data_same_bytes() -> None:
    assert render(whole()) == render(whole())
