"""Data sets in memory: ids, words, padding as in Keras, local copies, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recurra
from recurra.datasets import DataSet, load_files, load_imdb, load_sample, load_sst2, pad_sequences
from recurra.errors import ConfigError, DataError

TRAIN = [("good film", "pos"), ("bad film", "neg"), ("good good plot", "pos"), ("dull plot", "neg")]


def write(folder: Path, part: str, rows: list[tuple[str, str]]) -> Path:
    path = folder / f"{part}.tsv"
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sample() -> DataSet:
    return load_sample(num_words=5_000)


def test_ids_are_those_of_keras_by_frequency(tmp_path: Path) -> None:
    train, test = write(tmp_path, "train", TRAIN), write(tmp_path, "test", TRAIN[:2])
    data = load_files(train, test, num_words=6, seed=None)
    counts = Counter(word for text, _ in TRAIN for word in text.split())
    words = sorted(counts, key=lambda word: (-counts[word], word))[:3]
    assert data.encode("good film plot dull nothing") == [1, *(
        3 + words.index(word) if word in words else 2 for word in ("good", "film", "plot", "dull", "nothing")
    )]  # fmt: skip
    assert data.train.x == [data.encode(text) for text, _ in TRAIN]
    assert data.train.y.tolist() == [1, 0, 1, 0]
    assert data.classes == ("neg", "pos")


def test_it_unpacks_as_keras_pairs_and_decodes_what_it_encodes(sample: DataSet) -> None:
    (x_train, y_train), (x_test, y_test) = sample
    assert len(x_train) == len(y_train) == len(sample.train.texts)
    assert len(x_test) == len(y_test)
    assert max(map(max, x_train)) < 5_000
    assert sample.encode(sample.decode(x_train[0])) == x_train[0]


def test_training_rows_are_shuffled_by_the_seed_and_keep_their_labels() -> None:
    orders = [load_sample(seed=seed) for seed in (None, 1, 1, 2)]
    texts = [data.train.texts for data in orders]
    assert texts[1] == texts[2]
    assert len({tuple(rows) for rows in texts}) == 3
    labels = [dict(zip(data.train.texts, data.train.y, strict=True)) for data in orders]
    assert labels[0] == labels[1] == labels[3]


@given(
    st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=4),
    st.integers(1, 8),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["pre", "post"]),
)
def test_padding_is_that_of_a_plain_loop(
    sequences: list[list[int]], maxlen: int, padding: str, truncating: str
) -> None:
    expected = []
    for sequence in sequences:
        kept = list(sequence)
        while len(kept) > maxlen:
            kept.pop(0 if truncating == "pre" else -1)
        while len(kept) < maxlen:
            kept.insert(0 if padding == "pre" else len(kept), 0)
        expected.append(kept)
    result = pad_sequences(sequences, maxlen, padding=padding, truncating=truncating)  # type: ignore[arg-type]
    assert result.dtype == np.int32
    assert result.tolist() == expected


def test_the_length_is_the_longest_if_none_is_given() -> None:
    assert recurra.pad_sequences([[1], [1, 2, 3], []]).tolist() == [[0, 0, 1], [1, 2, 3], [0, 0, 0]]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"maxlen": 0}, "maxlen is 0"), ({"padding": "left"}, "padding is 'left'; use pre")],
)
def test_padding_that_does_not_fit_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pad_sequences([[1]], **given)  # type: ignore[arg-type]


def test_a_local_copy_is_found_and_a_missing_one_says_where_it_was_sought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sst2").mkdir()
    monkeypatch.setenv("RECURRA_DATA", str(tmp_path))
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"sst2 is in none of .*sst2, .*cache/datasets/sst2; give folder="):
        load_sst2()
    write(tmp_path / "sst2", "train", TRAIN)
    write(tmp_path / "sst2", "test", TRAIN)
    assert len(load_sst2().test.texts) == len(load_sst2(folder=tmp_path / "sst2").train.texts) == 4
    with pytest.raises(DataError, match=r"the data set imdb is in none of .*elsewhere"):
        load_imdb(folder=tmp_path / "elsewhere")


def test_a_new_class_in_the_test_part_is_refused(tmp_path: Path) -> None:
    train, test = write(tmp_path, "train", TRAIN), write(tmp_path, "test", [*TRAIN, ("x", "mixed")])
    with pytest.raises(DataError, match="the test part has the class 'mixed'"):
        load_files(train, test)


@pytest.mark.data
def test_imdb_is_read_whole(data_folder: Path) -> None:
    data = load_imdb(folder=data_folder / "imdb")
    assert [len(x) for x, _ in data] == [25_000, 25_000]
    assert [int(y.sum()) for _, y in data] == [12_500, 12_500]
    assert 0.4 < data.train.y[:1000].mean() < 0.6
