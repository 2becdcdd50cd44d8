"""The rows of a study: the same for every run, leaks left out, fewer among more."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recurra.comparison.study import prepare_study_data
from recurra.errors import DataError
from recurra.tasks.classification.study import STUDY
from recurra.tasks.classification.task import TASK
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.study import StudyData, draw_parquet


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def read(path: Path) -> list[tuple[str, str]]:
    table = pq.read_table(path)
    labels = ["|".join(labels) for labels in table["label"].to_pylist()]
    return list(zip(table["text"].to_pylist(), labels, strict=True))


def prepared(data: Path, folder: Path, test: Path | None = None, **settings: object) -> StudyData:
    config = build_config({"data": settings})
    return prepare_study_data(TASK, STUDY, data, config, folder, Reporter(), valid=None, test=test)


def whole(data: StudyData) -> list[tuple[str, str]]:
    return read(data.folder / data.train)


def drawn(data: StudyData, size: int, seed: int) -> list[tuple[str, str]]:
    path = data.folder / f"{size}-{seed}.parquet"
    draw_parquet(data, size, seed, path)
    return read(path)


TRAIN = [(f"text {number}", "good" if number % 3 else "bad") for number in range(60)]
TEST = [("new one", "good"), ("text 5", "good"), ("new two", "bad")]


def test_rows_are_laid_out_once(tmp_path: Path) -> None:
    data, test = write(tmp_path / "a.csv", TRAIN), write(tmp_path / "t.csv", TEST)
    folder = tmp_path / "parts"
    study_data = prepared(data, folder, test)
    train, valid = whole(study_data), read(folder / "valid.parquet")
    assert sorted(train + valid) == sorted(TRAIN)
    assert len(valid) == 6
    # "text 5" occurs in the training file: whichever side of the split it is on, it must not be tested.
    assert read(folder / "test.parquet") == [row for row in TEST if row[0] != "text 5"]
    assert (study_data.rows, study_data.measured, study_data.left_out, study_data.majority) == (54, 2, 1, 0.5)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert prepared(data, folder, test) == study_data
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_fewer_rows_are_among_more(tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", TRAIN)
    study_data = prepared(data, tmp_path / "parts")
    assert study_data.test is None
    assert study_data.measured == 6
    every = whole(study_data)
    for seed in (1, 2):
        few, more = drawn(study_data, 9, seed), drawn(study_data, 30, seed)
        assert len(few) == 9
        assert set(few) < set(more) < set(every)
        assert [label for _, label in more].count("bad") == 10
        assert more == [row for row in every if row in more]  # in their order
    assert drawn(study_data, 9, 1) != drawn(study_data, 9, 2)


def test_a_size_without_a_class_is_refused(tmp_path: Path) -> None:
    rows = [*TRAIN, ("rare one", "rare"), ("rare two", "rare")]
    study_data = prepared(write(tmp_path / "a.csv", rows), tmp_path / "p")
    with pytest.raises(DataError, match="4 rows leave out a class"):
        drawn(study_data, 4, 1)


def test_several_labels_stay_several(tmp_path: Path) -> None:
    rows = [(f"text {number}", ("a|b", "b", "c|a")[number % 3]) for number in range(30)]
    data = write(tmp_path / "a.csv", rows)
    study_data = prepared(data, tmp_path / "parts", label_separator="|")
    assert study_data.majority is None
    expected = {text: "|".join(sorted(label.split("|"))) for text, label in rows}
    kept = whole(study_data)
    assert len(kept) == 27
    assert all(label == expected[text] for text, label in kept)


def test_a_test_file_of_training_texts_alone_is_refused(tmp_path: Path) -> None:
    data, test = write(tmp_path / "a.csv", TRAIN), write(tmp_path / "t.csv", TRAIN[3:9])
    with pytest.raises(DataError, match=r"t\.csv: every text occurs in the training file too"):
        prepared(data, tmp_path / "parts", test)
