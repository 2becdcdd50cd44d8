"""The real files of texts and labels are read as they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from recurra.config import DataConfig
from recurra.io.detect import detect
from recurra.io.formats import read
from recurra.io.labels import Labels

pytestmark = pytest.mark.data
AUTO = DataConfig()

FILES = [  # train, test, rows of test, format, text and label of train, task, classes
    (
        "imdb/train.parquet",
        "imdb/test.parquet",
        25_000,
        "parquet",
        ("text",),
        "label",
        "binary",
        ("neg", "pos"),
    ),
    ("sst2/train.tsv", "sst2/test.tsv", 1_821, "tsv", ("0",), "1", "binary", ("0", "1")),
    (
        "ag_news/train_20k.csv.gz",
        "ag_news/test.csv.gz",
        7_600,
        "csv",
        ("title", "description"),
        "class_index",
        "multiclass",
        ("1", "2", "3", "4"),
    ),
    (
        "chnsenticorp/train.jsonl",
        "chnsenticorp/test.jsonl",
        1_200,
        "jsonl",
        ("text",),
        "label",
        "binary",
        ("0", "1"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("train", "test", "rows", "kind", "text", "label", "task", "names"), FILES)
def test_train_and_test_files(
    data_folder: Path,
    train: str,
    test: str,
    rows: int,
    kind: str,
    text: tuple[str, ...],
    label: str,
    task: str,
    names: tuple[str, ...],
) -> None:
    source = detect(data_folder / train, AUTO)
    assert (source.format, source.text, source.label) == (kind, text, label)
    labels = Labels.learn(read(source), source=source)
    assert (labels.label_kind, labels.names) == (task, names)
    held_out = detect(data_folder / test, AUTO, like=source)
    counts: Counter[int] = Counter()
    for part in read(held_out):
        counts.update(labels.encode(part, held_out.path).tolist())
    assert sum(counts.values()) == rows
    assert len(counts) == len(names)


def test_the_shopping_reviews_keep_their_byte_order_marks(data_folder: Path) -> None:
    source = detect(data_folder / "zh_shopping" / "online_shopping_10_cats.csv.gz", AUTO)
    assert (source.columns, source.text, source.label) == (("cat", "label", "review"), ("review",), "label")
    first = next(iter(read(source)))
    assert first.texts[0].startswith("\ufeff做父母")


def test_ten_categories_by_setting(data_folder: Path) -> None:
    source = detect(data_folder / "zh_shopping" / "online_shopping_10_cats.csv.gz", DataConfig(label="cat"))
    labels = Labels.learn(read(source), source=source)
    assert (labels.label_kind, len(labels.names)) == ("multiclass", 10)


def test_imdb_by_movie(data_folder: Path) -> None:
    source = detect(data_folder / "imdb" / "train.parquet", DataConfig(group="movie"))
    groups = {group for rows in read(source) for group in rows.groups or ()}
    assert 1_000 < len(groups) < 25_000
    assert all(group.startswith("tt") for group in groups)


def test_the_unlabelled_reviews_are_texts_only(data_folder: Path) -> None:
    source = detect(data_folder / "imdb" / "unlabeled.parquet", AUTO, labelled=False)
    assert (source.text, source.label) == (("text",), None)
    assert next(iter(read(source))).labels is None


def test_a_headerless_test_file_without_the_training_source(data_folder: Path) -> None:
    source = detect(data_folder / "ag_news" / "test.csv.gz", AUTO)
    assert (source.header, source.text, source.label) == (False, ("1", "2"), "0")
