"""The made multi-label set: labels follow from words, few are frequent, and a seed makes the same set."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from benchmarks.multilabel import LABELS, labelled, make, sentences


def reviews(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(2_000)]
    return [" ".join(rng.choice(words, 6)) + ".<br />" + " ".join(rng.choice(words, 5)) for _ in range(count)]


def test_sentences_are_cut_from_reviews_once_each() -> None:
    found = sentences(["One two three four. Five six.<br />Six seven eight nine", "One two three four. No."])
    assert found == ["One two three four.", "Six seven eight nine"]


def test_labels_are_told_by_words_and_rare() -> None:
    texts = sentences(reviews(2_000))
    made = labelled(texts)
    assert made == labelled(texts)
    counts: dict[str, int] = {}
    for _, names in made:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    assert 5 < len(counts) <= LABELS
    assert counts["label01"] > 3 * min(counts.values())


def test_the_set_is_written_as_files(tmp_path: Path) -> None:
    counts = make(reviews(300), tmp_path, 200)
    for name, rows in (("train", 200), ("test", 40)):
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        assert len(table) == rows
        assert all(set(row["labels"].split("|")) <= set(counts) for row in table)
