"""The rows of a study: the same for every run, leaks left out, fewer among more."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.compare.parts import nested_order, prepare_study_data
from recurra.errors import DataError
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def read(path: Path) -> list[tuple[str, str]]:
    table = pq.read_table(path)
    labels = ["|".join(labels) for labels in table["label"].to_pylist()]
    return list(zip(table["text"].to_pylist(), labels, strict=True))


TRAIN = [(f"text {number}", "good" if number % 3 else "bad") for number in range(60)]
TEST = [("new one", "good"), ("text 5", "good"), ("new two", "bad")]


def test_rows_are_laid_out_once(tmp_path: Path) -> None:
    data, test = write(tmp_path / "a.csv", TRAIN), write(tmp_path / "t.csv", TEST)
    folder = tmp_path / "parts"
    study_data = prepare_study_data(data, ClassifierConfig(), folder, Reporter(), valid=None, test=test)
    train, valid = read(study_data.train(0, 1)), read(study_data.valid)
    assert sorted(train + valid) == sorted(TRAIN)
    assert len(valid) == 6
    assert study_data.test is not None
    # "text 5" stands in the training file: whichever side it fell on, the test must not ask it.
    assert read(study_data.test) == [row for row in TEST if row[0] != "text 5"]
    assert (study_data.rows, study_data.measured, study_data.left_out, study_data.majority) == (54, 2, 1, 0.5)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert (
        prepare_study_data(data, ClassifierConfig(), folder, Reporter(), valid=None, test=test) == study_data
    )
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_fewer_rows_are_among_more(tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", TRAIN)
    study_data = prepare_study_data(
        data, ClassifierConfig(), tmp_path / "parts", Reporter(), valid=None, test=None
    )
    assert study_data.test is None
    assert study_data.measured == 6
    whole = read(study_data.train(0, 1))
    for seed in (1, 2):
        few, more = read(study_data.train(9, seed)), read(study_data.train(30, seed))
        assert len(few) == 9
        assert set(few) < set(more) < set(whole)
        assert [label for _, label in more].count("bad") == 10
        assert more == [row for row in whole if row in more]  # in their order
    assert read(study_data.train(9, 1)) != read(study_data.train(9, 2))


def test_a_size_without_a_class_is_refused(tmp_path: Path) -> None:
    rows = [*TRAIN, ("rare one", "rare"), ("rare two", "rare")]
    study_data = prepare_study_data(
        write(tmp_path / "a.csv", rows), ClassifierConfig(), tmp_path / "p", Reporter(), valid=None, test=None
    )
    with pytest.raises(DataError, match="4 rows leave out a class"):
        study_data.train(4, 1)


def test_several_labels_stay_several(tmp_path: Path) -> None:
    rows = [(f"text {number}", ("a|b", "b", "c|a")[number % 3]) for number in range(30)]
    data = write(tmp_path / "a.csv", rows)
    config = build_config({"data": {"label_separator": "|"}})
    study_data = prepare_study_data(data, config, tmp_path / "parts", Reporter(), valid=None, test=None)
    assert study_data.majority is None
    expected = {text: "|".join(sorted(label.split("|"))) for text, label in rows}
    kept = read(study_data.train(0, 1))
    assert len(kept) == 27
    assert all(label == expected[text] for text, label in kept)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_any_beginning_has_each_class_by_its_share(strata: list[int], seed: int) -> None:
    codes = np.array(strata)
    order = nested_order(codes, seed)
    assert sorted(order.tolist()) == list(range(len(codes)))
    for code in range(4):
        seen = np.cumsum(codes[order] == code)
        expected = (codes == code).sum() * np.arange(1, len(codes) + 1) / len(codes)
        assert np.abs(seen - expected).max() <= 4  # one for each class at most


def test_a_test_file_of_training_texts_alone_is_refused(tmp_path: Path) -> None:
    data, test = write(tmp_path / "a.csv", TRAIN), write(tmp_path / "t.csv", TRAIN[3:9])
    with pytest.raises(DataError, match=r"t\.csv: every text stands in the training file too"):
        prepare_study_data(data, ClassifierConfig(), tmp_path / "parts", Reporter(), valid=None, test=test)
