"""A wrong call of a layer is answered with what to do instead."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra.layers import GRU, LSTM, Embedding, Recurrent
from recurra.layers.inputs import pack_as

X = torch.zeros(4, 5, 2)


TOKENS = "pass token ids through recurra.Embedding(V, 2) first, and other integers as x.float()"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(5, 2), "x is (5, 2), not (B, T, 2); give a single sequence as a batch of one, x[None]"),
        (torch.zeros(4, 2, 5), "(B, T, 2); if the features come before time, give x.transpose(1, 2)"),
        (torch.zeros(4, 5, 3), "x is (4, 5, 3), not (B, T, 2); make the layer with input_size=3"),
        (torch.zeros(1, 4, 5, 2), "(B, T, 2); the batch comes first, then time, then features"),
        (torch.zeros(4, 0, 2), "x is (4, 0, 2) and has no steps; give sequences of 1 step or more"),
        (torch.ones(4, 5, dtype=torch.int64), f"x is (4, 5) of int64, not (B, T, 2); {TOKENS}"),
        (torch.ones(4, 5, 2, dtype=torch.int32), f"x is (4, 5, 2) of int32, not (B, T, 2); {TOKENS}"),
        (
            X.double(),
            "x is float64, the parameters are float32; convert one of them, such as x.to(torch.float32)",
        ),
        (X.numpy(), "x is a ndarray, not a tensor; give torch.tensor(x)"),
    ],
)
def test_a_wrong_input_is_answered(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(message)}$"):
        LSTM(2, 3)(x)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (
            [5, 4, 3, 2],
            "lengths is a list, not a tensor; give torch.tensor(lengths), and an initial state by name",
        ),
        ((torch.zeros(1, 4, 3),) * 2, "lengths is a tuple, not a tensor; "),
        (torch.zeros(1, 4, 3), "lengths has three dimensions; give an initial state by name, state=..."),
        (torch.ones(4), "lengths is float32, not integer; give lengths.long()"),
        (torch.ones(4, 5, dtype=torch.bool), "lengths is bool; give a mask by name, mask=..."),
        (torch.ones(5, dtype=torch.int64), "is (5,), not (4,); if x is (T, B, E), give x.transpose(0, 1)"),
        (torch.ones(3, dtype=torch.int64), "lengths is (3,), not (4,); give one length a row"),
        (torch.tensor([5, 6, 1, 1]), "lengths run from 1 to 6, the input has 5 steps"),
    ],
)
def test_wrong_lengths_are_answered(lengths: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LSTM(2, 3)(X, lengths)


def test_a_wrong_mask_is_answered() -> None:
    layer, mask = LSTM(2, 3), torch.ones(4, 5, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"mask is float32, not bool; give mask.bool\(\), True for the real steps"
    ):
        layer(X, mask=mask.float())
    with pytest.raises(
        ValueError, match=r"mask is \(5, 4\), not \(4, 5\); give one value a step, batch first"
    ):
        layer(X, mask=mask.T)
    with pytest.raises(ValueError, match=r"mask is a ndarray, not a tensor; give torch.tensor\(mask\)"):
        layer(X, mask=mask.numpy())
    with pytest.raises(ValueError, match="lengths and mask are both given; give one of them"):
        layer(X, torch.ones(4, dtype=torch.int64), mask=mask)


@pytest.mark.parametrize("row", [[False, True, True], [True, False, True]])
def test_padding_that_is_not_at_the_end_is_refused(row: list[bool]) -> None:
    mask = torch.tensor([[True] * 3, row])
    with pytest.raises(
        ValueError, match=r"False before True in row 1; only the end.*invert a mask"
    ) as caught:
        GRU(2, 3)(torch.zeros(2, 3, 2), mask=mask)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "state", "message"),
    [
        (LSTM, torch.zeros(1, 4, 3), "give (h_0, c_0), each of (layers * directions, B, H)"),
        (GRU, torch.zeros(4, 1, 3), "[(1, 4, 3)]; here the batch comes second: give state.transpose(0, 1)"),
        (
            GRU,
            (torch.zeros(4, 3),),
            "[(4, 3)], not [(1, 4, 3)]; give h_0, each of (layers * directions, B, H)",
        ),
        (GRU, ((torch.zeros(3, 3),),), "state has [[(3, 3)]], not [[(4, 3)]]"),
        (LSTM, ((torch.zeros(4, 3),),), "state has [[(4, 3)]], not [[(4, 3), (4, 3)]]"),
        (
            LSTM,
            (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3, dtype=torch.float64)),
            "c is float64, the parameters are float32; convert one of them, such as c.to(torch.float32)",
        ),
        (GRU, ((torch.zeros(4, 3, device="meta"),),), 'move one of them, such as h.to("cpu")'),
    ],
)
def test_a_wrong_state_is_answered(kind: Any, state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(message)}$"):
        kind(2, 3)(X, state=state)


def test_a_wrong_packed_sequence_is_answered() -> None:
    packed = pack_padded_sequence(X, torch.tensor([5, 4, 3, 2]), batch_first=True)
    with pytest.raises(ValueError, match="a PackedSequence has its own lengths; leave out lengths and mask"):
        LSTM(2, 3)(packed, torch.tensor([5, 4, 3, 2]))
    with pytest.raises(
        ValueError, match=r"x is \(14, 2\), not \(steps, 3\); make the layer with input_size=2"
    ):
        LSTM(3, 3)(packed)
    tokens = pack_padded_sequence(
        torch.ones(4, 5, dtype=torch.int64), torch.tensor([5, 4, 3, 2]), batch_first=True
    )
    with pytest.raises(ValueError, match=r"x is \(14,\) of int64, not \(steps, 3\); pass token ids through"):
        LSTM(3, 3)(tokens)


def test_another_device_is_answered() -> None:
    with pytest.raises(ValueError, match=r'x is on cpu, the parameters are on meta; .*x.to\("meta"\)$'):
        LSTM(2, 3, device="meta")(X)
    with pytest.raises(ValueError, match="x is float64, the parameters are float32"):
        LSTM(2, 3, device="meta")(X.double().to("meta"))


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_shapes_are_computed_on_the_meta_device(backend: str) -> None:
    layer, x = LSTM(2, 3, bidirectional=True, backend=backend, device="meta"), X.to("meta")
    lengths = torch.tensor([5, 4, 0, 2], device="meta")
    mask = torch.ones(4, 5, dtype=torch.bool, device="meta")
    for outputs, states in (layer(x), layer(x, lengths), layer(x, mask=mask)):
        assert (outputs.shape, states[1][1].shape) == ((4, 5, 6), (4, 3))


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_a_state_may_be_lists(kind: Any) -> None:
    layer = kind(2, 3)
    _, states = layer(X)
    again = [list(state) for state in states]
    assert torch.equal(layer(X, state=again)[0], layer(X, state=states)[0])


def test_under_autocast_dtypes_may_differ() -> None:
    layer = LSTM(2, 3, backend="torch")
    with torch.autocast("cpu", torch.bfloat16):
        outputs, states = layer(X.bfloat16())
        assert layer(X, state=states)[0].shape == outputs.shape == (4, 5, 3)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru", "min_gru"])
def test_the_reference_computes_in_the_dtype_of_the_weights_under_autocast(cell: str) -> None:
    layer = Recurrent(2, 3, cell=cell, backend="reference", bidirectional=True)
    x, lengths = torch.randn(4, 5, 2).bfloat16(), torch.tensor([5, 2, 3, 1])
    expected, _ = layer(x.float(), lengths)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = layer(x, lengths)
        assert torch.equal(layer(x.float(), lengths)[0], expected)
    assert torch.equal(outputs, expected)
    outputs.sum().backward()
    assert all(weight.grad is not None for weight in layer.parameters())


@pytest.mark.parametrize("wrong", [torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)])
@pytest.mark.parametrize("way", ["forward", "lookup"])
def test_tokens_of_a_wrong_dtype_are_answered(way: str, wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"tokens are (float32|bool), not integers; give tokens.long\(\)"):
        getattr(Embedding(5, 2), way)(wrong)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_tokens_of_other_integer_types_are_read(dtype: torch.dtype) -> None:
    table, tokens = Embedding(5, 2), torch.tensor([[1, 4], [2, 0]])
    layer = GRU(2, 3)
    assert torch.equal(layer(table.lookup(tokens.to(dtype)))[0], layer(table.lookup(tokens))[0])
    assert torch.equal(table(tokens.to(dtype)), table(tokens))


def test_packing_uses_the_order_of_the_input() -> None:
    """Ties too, whose order a new sort could change."""
    rows = torch.arange(12.0).view(4, 3, 1)
    packed = pack_padded_sequence(rows, torch.tensor([2, 3, 2, 2]), batch_first=True, enforce_sorted=False)
    padded, _ = pad_packed_sequence(packed, batch_first=True)
    again = pack_as(padded, packed)
    assert torch.equal(again.data, packed.data)
    assert torch.equal(again.sorted_indices, packed.sorted_indices)
