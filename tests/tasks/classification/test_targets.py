"""Labels given from Python in every form, compared with scikit-learn's encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import DataConversionWarning
from sklearn.preprocessing import LabelEncoder, MultiLabelBinarizer

from recurra.errors import DataError
from recurra.tasks.classification.targets import Targets


@pytest.mark.parametrize(
    "y",
    [
        [3, -1, 3, 2],
        (True, False, True),
        ["b", "a", "ä", "b"],
        [0.5, 2.0, 0.5],
        np.array([3, 1, 2], np.int8),
        np.array(["x", "y"], dtype=object),
        pd.Series([1, 0, 1], dtype="Int64", index=[5, 6, 7]),
        pd.Series(["u", "v"], dtype="category"),
        pl.Series(["u", "v"]),
    ],
)
def test_classes_are_those_of_scikit_learn(y: Any) -> None:
    encoder = LabelEncoder().fit(np.asarray(y))
    targets = Targets.learn(y)
    assert targets.classes.tolist() == encoder.classes_.tolist()
    assert targets.encode(y).tolist() == encoder.transform(np.asarray(y)).tolist()
    assert targets.kind == ("binary" if len(encoder.classes_) == 2 else "multiclass")
    if isinstance(y, np.ndarray) and y.dtype != object:
        assert targets.classes.dtype == y.dtype


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize(
    "column",
    [
        np.array([1, 0, 1])[:, None],
        [[1], [0], [1]],
        pd.DataFrame({"y": [1, 0, 1]}),
        pl.DataFrame({"y": [1, 0, 1]}),
    ],
)
def test_a_column_is_read_as_one_label_a_row(column: Any) -> None:
    targets = Targets.learn(column)
    assert (targets.classes.tolist(), targets.kind) == ([0, 1], "binary")
    assert targets.encode(column).tolist() == [1, 0, 1]


def test_an_array_of_one_column_is_warned_about() -> None:
    with pytest.warns(DataConversionWarning, match=r"shape \(3, 1\) and is read as a column"):
        Targets.learn(np.array([[1], [0], [1]]))


@pytest.mark.parametrize(
    "rows",
    [
        [["b", "a"], [], ["a", "a"], ["c"]],
        [("b", "a"), ("c",)],
        [{"b", "a"}, {"c"}],
        [[3, 1], [2]],
        pd.Series([["b", "a"], ["c"]]),
        pl.Series([["b", "a"], ["c"]]),
    ],
)
def test_lists_of_labels_are_those_of_multilabelbinarizer(rows: Any) -> None:
    encoder = MultiLabelBinarizer()
    expected = encoder.fit_transform(list(rows))
    targets = Targets.learn(rows)
    assert (targets.classes.tolist(), targets.kind) == (encoder.classes_.tolist(), "multilabel")
    assert targets.encode(rows).tolist() == expected.tolist()
    for row, codes in zip(rows, expected.tolist(), strict=True):  # a single row may look like a column
        assert targets.encode([list(row)]).tolist() == [codes]


@pytest.mark.parametrize("form", [np.array, list, np.float64, lambda y: np.array(y, bool)])
def test_zeros_and_ones_are_several_labels(form: Any) -> None:
    y = [[1, 0, 1], [0, 0, 0]]
    targets = Targets.learn(form(y))
    assert (targets.classes.tolist(), targets.kind) == ([0, 1, 2], "multilabel")
    assert targets.encode(form(y)).tolist() == y


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_columns_of_a_data_frame_name_the_labels(frame: Any) -> None:
    y = frame({"sport": [1, 0], "news": [1, 1]})
    targets = Targets.learn(y)
    assert (targets.classes.tolist(), targets.labels.names) == (["sport", "news"], ("sport", "news"))
    assert targets.encode(y).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", None] * 20, "y, row 2: the label is missing; leave the row out"),
        ([1.0, float("nan")], "y, row 2: the label is missing; "),
        ([pd.NA, 1], "y, row 1: the label is missing; "),
        (pd.Series([1, 0, None], dtype="Int64"), "y, row 3: the label is missing; "),
        (pl.Series([1, None]), "y, row 2: the label is missing; "),
        ([["a"], ["b", None]], "y, row 2: the label is missing; "),
        (
            np.array([[1, 2], [0, 1]]),
            "y, row 1: a label is 2 where several columns hold zeros and ones alone; ",
        ),
        (
            np.array([[1, 0], [0, np.nan]]),
            "y, row 2: a label is missing where several columns ",
        ),
        (pd.DataFrame({"a": [1, 0], "b": ["x", "y"]}), "y, row 1: a label is 'x' where several columns "),
        (["a", "\ud800"], "y, row 2: the label has half of a surrogate pair, which is no character; "),
        (["a", 1], "y: the labels are of several types (int, str); give labels of one type"),
        ([pd.Timestamp(0), pd.Timestamp(1)], "y, row 1: the label is of type Timestamp; "),
        ([b"a", b"b"], "y, row 1: the label is of type bytes; "),
        (np.zeros((2, 2, 2)), "y: labels have 3 dimensions; "),
        ([[["a"]]], "y: labels have three dimensions or more; "),
        (["a", "a"], "y: all labels are the same class; "),
        ([], "y: all labels are the same class; "),
        ([n + 0.5 for n in range(40)], "y: 40 different values in 40 rows are no labels; "),
        ((label for label in "ab"), "y: a generator was given for a list; "),
        ("ab", "y: one string was given for a list; "),
    ],
)
def test_other_labels_are_refused_by_row(y: Any, message: str) -> None:
    with pytest.raises(DataError) as refused:
        Targets.learn(y)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("learned", "y", "message"),
    [
        ([1, 2], [1, 3], "validation_data, row 2: label '3' is not among the training labels; they are 1, 2"),
        ([1, 2], ["1"], "validation_data, row 1: label '1' is not among the training labels; "),
        ([1, 2], [[1, 0]], "validation_data: rows have several labels; give one class for each row"),
        ([["a", "b"], ["a"]], ["a"], "validation_data, row 1: the row has no list of labels; "),
        ([["a", "b"], ["a"]], [["c", "a"]], "validation_data, row 1: label 'c' is not among "),
        (np.eye(3), np.eye(2), "validation_data: labels have 2 columns, those of training 3"),
    ],
)
def test_labels_unlike_those_of_training_are_refused(learned: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError) as refused:
        Targets.learn(learned).encode(y, "validation_data")
    assert str(refused.value).startswith(message)
