"""The baseline learns, is the same every time, keeps within its memory and copes with poor data."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from recurra.errors import DataError
from recurra.tasks.classification.ngrams import NgramModel, words_of
from recurra.tasks.classification.ngrams.regression import passes_of
from recurra.tasks.reporter import Tick

GOOD, BAD = ["fine", "lovely", "superb", "not bad"], ["awful", "dull", "poor", "not good"]


def reviews(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    fillers = ["the film", "a story", "actors", "music", "it"]
    texts = [
        f"{rng.choice(fillers)} {rng.choice(GOOD if y else BAD)} {rng.choice(fillers)} !" for y in labels
    ]
    return texts, labels


def test_learns_words_and_pairs_of_words() -> None:
    texts, labels = reviews(400)
    new, truth = reviews(200, seed=1)
    model = NgramModel().fit(texts, labels, "binary", 2)
    p = model.predict_proba(new)
    assert p.shape == (200, 2)
    assert p.sum(axis=1) == pytest.approx(1)
    assert (p.argmax(axis=1) == truth).all()
    strongest = model.strongest(["neg", "pos"], 10)
    assert {"superb", "not bad"} <= {word for word, _ in strongest["pos"]}
    assert {"awful", "not good"} <= {word for word, _ in strongest["neg"]}
    assert all(weight > 0 for words in strongest.values() for _, weight in words)


def test_computes_what_wang_and_manning_describe() -> None:
    texts, labels = reviews(60)
    new, _ = reviews(20, seed=3)

    def parts(text: str) -> list[str]:
        words = words_of(text)
        return [" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)]

    tfidf = TfidfVectorizer(analyzer=parts, min_df=2, sublinear_tf=True)
    features = tfidf.fit_transform(texts).toarray()
    p = (features[labels == 1] > 0).sum(axis=0) + 1
    q = (features[labels == 0] > 0).sum(axis=0) + 1
    ratio = np.log((p / p.sum()) / (q / q.sum()))
    regression = LogisticRegression(C=20.0, solver="liblinear", tol=1e-8, max_iter=10_000)
    regression.fit(features * ratio, labels)
    expected = regression.predict_proba(tfidf.transform(new).toarray() * ratio)
    found = NgramModel().fit(texts, labels, "binary", 2).predict_proba(new)
    assert found == pytest.approx(expected, abs=2e-3)


def test_same_seed_same_model() -> None:
    texts, labels = reviews(100)
    one = NgramModel(characters=1500).fit(texts, labels, "binary", 2)
    two = NgramModel(characters=1500).fit(iter(texts), labels, "binary", 2)
    assert one.note == two.note
    assert (one.predict_proba(texts) == two.predict_proba(iter(texts))).all()


def test_multiclass_and_a_class_that_never_occurs() -> None:
    texts = ["red apple", "red cherry", "blue sky", "blue sea", "green grass", "green leaf"] * 4
    labels = np.array([0, 0, 1, 1, 3, 3] * 4)
    model = NgramModel().fit(texts, labels, "multiclass", 4)
    p = model.predict_proba(["red thing", "a blue one", "green !", "unheard of"])
    assert p[:3].argmax(axis=1).tolist() == [0, 1, 3]
    assert p.sum(axis=1) == pytest.approx(1)
    assert (p[:, 2] < 0.1).all()
    assert model.strongest(list("abcd"))["c"] == []


def test_multilabel() -> None:
    texts = ["sweet", "hot", "sweet hot", "plain"] * 6
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 6, np.float32)
    p = NgramModel().fit(texts, labels, "multilabel", 2).predict_proba(["hot sweet", "plain", "sweet"])
    assert (p >= 0.5).tolist() == [[True, True], [False, False], [True, False]]


def test_chinese_goes_by_characters() -> None:
    texts = ["房间很不错", "服务不错", "非常满意", "很差", "太差了", "不满意"] * 5
    labels = np.array([1, 1, 1, 0, 0, 0] * 5)
    model = NgramModel().fit(texts, labels, "binary", 2)
    assert model.predict_proba(["早餐不错", "早餐很差", "不满意"]).argmax(axis=1).tolist() == [1, 0, 0]


def test_markup_is_cleaned_away() -> None:
    texts, labels = ["good<br />film", "bad<br />film"] * 5, np.array([1, 0] * 5)
    words = NgramModel().fit(texts, labels, "binary", 2).strongest(["n", "p"], 50)
    assert not any("br" in word.split() for group in words.values() for word, _ in group)


def test_a_large_set_is_sampled_and_says_so() -> None:
    texts, labels = reviews(500)
    model = NgramModel(characters=4000).fit(iter(texts), labels, "binary", 2)
    assert model.note.startswith("trained on a random ")
    assert "of 500 texts" in model.note
    new, truth = reviews(100, seed=5)
    assert (model.predict_proba(new).argmax(axis=1) == truth).mean() > 0.9
    small = NgramModel().fit(texts, labels, "binary", 2)
    assert small.note == ""


def test_no_more_texts_are_drawn_than_are_asked_for() -> None:
    texts, labels = reviews(3_000)
    model = NgramModel(rows=1_200).fit(iter(texts), labels, "binary", 2)
    assert model.note.startswith("trained on a random 1,200 of 3,000 texts: at most 1,200 texts")
    new, truth = reviews(100, seed=5)
    assert (model.predict_proba(new).argmax(axis=1) == truth).mean() > 0.9


def test_the_sample_takes_from_the_whole_of_a_sorted_file() -> None:
    texts, labels = ["good film"] * 300 + ["bad film"] * 300, np.repeat([1, 0], 300)
    model = NgramModel(characters=900).fit(texts, labels, "binary", 2)
    assert model.predict_proba(["good", "bad"]).argmax(axis=1).tolist() == [1, 0]


def test_one_huge_text_is_cut() -> None:
    texts = ["good " * 200_000, "bad", "good", "bad"]
    model = NgramModel(characters=10_000, longest_text=1000).fit(texts, np.array([1, 0, 1, 0]), "binary", 2)
    assert model.note == ""
    assert model.predict_proba(["bad " * 200_000]).argmax(axis=1).tolist() == [0]


@pytest.mark.parametrize("texts", [["", "", ""], ["a", "b", "c"]])
def test_texts_with_nothing_in_common_give_the_shares(texts: list[str]) -> None:
    p = NgramModel().fit(texts, np.array([0, 1, 1]), "binary", 2).predict_proba(["z", ""])
    assert p[:, 1] == pytest.approx(2 / 3, abs=0.2)
    assert (p.argmax(axis=1) == 1).all()


def test_one_class_only_is_no_crash() -> None:
    p = NgramModel().fit(["a b", "a c"], np.array([1, 1]), "binary", 2).predict_proba(["a"])
    assert p.argmax() == 1


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 texts have 3 labels"):
        NgramModel().fit(["a", "b"], np.array([0, 1, 1]), "binary", 2)
    with pytest.raises(DataError, match="no text"):
        NgramModel().fit([], np.zeros(0, int), "binary", 2)


def test_no_text_gives_no_row() -> None:
    model = NgramModel().fit(["good", "bad"] * 2, np.array([1, 0] * 2), "binary", 2)
    assert model.predict_proba([]).shape == (0, 2)


@pytest.mark.data
def test_reaches_its_known_accuracy_on_real_chinese_and_english(data_folder: Path) -> None:
    def chinese(part: str) -> tuple[list[str], np.ndarray]:
        text = (data_folder / "chnsenticorp" / f"{part}.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines() if line]
        return [row["text"] for row in rows], np.array([int(row["label"]) for row in rows])

    texts, labels = chinese("train")
    new, truth = chinese("test")
    right = NgramModel().fit(texts, labels, "binary", 2).predict_proba(new).argmax(axis=1) == truth
    seen = set(texts)
    assert right.mean() > 0.925
    assert right[[text not in seen for text in new]].mean() > 0.905

    def english(part: str) -> tuple[list[str], np.ndarray]:
        with (data_folder / "sst2" / f"{part}.tsv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        return [row[0] for row in rows], np.array([int(row[1]) for row in rows])

    texts, labels = english("train")
    new, truth = english("test")
    p = NgramModel().fit(texts, labels, "binary", 2).predict_proba(new)
    assert (p.argmax(axis=1) == truth).mean() > 0.805


@pytest.mark.data
def test_reaches_its_known_accuracy_on_real_topics(data_folder: Path) -> None:
    def rows(name: str) -> list[list[str]]:
        with gzip.open(data_folder / "ag_news" / name, "rt", encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    train, test = rows("train_20k.csv.gz")[1::4], rows("test.csv.gz")[::4]
    model = NgramModel().fit(
        [f"{row[1]} {row[2]}" for row in train], np.array([int(row[0]) - 1 for row in train]), "multiclass", 4
    )
    p = model.predict_proba(f"{row[1]} {row[2]}" for row in test)
    assert (p.argmax(axis=1) == [int(row[0]) - 1 for row in test]).mean() > 0.88


def test_chinese_by_character_beside_words() -> None:
    assert words_of("iPhone不错,5星！") == ["iphone", "不", "错", ",", "5", "星", "！"]


@given(st.text())
def test_no_word_holds_a_space(text: str) -> None:
    # n-grams are words joined by spaces: one inside a word would make two of it.
    assert all(word and not any(c.isspace() for c in word) for word in words_of(text))


def test_an_interrupt_reaches_the_regressions() -> None:
    texts, labels = reviews(100)

    @contextmanager
    def counting(what: str, total: int | None = None) -> Iterator[Tick]:
        def tick(rows: int) -> None:
            if what == "fitting the n-grams":
                raise KeyboardInterrupt

        yield tick

    with pytest.raises(KeyboardInterrupt):
        NgramModel().fit(texts, labels, "binary", 2, counting)


def test_progress_counts_every_row_and_class() -> None:
    counted: dict[str, list[int]] = {}

    @contextmanager
    def counting(what: str, total: int | None = None) -> Iterator[Tick]:
        counted[what] = [total or 0, 0]

        def tick(rows: int) -> None:
            counted[what][1] += rows

        yield tick

    texts, labels = reviews(100)
    model = NgramModel().fit(texts, labels, "binary", 2, counting)
    assert [total for total, _ in counted.values()] == [100, 200, 100 * passes_of(1, 1)]
    assert all(total == done for total, done in counted.values())
    ticks: list[int] = []
    model.predict_proba(texts, ticks.append)
    assert sum(ticks) == 100
