"""Texts, groups and weights given from Python in every form that users have them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recurra.errors import DataError
from recurra.tasks.inputs import groups_of, pair_of, texts_of, weights_of

TEXTS = ["good film", "", "bad plot"]


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts, dtype=object)[:, None],
        lambda texts: np.ma.array(np.array(texts, dtype=object)),
        pd.Series,
        lambda texts: pd.Series(texts, dtype="string", index=[7, 3, 5]),
        pd.Categorical,
        lambda texts: pd.DataFrame({"review": texts}),
        lambda texts: pd.DataFrame({0: texts}),
        pl.Series,
        lambda texts: pl.DataFrame({"review": texts}),
        lambda texts: pa.table({"review": texts}),
        lambda texts: pa.chunked_array([texts]),
    ],
)
def test_texts_are_read_from_every_form(form: Callable[[Any], Any]) -> None:
    texts, columns = texts_of(form(TEXTS))
    assert texts == TEXTS
    assert all(type(text) is str for text in texts)
    assert columns in (None, ["review"], ["0"])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_the_text_columns_of_a_data_frame_are_joined(frame: Callable[[Any], Any]) -> None:
    data = {"title": ["a", "c", None], "body": ["b", "", "e"], "stars": [1, 2, 3]}
    assert texts_of(frame(data), ["title", "body"]) == (["a b", "c ", " e"], ["title", "body"])
    assert texts_of(frame(data), ["body", "title"])[0][0] == "b a"
    del data["stars"]
    assert texts_of(frame(data)) == (["a b", "c ", " e"], ["title", "body"])
    # A frame of one column is read whatever its name is.
    assert texts_of(frame({"other": ["x"]}), ["review"]) == (["x"], ["other"])


def endless() -> Any:
    yield from TEXTS


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("one text", "X: one string was given for a list; give a list of strings"),
        (
            endless(),
            "X: a generator was given for a list; its rows are needed more than once: ",
        ),
        (map(str, TEXTS), "X: a map was given for a list; "),
        (None, "X: None was given for a list; "),
        ({"a": 1}, "X: a value of type dict was given for a list; "),
        ({"a", "b"}, "X: a value of type set was given for a list; "),
        (5, "X: a value of type int was given for a list; "),
        (np.array("a"), "X: an array of shape () was given"),
        (
            np.array([["a", "b"]]),
            "X: an array of shape (1, 2) was given for one value a row; ",
        ),
        (["a", None], "X, row 2: the text is missing; leave the row out, or give an empty string"),
        (["a", float("nan")], "X, row 2: the text is missing; "),
        (pd.Series(["a", pd.NA], dtype="string"), "X, row 2: the text is missing; "),
        (pl.Series(["a", None]), "X, row 2: the text is missing; "),
        (np.ma.array(["a", "b"], mask=[True, False]), "X, row 1: the text is missing; "),
        (pd.DataFrame({"t": ["a", None]}), "X, column 't', row 2: the text is missing; "),
        (
            pd.DataFrame({"a": ["x", None], "b": ["y", None]}),
            "X, row 2: the text is missing in every ",
        ),
        (["a", b"b"], "X, row 2: the text is of type bytes, not str; decode it to str"),
        (["a", 5], "X, row 2: the text is of type int, not str; "),
        ([["a", "b"]], "X, row 1: the text is of type list, not str; "),
        (pd.DataFrame({"t": ["a", ["b"]]}), "X, column 't', row 2: the text is of type list, not str; "),
        (["a", "\ud800"], "X, row 2: the text has half of a surrogate pair, which is no character; "),
        (
            pd.DataFrame({"title": ["a"], "stars": [3]}),
            "X: the column 'stars' holds values of type int, not texts; choose the text columns: X[['",
        ),
        (pd.DataFrame([["a", "b"]], columns=["t", "t"]), "X: the data frame has several columns named 't'; "),
        (
            pd.DataFrame([["a"]], columns=pd.Index(["\ud800"], dtype=object)),
            "X: the name of a column has half of a surrogate pair, ",
        ),
        (pd.DataFrame(index=[0, 1]), "X: the data frame has no column"),
        (pl.LazyFrame({"t": ["a"]}), "X: a value of type LazyFrame was given for a list; "),
    ],
)
def test_other_texts_are_refused_by_argument_and_row(X: Any, message: str) -> None:
    with pytest.raises(DataError) as refused:
        texts_of(X)
    assert str(refused.value).startswith(message)


def test_a_missing_column_is_named_with_its_neighbour() -> None:
    frame = pd.DataFrame({"titel": ["a"], "body": ["b"]})
    with pytest.raises(DataError, match=r"^X: the data frame has no column 'title'; it has titel$"):
        texts_of(frame, ["title", "body"])


def test_groups_are_numbered_alike_in_every_form() -> None:
    values = ["b", "a", "b", "c"]
    for groups in (values, np.array(values), np.array(values)[:, None], pd.Series(values), pl.Series(values)):
        found = groups_of(groups, 4)
        assert found is not None
        assert found.tolist() == [1, 0, 1, 2]
    assert groups_of(None, 4) is None


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a"] * 3, "4 texts have 3 groups"),
        (["a"] * 60, "4 texts have 60 groups"),
        (["a", None, "c", "d"], "groups, row 2: the group is missing; "),
        ([1.0, 2.0, float("nan"), 2.0], "groups, row 3: the group is missing; "),
        (pd.Series([1, 2, None, 2], dtype="Int64"), "groups, row 3: the group is missing; "),
        ([["a", "b"]] * 4, "groups, row 1: the group is not one value"),
        (iter("abcd"), "groups: a str_ascii_iterator was given for a list; "),
    ],
)
def test_unusable_groups_are_refused(groups: Any, message: str) -> None:
    with pytest.raises(DataError) as refused:
        groups_of(groups, 4)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], "3 texts have 2 weights"),
        ([1.0, -1.0, 1.0], "sample_weight, row 2: the weight is -1.0; give a number of 0 or more"),
        ([1.0, 1.0, np.inf], "sample_weight, row 3: the weight is inf; "),
        ([None, 1.0, 1.0], "sample_weight, row 1: the weight is None; "),
        (["much", 1.0, 1.0], "sample_weight, row 1: the weight is 'much'; "),
        ([0.0, 0.0, 0.0], "sample_weight: all weights are 0; "),
    ],
)
def test_unusable_weights_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(DataError) as refused:
        weights_of(weights, 3)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("given", [None, (), ("X", "y", "z"), 5, "Xy"])
def test_validation_data_is_a_pair(given: Any) -> None:
    with pytest.raises(DataError, match=r"^validation_data: .*; give validation_data=\(X, y\)$"):
        pair_of(given)
