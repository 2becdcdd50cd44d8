"""What a student reads of a training: history, chart, progress, loss, summary before `fit`, explanations."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from recurra import Forecaster, LanguageModel, SequenceTagger, TextClassifier
from recurra.errors import ConfigError
from recurra.tasks.fit import Fitted
from recurra.tasks.history import History
from recurra.tasks.verbose import NotebookObserver, reporter_of
from recurra.train.state import EpochRecord
from tests.page import Page

TEXTS = ["good film", "bad film", "good plot", "bad plot"] * 6
LABELS = [1, 0, 1, 0] * 6
QUICK: dict[str, Any] = {"recipe": "lstm", "units": 4, "embedding": 4, "epochs": 3, "learning_rate": 0.05}
SMALL: dict[str, Any] = {"units": 4, "embedding": 4, "epochs": 1}
ROWS = [
    {"epoch": 1, "train_loss": 0.7, "valid_loss": 0.6, "valid_accuracy": 0.5},
    {"epoch": 2, "train_loss": 0.4, "valid_loss": 0.5, "valid_accuracy": 0.75, "valid_auc": 0.9},
]


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return TextClassifier(**QUICK).fit(TEXTS, LABELS)


def test_columns_have_the_names_of_the_file_and_those_of_keras() -> None:
    history = History(ROWS)
    assert history["loss"] == history["train_loss"] == [0.7, 0.4]
    assert history["val_accuracy"] == history["valid_accuracy"] == [0.5, 0.75]
    assert history["valid_auc"] == [None, 0.9]
    assert (len(history), history[1], list(history)) == (2, ROWS[1], ROWS)
    assert history[1:] == ROWS[1:]
    with pytest.raises(KeyError, match="there is no column 'acc'; the columns are epoch, train_loss"):
        history["acc"]


def test_it_is_shown_as_a_table_with_a_cell_for_each_value() -> None:
    history = History(ROWS)
    assert [len(line) for line in str(history).splitlines()] == [len(str(history).splitlines()[0])] * 3
    html = history._repr_html_()
    assert html.count("<tr>") == 3
    assert html.count("<td>") == 10
    assert "<td>0.7500</td>" in html
    assert "&lt;b&gt;" in History([{"<b>": 1}])._repr_html_()


def test_the_chart_is_an_svg_with_a_colour_for_every_variable(tmp_path: Path) -> None:
    figure = History(ROWS).plot("loss", "val_loss")
    html = figure._repr_html_()
    used = set(re.findall(r"var\((--[\w-]+)\)", html))
    assert used
    assert used <= set(re.findall(r"(--[\w-]+): #", html))
    figure.save(tmp_path / "history.html")
    assert html in (tmp_path / "history.html").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="no column 'acc'"):
        History(ROWS).plot("acc")
    with pytest.raises(ConfigError, match="there is no history to plot"):
        History([]).plot()


def test_the_history_of_a_fit_is_a_table(fitted: TextClassifier) -> None:
    assert fitted.history_["epoch"] == [1, 2, 3]
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]
    assert "<svg" in fitted.plot_history()._repr_html_()


def test_evaluate_returns_the_loss_of_the_probabilities(fitted: TextClassifier) -> None:
    figures = fitted.evaluate(TEXTS, LABELS)
    assert figures["loss"] == pytest.approx(log_loss(LABELS, fitted.predict_proba(TEXTS)[:, 1]))
    assert figures["accuracy"] == fitted.score(TEXTS, LABELS)


def test_evaluate_of_the_other_tasks_of_words() -> None:
    language = LanguageModel(units=4, embedding=4, bptt=4, epochs=1).fit(TEXTS)
    figures = language.evaluate(TEXTS)
    assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"])) == language.perplexity(TEXTS)
    words, tags = [text.split() for text in TEXTS], [["ADJ", "NOUN"]] * len(TEXTS)
    tagger = SequenceTagger(units=4, layers=1, embedding=4, character_units=3, epochs=1).fit(words, tags)
    found = tagger.evaluate(words, tags)
    right = [p[t, ["ADJ", "NOUN"].index(tag)] for p in tagger.predict_proba(words) for t, tag in
             enumerate(["ADJ", "NOUN"])]  # fmt: skip
    assert found["loss"] == pytest.approx(-np.log(right).mean())
    assert found["accuracy"] == tagger.score(words, tags)


@pytest.mark.parametrize(
    ("recipe", "weights"), [("simple-rnn", 322_113), ("lstm", 373_301), ("bi-lstm", 336_705)]
)
def test_the_summary_before_fit_has_the_course_s_numbers(recipe: str, weights: int) -> None:
    model = TextClassifier(recipe)
    assert f"{weights:,}" in model.summary().split("Total parameters:")[1].split()
    assert not hasattr(model, "bundle_")
    assert repr(model.summary()) == str(model.summary())


def test_the_summary_before_fit_counts_the_classes() -> None:
    assert "head (Dense)           (None, 5)" in TextClassifier(**QUICK).summary(classes=5)
    assert "head (Dense)                         (None, None, 5)" in SequenceTagger(**SMALL).summary(tags=5)


WAVE = {"wave": np.sin(np.arange(60) / 4)}


@pytest.mark.parametrize(
    ("estimator", "data", "sizes"),
    [
        (SequenceTagger(**SMALL, character_units=3), ([["a", "b"]] * 40, [["X", "Y"]] * 40),
         {"words": 4, "characters": 6, "tags": 2}),
        (LanguageModel(**SMALL, vocab_size=7, bptt=4), (TEXTS,), {}),
        (Forecaster(units=4, epochs=1, lookback=4, horizon=3, delay=1), (WAVE,), {"columns": 1}),
        (TextClassifier(**SMALL, vocab_size=7, settings={"rules": False}), (TEXTS, LABELS), {}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_summary_before_fit_is_that_after_it(estimator: Any, data: tuple[Any, ...], sizes: Any) -> None:
    before = estimator.summary(**sizes)
    assert not hasattr(estimator, "bundle_")
    assert before == estimator.fit(*data).summary()


def test_verbose_prints_a_line_per_epoch_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose, lines in ((0, 0), (1, 2), (2, 2)):
        TextClassifier(**{**QUICK, "epochs": 2}, verbose=verbose).fit(TEXTS, LABELS)
        printed = capsys.readouterr().out
        assert len(re.findall(r"^epoch \d/2 .*loss", printed, re.MULTILINE)) == lines
        assert len(printed.splitlines()) == lines
    with pytest.raises(ConfigError, match=r"^parameter verbose: 3 is not 0, 1 or 2$"):
        reporter_of(3)


def test_a_notebook_shows_a_bar_and_then_the_lines() -> None:
    shown: list[str] = []
    observer = NotebookObserver(shown.append)
    observer.on_start(2, 4, None)
    for batch in range(1, 5):
        observer.on_batch(1, batch, 0.5, 10, 0.1)
    assert '<progress max="4" value="4"></progress> loss 0.5000' in shown[-1]
    observer.on_epoch(EpochRecord(1, 4, 0.5, 0.001, 1.0, 10.0, {"valid_loss": 0.4}), True)
    assert "<progress" not in shown[-1]
    assert "valid loss 0.4000" in shown[-1]


def test_an_explanation_is_shown_with_its_words_escaped(fitted: TextClassifier) -> None:
    explanation = fitted.explain("good <b>")
    html = explanation._repr_html_()
    assert explanation.label in html
    assert "<b>" not in html.replace(f"<b>{explanation.label}</b>", "")


def test_nearest_and_memory_are_methods_too(fitted: TextClassifier) -> None:
    import torch

    assert {neighbour.word for neighbour in fitted.nearest("good", 3)} <= {"bad", "film", "plot"}
    draws = torch.Generator().manual_seed(0)
    inputs = [torch.randn(9, 4, generator=draws) for _ in range(3)]
    assert fitted.memory(inputs, steps=4).steps == 4


def test_a_notebook_shows_the_report_of_a_fit(trained: Fitted) -> None:
    page = Page(trained._repr_html_())
    assert page.tags == ["iframe"]
    report = (trained.folder / "report.html").read_text(encoding="utf-8")
    assert ("iframe", "srcdoc", report) in page.attributes
