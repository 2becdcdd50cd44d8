"""Files made ready: nothing is tokenized twice, held-out rows stay out of the vocabulary, texts come back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from recurra.errors import DataError
from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.classification.prepare import prepare
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.texts import open_part

ROWS = [(f"word{n} in {'good' if n % 2 else 'bad'} text", "ab"[n % 2], f"group{n // 4}") for n in range(200)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "origin"), *ROWS])
    return path


def test_the_second_time_nothing_is_tokenized(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(data, ClassifierConfig(), Reporter())

    encode = TextTokenizer.encode

    def never(tokenizer: TextTokenizer, texts: list[str], *_: object) -> object:
        # A saved tokenizer proves itself on a text of its own when it is opened.
        assert not any("word1" in text for text in texts), "tokenized again"
        return encode(tokenizer, texts)

    monkeypatch.setattr(TextTokenizer, "encode", never)
    second = prepare(data, ClassifierConfig(), Reporter())
    assert second.key == first.key
    np.testing.assert_array_equal(second.train.examples.flat, first.train.examples.flat)
    other = build_config({"tokenizer": {"lowercase": False}})
    with pytest.raises(AssertionError, match="tokenized again"):
        prepare(data, other, Reporter())


def test_a_changed_file_is_tokenized_anew(data: Path) -> None:
    first = prepare(data, ClassifierConfig(), Reporter())
    data.write_text(data.read_text(encoding="utf-8").replace("good", "fine"), encoding="utf-8")
    second = prepare(data, ClassifierConfig(), Reporter())
    assert second.key != first.key
    assert second.assets.tokenizer.fingerprint != first.assets.tokenizer.fingerprint


def test_a_training_resumes_where_its_files_were_moved_but_not_where_they_changed(
    data: Path, tmp_path: Path
) -> None:
    moved, valid = tmp_path / "elsewhere.csv", tmp_path / "valid.csv"
    for path in (moved, valid):
        path.write_bytes(data.read_bytes())
    first = prepare(data, ClassifierConfig(), Reporter(), valid=data)
    assert prepare(moved, ClassifierConfig(), Reporter(), valid=valid).key == first.key
    valid.write_text(data.read_text(encoding="utf-8").replace("good", "fine"), encoding="utf-8")
    assert prepare(moved, ClassifierConfig(), Reporter(), valid=valid).key != first.key


def test_the_vocabulary_is_of_training_rows_only(data: Path) -> None:
    found = prepare(data, ClassifierConfig(), Reporter())
    words = {found.assets.tokenizer.word(n) for n in range(found.assets.tokenizer.vocab_size)}
    unique = {f"word{n}" for n in found.train.rows}
    held_out = {f"word{n}" for n in found.valid.rows}
    assert unique <= words
    assert not held_out & words
    assert len(found.valid) == 20
    assert sorted([*found.train.rows, *found.valid.rows]) == list(range(200))
    assert np.bincount(found.valid.labels.astype(int)).tolist() == [10, 10]


def test_groups_stay_on_one_side_and_the_split_has_its_own_seed(data: Path) -> None:
    config = build_config({"data": {"group": "origin"}, "train": {"seed": 5}})
    found = prepare(data, config, Reporter())
    assert not {n // 4 for n in found.train.rows} & {n // 4 for n in found.valid.rows}
    same = prepare(data, build_config({"data": {"group": "origin"}, "train": {"seed": 6}}), Reporter())
    np.testing.assert_array_equal(same.valid.rows, found.valid.rows)
    other = prepare(data, build_config({"data": {"group": "origin", "split_seed": 6}}), Reporter())
    assert not np.array_equal(other.valid.rows, found.valid.rows)


def test_texts_come_back_in_order(data: Path) -> None:
    found = prepare(data, ClassifierConfig(), Reporter())
    wanted = found.valid.rows[[0, 3, 7]]
    assert list(found.valid.texts(wanted)) == [ROWS[row][0] for row in wanted]
    assert list(found.train.texts(found.train.rows)) == [ROWS[row][0] for row in found.train.rows]


def test_a_label_that_training_never_saw_is_refused_with_its_row(data: Path, tmp_path: Path) -> None:
    found = prepare(data, ClassifierConfig(), Reporter())
    test = tmp_path / "test.csv"
    test.write_text("text,label,origin\nsome text,a,x\nother text,c,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.csv, row 2: .*'c'"):
        open_part("test", test, found.assets.tokenizer, found.assets.labels, found.config.data, Reporter())
