"""Streams of texts: every token is predicted once, and rows continue from batch to batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recurra.io.examples import Examples
from recurra.tasks.language.streams import Streams, TextStreams, TokenStream

texts = st.lists(
    st.lists(st.integers(2, 90), max_size=12).map(lambda ids: [1, *ids]), min_size=1, max_size=15
)


def stream_of(found: list[list[int]], rows: list[int] | None = None) -> TokenStream:
    examples = Examples.from_arrays([np.array(ids) for ids in found])
    return TokenStream(examples, None if rows is None else np.array(rows, np.int64))


def joined(found: list[list[int]]) -> list[int]:
    return [id for ids in found for id in ids] + [1]


@given(texts, st.data())
def test_any_range_of_a_stream_is_that_of_the_concatenated_texts(
    found: list[list[int]], data: st.DataObject
) -> None:
    rows = sorted(data.draw(st.sets(st.integers(0, len(found) - 1))))
    stream = stream_of(found, rows)
    whole = joined([found[row] for row in rows])
    assert len(stream) == len(whole)
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    assert stream.read(begin, end).tolist() == whole[begin:end]
    assert stream.counts(100).tolist() == np.bincount(whole[1:], minlength=100).tolist()


@pytest.mark.parametrize(("begin", "end"), [(-1, 2), (3, 2), (0, 99)])
def test_a_range_outside_the_stream_is_an_error(begin: int, end: int) -> None:
    with pytest.raises(IndexError):
        stream_of([[1, 2]]).read(begin, end)


@given(texts, st.integers(1, 6), st.integers(1, 9))
def test_each_token_is_predicted_once_except_for_the_remainder(
    found: list[list[int]], batch_size: int, bptt: int
) -> None:
    stream = stream_of(found)
    batches = Streams(stream, batch_size, bptt)
    windows = list(batches.epoch(1))
    assert len(windows) == len(batches)
    assert [window.fresh for window in windows] == [True] + [False] * (len(windows) - 1)
    targets = torch.cat([window.targets for window in windows], dim=1)
    tokens = torch.cat([window.tokens for window in windows], dim=1)
    predicted = targets.flatten().tolist()
    assert predicted == joined(found)[1 : 1 + len(predicted)]
    assert stream.targets - len(predicted) < batches.batch_size
    assert torch.equal(tokens[:, 1:], targets[:, :-1])  # a row goes on where it stopped
    assert sum(window.size for window in windows) == len(predicted)
    assert {window.tokens.shape[1] for window in windows[:-1]} <= {bptt}


def test_an_epoch_can_start_at_any_window_and_all_epochs_are_equal() -> None:
    batches = Streams(stream_of([[1, *range(2, 60)]]), 3, 4)
    whole = list(batches.epoch(1))
    for start in range(len(whole) + 1):
        rest = list(batches.epoch(2, start))
        assert [b.tokens.tolist() for b in rest] == [b.tokens.tolist() for b in whole[start:]]
        assert [b.fresh for b in rest] == [b.fresh for b in whole[start:]]


def test_a_short_stream_has_fewer_rows() -> None:
    assert Streams(stream_of([[1, 2, 3]]), 64, 35).batch_size == 1
    assert [b.targets.tolist() for b in Streams(stream_of([[1]]), 64, 35).epoch(1)] == [[[1]]]


@given(texts, st.integers(1, 9), st.integers(1, 7))
def test_evaluation_predicts_every_token_in_rows_that_start_with_a_text(
    found: list[list[int]], streams: int, bptt: int
) -> None:
    stream = stream_of(found)
    batches = TextStreams(stream, streams, bptt)
    windows = list(batches.epoch(0))
    assert (windows[0].tokens[:, 0] == 1).all()
    assert windows[0].fresh
    assert len(windows[0].tokens) <= streams
    values: list[NDArray[np.int64]] = []
    for window in windows:
        T = window.targets.shape[1]
        inside = torch.arange(T) < (
            torch.full((len(window.tokens),), T) if window.lengths is None else window.lengths
        ).unsqueeze(1)
        assert (window.tokens[~inside] == 0).all()
        assert (window.tokens[inside] > 0).all()
        assert window.size == int(inside.sum())
        values.append(window.targets.numpy())
    assert batches.gather(values).tolist() == joined(found)[1:]


@pytest.mark.parametrize("make", [Streams, TextStreams])
def test_sizes_below_one_are_errors(make: type[Streams] | type[TextStreams]) -> None:
    for sizes in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="1 or more"):
            make(stream_of([[1, 2]]), *sizes)
