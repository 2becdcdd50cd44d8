"""Figures of taggers: against plain counting, and intervals against drawing sentences again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recurra.errors import DataError
from recurra.measure.bootstrap import ends
from recurra.measure.metrics import wilson_interval
from recurra.tasks.tagging.baseline import MostFrequentTag
from recurra.tasks.tagging.entities import compare_spans, entity_figures
from recurra.tasks.tagging.figures import clustered_interval, compare_words, tagging_metrics, worst_confusions
from recurra.tasks.tagging.schemes import SCHEMES, lenient

sentences = st.lists(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=6),
    min_size=1,
    max_size=8,
).filter(lambda found: any(true >= 0 for sentence in found for true, _, _ in sentence))


def sure(chosen: list[int], tags: int = 3) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.asarray(np.eye(tags)[chosen] * 0.7 + 0.1)


@given(sentences)
@settings(max_examples=40)
def test_figures_are_those_of_plain_counting(found: list[list[tuple[int, int, bool]]]) -> None:
    words = [word for sentence in found for word in sentence]
    m = tagging_metrics(
        np.array([true for true, _, _ in words]),
        sure([chosen for _, chosen, _ in words]),
        ["A", "B", "C"],
        np.array([len(sentence) for sentence in found]),
        np.array([known for _, _, known in words]),
    )
    assert m.words.count == len(words)
    assert m.words.accuracy == pytest.approx(np.mean([true == chosen for true, chosen, _ in words]))
    for share, wanted in ((m.known, True), (m.unknown, False)):
        right = [true == chosen for true, chosen, known in words if known == wanted]
        assert (share is None) == (not right)
        if share is not None:
            assert (share.count, share.accuracy) == (len(right), pytest.approx(np.mean(right)))
            assert 0 <= share.low <= share.accuracy + 1e-9
            assert share.accuracy - 1e-9 <= share.high <= 1
    whole = [all(true == chosen for true, chosen, _ in sentence) for sentence in found]
    assert m.sentences.accuracy == pytest.approx(np.mean(whole))
    assert m.foreign == sum(true < 0 for true, _, _ in words)
    for tag, figures in enumerate(m.tags):
        both = sum(true == chosen == tag for true, chosen, _ in words)
        there = sum(true == tag for true, _, _ in words)
        said = sum(chosen == tag for true, chosen, _ in words if true >= 0)
        assert (figures.support, figures.predicted) == (there, said)
        assert figures.recall == (pytest.approx(both / there) if there else None)
        assert figures.precision == (pytest.approx(both / said) if said else None)
        assert m.confusion[tag][tag] == both
    losses = [-np.log(0.8 if true == chosen else 0.1) for true, chosen, _ in words if true >= 0]
    assert m.log_loss == pytest.approx(np.mean(losses))


def test_independent_words_have_wilsons_interval() -> None:
    hits = np.random.default_rng(0).binomial(1, 0.8, 4000)
    found = clustered_interval(hits, np.ones(4000, int))
    assert found == pytest.approx(wilson_interval(int(hits.sum()), 4000), abs=2e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Sentences of very different difficulty: an interval of independent words holds it far less often."""
    random = np.random.default_rng(1)
    held = naive = 0
    for _ in range(400):
        sizes = random.integers(1, 30, 60)
        hits = random.binomial(sizes, random.beta(2, 0.5, 60))
        low, high = clustered_interval(hits, sizes)
        held += low <= 0.8 <= high
        low, high = wilson_interval(int(hits.sum()), int(sizes.sum()))
        naive += low <= 0.8 <= high
    assert 0.90 <= held / 400 <= 0.98
    assert naive / 400 < 0.75


def test_the_difference_agrees_with_drawing_sentences_again() -> None:
    random = np.random.default_rng(2)
    lengths = random.integers(1, 25, 300)
    hard = np.repeat(random.beta(4, 1, 300), lengths)
    first, second = random.random(len(hard)) < hard + 0.03, random.random(len(hard)) < hard
    found = compare_words(first, second, lengths)
    gains = np.add.reduceat(first.astype(int) - second, np.cumsum(lengths) - lengths)
    draws = random.multinomial(300, np.full(300, 1 / 300), 4000)
    drawn = (draws @ gains) / (draws @ lengths)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.003)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert found.shown == (found.low > 0 or found.high < 0)
    back = compare_words(second, first, lengths)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert back.p_value == pytest.approx(found.p_value)


def test_one_sentence_or_no_difference_shows_nothing() -> None:
    one = compare_words(np.array([True, True]), np.array([False, False]), np.array([2]))
    assert not one.shown
    same = compare_words(np.array([True, False]), np.array([True, False]), np.array([1, 1]))
    assert (same.low, same.high, same.p_value, same.shown) == (0, 0, 1, False)
    assert clustered_interval(np.array([3]), np.array([3])) == pytest.approx(wilson_interval(3, 3))


@pytest.mark.parametrize(
    ("true", "lengths", "error"),
    [
        ([0], [2], ValueError),
        ([0, 0], [2, 0], ValueError),
        ([-1, -100], [2], DataError),
        ([], [], DataError),
    ],
)
def test_what_does_not_fit_is_refused(true: list[int], lengths: list[int], error: type[Exception]) -> None:
    with pytest.raises(error):
        tagging_metrics(
            np.array(true, int), sure([0] * len(true)), ["A", "B", "C"], np.array(lengths, int),
            np.ones(len(true), bool),
        )  # fmt: skip


def test_the_worst_confusions_come_first_with_their_words() -> None:
    true = np.array([0, 0, 0, 1, 1, 2, -1])
    chosen = np.array([1, 1, 1, 0, 1, 0, 0])
    found = worst_confusions(true, chosen, ["x", "y", "x", "z", "z", "w", "v"], ["A", "B", "C"], count=2)
    assert [(c.true, c.predicted, c.count, c.words) for c in found] == [
        ("A", "B", 3, ["x", "y"]),
        ("B", "A", 1, ["z"]),
    ]
    assert sum(c.share for c in found) == pytest.approx(4 / 5)


counts = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["A", "B", "C"]), st.integers(1, 4), min_size=1),
    min_size=1,
    max_size=8,
)


@given(counts, st.text("abcd", min_size=1, max_size=3))
@example({"a": {"A": 2}, "b": {"B": 1}, "ab": {"A": 2}, "ba": {"B": 1}, "aaa": {"A": 1}}, "aa")
@settings(max_examples=60)
def test_the_baseline_says_a_words_most_frequent_tag(found: dict[str, dict[str, int]], word: str) -> None:
    names = ["A", "B", "C"]
    baseline = MostFrequentTag(found, names)
    shares = baseline.predict_proba([word])[0]
    assert shares.sum() == pytest.approx(1)
    tags = found.get(word)
    if tags is None:
        once = [next(iter(tags)) for tags in found.values() if sum(tags.values()) == 1]
        tags = {name: once.count(name) for name in names}
        if not once:
            tags = {name: sum(some.get(name, 0) for some in found.values()) for name in names}
        assert baseline.unknown_tag == names[int(shares.argmax())]
    assert tags.get(names[int(shares.argmax())], 0) == max(tags.values())


def test_equal_counts_go_to_the_tag_that_is_frequent_everywhere() -> None:
    found = {"x": {"A": 1, "B": 1}, "y": {"B": 9}}
    assert MostFrequentTag(found, ["A", "B"]).predict_proba(["x"])[0].argmax() == 1
    with pytest.raises(DataError):
        MostFrequentTag({}, ["A", "B"])


def test_spans_are_right_as_a_whole() -> None:
    true = ["O", "B-PER", "I-PER", "I-PER", "O", "B-LOC"], ["B-PER"]
    said = ["O", "B-PER", "I-PER", "O", "I-LOC", "B-LOC"], ["B-PER"]
    found = entity_figures(true, said, SCHEMES["iob2"])
    # said: PER too short, two LOC of which one is right, the first of these not strict, PER right
    assert (found.entities, found.predicted) == (3, 4)
    assert (found.precision, found.recall) == (pytest.approx(2 / 4), pytest.approx(2 / 3))
    assert found.f1 == pytest.approx(4 / 7)
    assert found.kinds["LOC"] == (pytest.approx(1 / 2), 1.0, pytest.approx(2 / 3), 1)
    assert (found.strict.entities, found.strict.predicted) == (3, 3)
    assert found.strict.kinds["LOC"] == (1.0, 1.0, 1.0, 1)
    assert found.kinds["PER"] == found.strict.kinds["PER"]


Tags = list[list[str]]
TRUE: Tags = [["B-X", "O"], ["B-X", "I-X"], ["B-Y", "B-X"], ["O", "O"], ["B-Y", "O"]] * 8
SAID: Tags = [["B-X", "O"], ["B-X", "O"], ["B-Y", "B-Y"], ["O", "O"], ["O", "B-X"]] * 8


def direct_f1(true: Tags, said: Tags) -> float:
    """The F1 of a sample of sentences, computed from all its spans."""
    spans, answers = (
        {(at, span) for at, tags in enumerate(part) for span in lenient(tags)} for part in (true, said)
    )
    return 2 * len(spans & answers) / (len(spans) + len(answers))


def test_the_interval_of_span_f1_is_that_of_sentences_drawn_anew() -> None:
    random = np.random.default_rng(3)
    draws = random.integers(len(TRUE), size=(1000, len(TRUE)))
    direct = [direct_f1([TRUE[at] for at in draw], [SAID[at] for at in draw]) for draw in draws]
    found = entity_figures(TRUE, SAID, SCHEMES["iob2"])
    assert found.f1 == direct_f1(TRUE, SAID)
    assert found.f1_interval == pytest.approx(ends(np.array(direct)), abs=0.02)
    assert found == entity_figures(TRUE, SAID, SCHEMES["iob2"])
    # The same sentences in another order, and ten times as many of them.
    assert found == entity_figures(TRUE[::-1], SAID[::-1], SCHEMES["iob2"])
    many = entity_figures(TRUE * 10, SAID * 10, SCHEMES["iob2"]).f1_interval
    assert many is not None
    assert found.f1_interval is not None
    assert many[1] - many[0] < (found.f1_interval[1] - found.f1_interval[0]) / 2.5


def test_without_variance_over_sentences_spans_are_independent() -> None:
    right = entity_figures([["B-X"]] * 20, [["B-X"]] * 20, SCHEMES["iob2"])
    assert right.recall_interval == pytest.approx(wilson_interval(20, 20))
    low, _ = wilson_interval(20, 20)
    assert right.f1_interval == pytest.approx((2 * low / (1 + low), 1))
    wrong = entity_figures([["B-X"]] * 20, [["B-Y"]] * 20, SCHEMES["iob2"])
    assert wrong.f1_interval is not None
    assert wrong.f1_interval[0] == 0 < wrong.f1_interval[1] < 0.25
    none = entity_figures([["O"]], [["O"]], SCHEMES["iob2"])
    assert (none.f1, none.f1_interval) == (None, None)
    found = entity_figures([["B-X"], ["O"]], [["O"], ["O"]], SCHEMES["iob2"])
    assert (found.precision_interval, found.strict.recall_interval) == (None, wilson_interval(0, 1))


@given(st.lists(st.lists(st.tuples(*[st.sampled_from(["O", "B-X", "I-X"])] * 2), min_size=1), max_size=5))
@settings(max_examples=30)
def test_an_interval_contains_its_figure(sentences: list[list[tuple[str, str]]]) -> None:
    true, said = ([[pair[part] for pair in sentence] for sentence in sentences] for part in (0, 1))
    both = entity_figures(true, said, SCHEMES["iob2"])
    for found in (both, both.strict):
        for figure, interval in (
            (found.precision, found.precision_interval),
            (found.recall, found.recall_interval),
            (found.f1, found.f1_interval),
        ):
            if figure is None:
                assert interval is None
            else:
                assert interval is not None
                assert 0 <= interval[0] <= figure <= interval[1] <= 1


def test_the_difference_of_span_f1_is_paired_over_sentences() -> None:
    found = compare_spans(TRUE, TRUE, SAID, ("the LSTM", "the usual tag"))
    assert found is not None
    assert found.difference == pytest.approx(1 - direct_f1(TRUE, SAID))
    interval = entity_figures(TRUE, SAID, SCHEMES["iob2"]).f1_interval
    assert interval is not None
    assert (found.low, found.high) == pytest.approx((1 - interval[1], 1 - interval[0]), abs=0.03)
    assert found.shown
    assert found.better
    assert found.sentence.startswith("F1 of spans: the LSTM is ahead of the usual tag by ")
    assert found == compare_spans(TRUE, TRUE, SAID, ("the LSTM", "the usual tag"))
    same = compare_spans(TRUE, SAID, SAID)
    assert same is not None
    assert (same.low, same.difference, same.high, same.shown) == (0, 0, 0, False)
    one = compare_spans([["B-X"], ["O"]], [["B-X"], ["O"]], [["B-Y"], ["O"]])
    assert one is not None
    assert (one.difference, one.low, one.high, one.shown) == (1, -1, 1, False)
    assert compare_spans([["O"]], [["B-X"]], [["O"]]) is None
