"""Figures on rows that training saw stand apart, and the majority class is training's."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from recurra.config import Config, updated
from recurra.tasks.classification.assess import report_assessment, unseen_rows
from recurra.tasks.classification.report import card
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.reporter import Reporter
from tests.conftest import Files


class Heard(Reporter):
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)

    def table(self, title: str, header: object, rows: object) -> None:
        self.said.append(f"{header} {rows}")


@pytest.fixture(scope="module")
def leaky(sample: Files, small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A fit whose test file holds 30 rows of the training file beside 80 new ones."""
    folder = tmp_path_factory.mktemp("leaky")
    train, test = (
        list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        for path in (sample.train, sample.test)
    )
    with (folder / "test.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*test, *train[1:31]])
    return fit_files(sample.train, small_config, folder / "model", test=folder / "test.csv")


def test_rows_that_training_saw_are_counted_and_figures_of_the_others_given(leaky: Fitted) -> None:
    found = leaky.assessment
    assert found.metrics.rows == 110
    assert found.unseen is not None
    assert found.baseline_unseen is not None
    assert found.unseen.rows == found.baseline_unseen.rows == 80
    heard = Heard()
    report_assessment(found, heard)
    assert any(line.startswith("30 of 110 test texts occur in the training file") for line in heard.said)
    page = (leaky.folder / "report.html").read_text(encoding="utf-8")
    assert "30 of 110 test texts" in page
    assert leaky.as_json()["model_unseen"]["rows"] == 80


def test_nothing_is_said_where_nothing_leaks(trained: Fitted) -> None:
    assert trained.assessment.unseen is None
    assert trained.assessment.leak_sentence() is None


def test_figures_stand_beside_baseline_and_largest_class(trained: Fitted) -> None:
    found = trained.assessment
    assert found.majority == pytest.approx(0.5)
    assert found.baseline is not None
    assert found.comparison is not None
    assert found.comparison.difference == pytest.approx(found.metrics.accuracy - found.baseline.accuracy)
    heard = Heard()
    report_assessment(found, heard)
    table = next(line for line in heard.said if "95% interval" in line)
    for figure in (found.metrics.accuracy, found.baseline.accuracy, found.majority):
        assert f"{100 * figure:.2f}%" in table


def test_a_part_of_the_same_file_is_compared_with_its_other_rows_only(tmp_path: Path) -> None:
    from recurra.tasks.classification.prepare import prepare

    path = tmp_path / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((f"row {n}", "ab"[n % 2]) for n in range(60))])
    found = prepare(path, ClassifierConfig(), Reporter())
    assert unseen_rows(found.valid, found.train) is None


@pytest.mark.parametrize(("cut", "kept"), [("end", "first"), ("start", "last")])
def test_the_card_says_which_end_of_a_text_is_read(trained: Fitted, cut: str, kept: str) -> None:
    config = updated(trained.bundle.config, {"tokenizer": {"cut": cut}})
    text = card(replace(trained.bundle, config=config), trained.assessment)
    assert f"the model reads the\n{kept} 60 tokens of a text" in text
