"""Classes are learned and encoded: their order, label kinds, and errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.errors import BundleError, DataError
from recurra.io.formats import Rows, Source
from recurra.io.labels import Labels

HERE = Path("a.csv")


def rows(*labels: str | tuple[str, ...]) -> Rows:
    cells = [label if isinstance(label, tuple) else (label,) for label in labels]
    return Rows(list(range(1, len(cells) + 1)), ["text"] * len(cells), cells)


@pytest.mark.parametrize(
    ("labels", "names", "label_kind"),
    [
        (("pos", "neg", "pos"), ("neg", "pos"), "binary"),
        (("1", "0"), ("0", "1"), "binary"),
        (("1", "-1"), ("-1", "1"), "binary"),
        (("10", "9", "2.5"), ("2.5", "9", "10"), "multiclass"),
        (("b", "a", "10", "9"), ("9", "10", "a", "b"), "multiclass"),
        ((("b", "a"), "a"), ("a", "b"), "multilabel"),
        (((), "a", "b"), ("a", "b"), "multilabel"),
    ],
)
def test_names_are_sorted_and_the_label_kind_is_detected(
    labels: tuple[str, ...], names: tuple[str, ...], label_kind: str
) -> None:
    learned = Labels.learn([rows(*labels)])
    assert (learned.names, learned.label_kind) == (names, label_kind)
    assert Labels.from_json(learned.to_json()) == learned


def test_indices_are_positions_in_names() -> None:
    codes = Labels(("neg", "neutral", "pos"), "multiclass").encode(rows("pos", "neg", "neutral"), HERE)
    assert codes.dtype == np.int64
    assert codes.tolist() == [2, 0, 1]


def test_several_labels_are_ones_among_zeros() -> None:
    codes = Labels(("a", "b", "c"), "multilabel").encode(rows(("c", "a"), (), "b"), HERE)
    assert codes.dtype == np.float32
    assert codes.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_a_separator_makes_labels_multilabel() -> None:
    source = Source(HERE, "csv", label="label", label_separator="|")
    assert Labels.learn([rows("a", "b")], source=source).label_kind == "multilabel"


@pytest.mark.parametrize(
    ("labels", "label_kind", "what"),
    [
        (
            ("a", "b", "c"),
            "binary",
            r"3 classes \(a, b, c\) where the labels are binary; pass --set data.label_kind=multiclass",
        ),
        (("a", ("a", "b")), "multiclass", "row 2: the row has none or several labels"),
        (("a", "a"), "multilabel", r"one class only \('a'\)"),
        (((), ()), "multilabel", "no row has a label"),
        ((), "auto", "there are no rows"),
    ],
)
def test_labels_that_are_not_of_the_label_kind_are_refused(
    labels: tuple[str, ...], label_kind: str, what: str
) -> None:
    with pytest.raises(DataError, match=what):
        Labels.learn([rows(*labels)], label_kind)


def test_two_classes_may_be_multiclass() -> None:
    assert Labels.learn([rows("a", "b")], "multiclass").label_kind == "multiclass"


@pytest.mark.parametrize("label_kind", ["binary", "multilabel"])
def test_an_unknown_label_is_refused_by_row(label_kind: str) -> None:
    with pytest.raises(DataError, match=r"a.csv, row 2: label 'c' is not among the 2 of training"):
        Labels(("a", "b"), label_kind).encode(rows("a", "c"), HERE)


def test_several_labels_where_one_is_expected() -> None:
    with pytest.raises(DataError, match=r"row 2: the row has 2 labels"):
        Labels(("a", "b"), "binary").encode(rows("a", ("a", "b")), HERE)


def test_rows_without_labels_can_be_neither_learned_nor_encoded() -> None:
    bare = Rows([1], ["text"])
    with pytest.raises(DataError, match="there are no labels"):
        Labels.learn([bare])
    with pytest.raises(DataError, match="there are no labels"):
        Labels(("a", "b"), "binary").encode(bare, HERE)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"task": "binary", "names": ["a"]}', '{"label_kind": "x", "names": ["a", "b"]}',
     '{"task": "binary", "names": ["a", "a"]}', '{"task": "binary", "names": [1, 2]}', "[" * 99_999],
)  # fmt: skip
def test_damaged_labels_are_refused(text: str) -> None:
    with pytest.raises(BundleError):
        Labels.from_json(text)


def test_labels_of_an_older_model_are_read() -> None:
    assert Labels.from_json('{"task": "binary", "names": ["a", "b"]}') == Labels(("a", "b"), "binary")
