"""Data sets in memory: ids, words, padding as in Keras, local copies, and what is refused."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recurra
from recurra.datasets import (
    DataSet,
    load_beijing,
    load_etth1,
    load_files,
    load_imdb,
    load_ptb,
    load_sample,
    load_sst2,
    load_tinyshakespeare,
    load_ud_ewt,
    load_zh_shopping,
    pad_sequences,
)
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


def test_a_set_without_a_test_part_is_split_by_the_seed(tmp_path: Path) -> None:
    rows = [f"{'书籍' if n % 2 else '水果'},{n % 3 % 2},评论{n}\n" for n in range(40)]
    packed = gzip.compress(("cat,label,review\n" + "".join(rows) + "水果,1,\n").encode())
    (tmp_path / "online_shopping_10_cats.csv.gz").write_bytes(packed)
    data, again = (load_zh_shopping(folder=tmp_path) for _ in range(2))
    assert data.classes == ("书籍", "水果")
    assert (len(data.train.texts), len(data.test.texts)) == (36, 4)
    assert not set(data.train.texts) & set(data.test.texts)
    assert again.test.texts == data.test.texts != load_zh_shopping(folder=tmp_path, seed=1).test.texts
    assert load_zh_shopping(folder=tmp_path, label="label").classes == ("0", "1")
    with pytest.raises(ConfigError, match="label is 'review'"):
        load_zh_shopping(folder=tmp_path, label="review")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="test_fraction"):
        load_zh_shopping(folder=tmp_path, test_fraction=1)


def test_tagged_sentences_are_as_the_tagger_takes_them(tmp_path: Path) -> None:
    for part, words in (("train", ["Good", "film"]), ("dev", ["Bad", "plot"]), ("test", ["A", "film"])):
        rows = [f"{n}\t{word}\t_\tX{n}" + "\t_" * 6 for n, word in enumerate(words, 1)]
        (tmp_path / f"{part}.conllu.gz").write_bytes(gzip.compress(("\n".join(rows) + "\n\n").encode()))
    data = load_ud_ewt(folder=tmp_path)
    assert data.train == ([["Good", "film"]], [["X1", "X2"]])
    (_, _), (words, tags), _ = data
    assert (words, tags) == ([["Bad", "plot"]], [["X1", "X2"]])
    with pytest.raises(DataError, match="ud_ewt is in none of"):
        load_ud_ewt(folder=tmp_path / "elsewhere")


def test_running_text_is_a_list_of_lines(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt.gz").write_bytes(gzip.compress(f" {part} one \n two\n".encode()))
    assert load_ptb(folder=tmp_path).valid == [" valid one ", " two"]
    (tmp_path / "tinyshakespeare.txt").write_text("".join(f"line {n}\n" for n in range(100)))
    train, valid, test = load_tinyshakespeare(folder=tmp_path)
    assert [len(part) for part in (train, valid, test)] == [90, 5, 5]
    assert (train[0], valid[0], test[-1]) == ("line 0", "line 90", "line 99")


def test_series_are_columns_in_three_parts(tmp_path: Path) -> None:
    start = np.datetime64("2016-07-01T00", "h")
    rows = [f"{str(start + n).replace('T', ' ')}:00:00,{n},{n / 2}\n" for n in range(50)]
    (tmp_path / "ETTh1.csv").write_text("date,HUFL,OT\n" + "".join(rows))
    train, valid, test = load_etth1(folder=tmp_path)
    assert [len(part["OT"]) for part in (train, valid, test)] == [30, 10, 10]
    assert train["OT"].dtype == np.float64
    assert valid["date"][0] == "2016-07-02 06:00:00"
    rows = [f"{y},1,1,{h},{'NA' if h == 2 else h},{'NW' if h else 'cv'}\n" for y in range(2010, 2014)
            for h in range(5)]  # fmt: skip
    (tmp_path / "beijing_2010_2014.csv").write_text("year,month,day,hour,pm2.5,cbwd\n" + "".join(rows))
    beijing = load_beijing(folder=tmp_path)
    assert [set(part["year"]) for part in beijing] == [{2010, 2011}, {2012}, {2013}]
    assert np.isnan(beijing.test["pm2.5"]).tolist() == [False, False, True, False, False]
    assert beijing.test["cbwd"].tolist() == ["cv", "NW", "NW", "NW", "NW"]
    model = recurra.Forecaster(target="OT", lookback=4, delay=1, units=4, epochs=1)
    assert np.isfinite(model.fit(train, validation_data=valid).predict(test)[4:]).all()


@pytest.mark.slow
@pytest.mark.data
def test_the_other_sets_are_read_whole(data_folder: Path) -> None:
    assert [len(part.words) for part in load_ud_ewt(folder=data_folder / "ud_ewt")] == [12_544, 2_001, 2_077]
    ptb = load_ptb(folder=data_folder / "ptb")
    assert [sum(len(line.split()) + 1 for line in part) for part in ptb] == [929_589, 73_760, 82_430]
    lines = load_tinyshakespeare(folder=data_folder / "text")
    assert 1_000_000 < sum(len(line) + 1 for part in lines for line in part) < 1_200_000
    assert [len(part["OT"]) for part in load_etth1(folder=data_folder / "series")] == [8_640, 2_880, 2_880]
    beijing = load_beijing(folder=data_folder / "series")
    assert [len(part["pm2.5"]) for part in beijing] == [26_304, 8_760, 8_760]
    assert sum(int(np.isnan(part["pm2.5"]).sum()) for part in beijing) == 2_066
    shopping = load_zh_shopping(folder=data_folder / "zh_shopping")
    assert len(shopping.classes) == 10
    assert len(shopping.train.texts) + len(shopping.test.texts) == 62_773


@pytest.mark.slow
@pytest.mark.data
def test_imdb_is_read_whole(data_folder: Path) -> None:
    data = load_imdb(folder=data_folder / "imdb")
    assert [len(x) for x, _ in data] == [25_000, 25_000]
    assert [int(y.sum()) for _, y in data] == [12_500, 12_500]
    assert 0.4 < data.train.y[:1000].mean() < 0.6
