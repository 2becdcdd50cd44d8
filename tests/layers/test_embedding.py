"""The embedding's initial values, its padding row, and its rows looked up in place or copied."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import ConfigError
from recurra.layers import Embedding
from recurra.layers.embedding import TOUCHED_FROM

ROWS = ["all", "touched"]


def made(V: int, E: int, rows: Any) -> Embedding:
    torch.manual_seed(0)
    return Embedding(V, E, rows=rows).double()


def test_values_begin_uniform_and_padding_at_zero() -> None:
    torch.manual_seed(0)
    weight = Embedding(1000, 8).weight.detach()
    assert not weight[0].any()
    assert float(weight.abs().max()) <= 0.05
    assert float(weight[1:].std()) == pytest.approx(0.05 / 3**0.5, rel=0.03)


def test_padding_is_never_trained() -> None:
    table = Embedding(5, 3)
    table(torch.tensor([[1, 2, 0, 0]])).sum().backward()
    assert table.weight.grad.sum(1).tolist() == [0, 3, 3, 0, 0]


@pytest.mark.parametrize("rows", ROWS)
@given(tokens=st.lists(st.lists(st.integers(0, 11), min_size=4, max_size=4), min_size=1, max_size=5))
def test_a_lookup_has_the_vectors_and_the_gradient_of_the_embedding(
    rows: str, tokens: list[list[int]]
) -> None:
    """Padding inside a text too: its row gets no gradient."""
    ids = torch.tensor(tokens)
    table, plain = made(12, 3, rows), made(12, 3, "all")
    lookup, vectors = table.lookup(ids), plain(ids)
    assert lookup.shape == vectors.shape
    assert torch.equal(lookup.dense(), vectors)
    upstream = torch.randn(vectors.shape, dtype=torch.float64)
    (lookup.dense() * upstream).sum().backward()
    (vectors * upstream).sum().backward()
    gradient = table.weight.grad
    assert gradient.is_sparse == (rows == "touched")
    torch.testing.assert_close(gradient.to_dense(), plain.weight.grad, rtol=0, atol=1e-15)
    assert not gradient.to_dense()[0].any()


def test_touched_rows_are_those_of_the_batch_without_padding() -> None:
    table = made(1000, 3, "touched")
    lookup = table.lookup(torch.tensor([[700, 5, 0], [5, 999, 5]]))
    assert torch.equal(lookup.table, table.weight[[0, 5, 700, 999]])
    (gradient,) = torch.autograd.grad(lookup.dense().sum(), table.weight)
    assert gradient.is_coalesced()
    assert gradient.indices().tolist() == [[5, 700, 999]]
    assert gradient.values().tolist() == [[3.0] * 3, [1.0] * 3, [1.0] * 3]


def test_gradients_of_several_lookups_add_up() -> None:
    """As in accumulating batches, and where the plain call of the layer is used beside."""
    table = made(20, 2, "touched")
    for ids in ([[1, 2]], [[2, 3]]):
        table.lookup(torch.tensor(ids)).dense().sum().backward()
    table(torch.tensor([[3, 9, 0]])).sum().backward()
    assert table.weight.grad.to_dense().sum(1).nonzero().squeeze(1).tolist() == [1, 2, 3, 9]
    assert table.weight.grad.to_dense()[:, 0].tolist()[1:4] == [1, 2, 2]


def test_the_weight_itself_is_read_where_it_can_be() -> None:
    """Without gradients a copy of rows would be for nothing."""
    ids = torch.tensor([[1, 2]])
    for rows in ROWS:
        table = made(20, 2, rows)
        with torch.no_grad():
            assert table.lookup(ids).table is table.weight
        assert (table.lookup(ids).table.data_ptr() == table.weight.data_ptr()) == (rows == "all")
        table.weight.requires_grad_(False)
        assert table.lookup(ids).table is table.weight


def test_gradients_of_gradients_leave_padding_out() -> None:
    table = made(4, 2, "all")
    values = table.lookup(torch.tensor([[0, 1]])).dense()
    (gradient,) = torch.autograd.grad(values.sin().sum(), table.weight, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), table.weight)
    assert not second[0].any()
    torch.testing.assert_close(second[1], -table.weight[1].sin())


def test_large_tables_are_touched_by_themselves() -> None:
    assert Embedding(TOUCHED_FROM // 8, 8, rows="auto").sparse
    assert not Embedding(TOUCHED_FROM // 8 - 1, 8, rows="auto").sparse
    assert not Embedding(TOUCHED_FROM // 8, 8).sparse
    assert Embedding(4, 2, rows="touched").sparse
    with pytest.raises(ConfigError, match="there is no rows 'sparse'; use auto, all, touched"):
        Embedding(4, 2, rows="sparse")  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", ROWS)
def test_a_table_of_given_vectors(rows: str) -> None:
    vectors = torch.randn(5, 3, dtype=torch.float64)
    table = Embedding.from_pretrained(vectors, freeze=False, rows=rows)
    assert torch.equal(table.weight[1:], vectors[1:])
    assert not table.weight[0].any()
    assert table.weight.data_ptr() != vectors.data_ptr()
    table.lookup(torch.tensor([[0, 4]])).dense().sum().backward()
    assert table.weight.grad.to_dense().sum(1).tolist() == [0, 0, 0, 0, 3]
    assert not Embedding.from_pretrained(vectors).weight.requires_grad
    with pytest.raises(ValueError, match=r"embeddings are \(3,\), not \(V, E\)"):
        Embedding.from_pretrained(vectors[0])


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("wrong", [-1, 12])
def test_an_id_outside_the_table_is_refused(rows: str, wrong: int) -> None:
    with pytest.raises(IndexError):
        made(12, 3, rows).lookup(torch.tensor([[1, wrong]])).dense()
