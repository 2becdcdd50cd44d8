"""The report is one well-formed page that shows every figure, fetches nothing and escapes everything."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import OutputError
from recurra.measure.calibration import probabilities, reliability
from recurra.measure.comparison import compare_accuracy
from recurra.measure.explain import Contribution, Explanation
from recurra.measure.metrics import classification_metrics, correct_rows
from recurra.measure.mistakes import worst_mistakes
from recurra.measure.report import ModelRow, Part, ReportData, render, write_report
from tests.page import HOSTILE, Page


def whole(
    task: str = "multiclass", names: tuple[str, ...] = ("bad", "so-so", "good"), seed: int = 0
) -> ReportData:
    """A report with every part filled."""
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
    return ReportData(
        title="GRU on reviews.csv",
        model_name="the GRU",
        created="2025-05-04 12:30 UTC",
        label_kind=task,
        class_names=list(names),
        metrics=classification_metrics(y, p, names, task),
        baseline=classification_metrics(y, q, names, task),
        baseline_note="trained on a random 100 of 240 texts",
        majority=0.4125,
        comparison=compare_accuracy(
            correct_rows(y, p, task), correct_rows(y, q, task), "the GRU", "the n-gram baseline"
        ),
        data={"file": "reviews.csv", "columns": "text -> label"},
        parts=[Part(name="test", rows=n, source="held out", class_counts=[80] * C, notes="median 17 tokens")],
        warnings=["12 rows are exact duplicates"],
        history=[
            {
                "epoch": e,
                "train_loss": 1 / e,
                "valid_loss": 1.1 / e,
                "valid_accuracy": 1 - 0.5 / e,
                "seconds": 3.25,
            }
            for e in (1, 2, 3)
        ],
        best_epoch=3,
        stopped="epochs",
        temperature=1.6,
        reliability_before=reliability(probabilities(logits, task), y, task),
        reliability_after=reliability(p, y, task),
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
        ngrams={name: [("a b", 12.5), ("c", 3.5)] for name in names},
        summary=[
            ModelRow(
                name="embedding", layer="Embedding", output_shape="(None, None, 32)", parameters=320_000
            ),
            ModelRow(name="gru", layer="GRU", output_shape="(None, 100)", parameters=40_200, trainable=False),
        ],
        settings={"train": {"seed": 3, "clip_norm": None}, "model": {"units": [64, 32]}, "recipe": "gru"},
        command="recurra fit reviews.csv --recipe gru",
        seed=3,
        versions={"torch": "2.9.1"},
        hardware={"cores": "2"},
    )


def test_every_figure_is_there() -> None:
    data = whole()
    text = Page(render(data)).text
    m, b, c = data.metrics, data.baseline, data.comparison
    assert m is not None
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
        "12 rows are exact duplicates", "3 epochs (all that were asked for)", "weights are those of epoch 3",
        "temperature fitted on the validation rows is 1.60", "87.5% sure", "wrong: it is so-so", "row 4,321",
        "“truly” +1.75", "“awful” −0.75", "The text is long.", "12.5", "320,000", "40,200", "360,200",
        "frozen", "train.seed", "[64, 32]", "recurra fit reviews.csv --recipe gru", "Seed 3.", "2.9.1",
        "trained on a random 100 of 240 texts", "2025-05-04 12:30 UTC", "wrong text",
    ):  # fmt: skip
        assert words in text, words


def test_confusion_matrix_is_the_metrics() -> None:
    data = whole()
    html = render(data)
    table = html[html.index('<table class="confusion') :]
    table = table[: table.index("</table>")]
    counts = [int(n) for n in re.findall(r'<td class="(?:hit|miss)"[^>]*>(\d+)', table)]
    assert data.metrics is not None
    assert np.array(counts).reshape(3, 3).tolist() == data.metrics.confusion


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
    data = whole(task, names)
    data = data.model_copy(
        update={
            "title": HOSTILE,
            "model_name": HOSTILE,
            "warnings": [HOSTILE],
            "settings": {HOSTILE: HOSTILE},
            "command": HOSTILE,
            "data": {HOSTILE: HOSTILE},
            "explanations": [
                Explanation(
                    label=HOSTILE,
                    probability=0.5,
                    true=HOSTILE,
                    note=HOSTILE,
                    parts=[Contribution(text=HOSTILE, contribution=1.0)],
                )
            ],
            "ngrams": {HOSTILE: [(HOSTILE, 1.0)]},
            "mistakes": [m.model_copy(update={"text": HOSTILE}) for m in data.mistakes],
        }
    )
    page = Page(render(data))
    assert not {"script", "img"} & set(page.tags)
    assert page.tags.count("title") == 1
    assert page.text.count(HOSTILE) > 10


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_any_text_gives_a_page_that_utf8_can_hold(text: str) -> None:
    data = ReportData(
        title=text,
        label_kind="binary",
        class_names=[text, "other"],
        ngrams={text: [(text, 1.0)]},
        warnings=[text],
        explanations=[
            Explanation(label=text, probability=1, parts=[Contribution(text=text, contribution=1)])
        ],
    )
    html = render(data).encode("utf-8").decode("utf-8")
    page = Page(html)
    assert page.tags.count("h1") == 1
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", html)


def test_missing_parts_are_left_out() -> None:
    page = Page(render(ReportData(title="LSTM", label_kind="binary", class_names=["a", "b"])))
    assert "not measured" in page.text
    assert "section" not in page.tags
    assert "svg" not in page.tags


def test_without_a_baseline_the_majority_stands_beside() -> None:
    data = whole().model_copy(update={"baseline": None, "comparison": None, "ngrams": {}})
    text = Page(render(data)).text
    assert "There is no baseline to compare it with" in text
    assert "Largest class" in text
    assert "N-gram baseline" not in text


def test_validation_figures_are_called_that() -> None:
    text = Page(render(whole().model_copy(update={"evaluated_on": "validation"}))).text
    assert "240 validation rows" in text
    assert "which also chose the epoch" in text


def test_multilabel_has_no_confusion_but_micro_f1() -> None:
    data = whole("multilabel")
    text = Page(render(data)).text
    assert "gets all labels right on" in text
    assert "Confusion" not in text
    assert data.metrics is not None
    assert f"Micro-F1{data.metrics.micro_f1:.3f}" in text


@pytest.mark.parametrize("classes", [20, 40])
def test_many_classes(classes: int) -> None:
    data = whole("multiclass", tuple(f"class {c}" for c in range(classes)))
    html = render(data)
    page = Page(html)
    assert ('<table class="confusion many">' in html) == (classes <= 30)
    assert "Most often confused" in page.text
    assert f"class {classes - 1}" in page.text


def test_no_mistake_at_all_is_said() -> None:
    metrics = classification_metrics(np.array([0, 1]), np.eye(2), ["a", "b"], "binary")
    data = ReportData(title="LSTM", label_kind="binary", class_names=["a", "b"], metrics=metrics)
    text = Page(render(data)).text
    assert "every row was predicted right" in text
    assert "So few rows say little" in text


def test_history_with_gaps_and_a_single_epoch() -> None:
    gap = {"epoch": 1.0, "train_loss": 0.5, "valid_loss": float("nan")}
    one = ReportData(title="t", label_kind="binary", class_names=["a", "b"], history=[gap])
    assert "svg" not in Page(render(one)).tags
    two = one.model_copy(update={"history": [gap, {"epoch": 2.0, "train_loss": 0.25}]})
    page = Page(render(two))
    assert page.tags.count("svg") == 1
    assert "0.25" in page.text


def test_same_data_same_bytes() -> None:
    assert render(whole()) == render(whole())


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, whole())
    assert path.read_text(encoding="utf-8") == render(whole())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="can't be written"):
        write_report(tmp_path / "file" / "report.html", whole())
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_report(tmp_path / "folder", whole())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder", "report.html"]
