"""Optimizer steps on sparse gradients: touched rows as with dense gradients, other rows unchanged."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_stand_ins import make_config
from train_stand_ins_run import run

from recurra.train.observer import Observer
from recurra.train.optimizers import clip_by_global_norm, make_optimizer
from recurra.train.touched_rows import coalesced

OPTIMIZERS = ["adam", "adamw", "rmsprop", "sgd"]
V, E = 12, 5


def sparse(rows: list[int], values: torch.Tensor) -> torch.Tensor:
    index = torch.tensor(rows, dtype=torch.int64)[None]
    return torch.sparse_coo_tensor(index, values, (V, E), check_invariants=True)


class Pair:
    """The same embedding table and bias, trained with dense gradients and with sparse ones."""

    def __init__(self, optimizer: str, *, decay: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
        self.generator = torch.Generator().manual_seed(7)
        config = make_config(optimizer=optimizer, learning_rate=0.01, momentum=0.8, weight_decay=decay)
        start = torch.randn(V, E, generator=self.generator).to(dtype)
        self.start, self.dtype = start, dtype
        self.dense, self.sparse = (torch.nn.Parameter(start.clone()) for _ in range(2))
        self.biases = [torch.nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2)]
        weights = zip((self.dense, self.sparse), self.biases, strict=True)
        self.optimizers = [make_optimizer(pair, config) for pair in weights]

    def step(self, rows: list[int]) -> torch.Tensor:
        """Makes one step of both with the same gradient in ``rows``; returns the dense gradient."""
        values = torch.randn(len(rows), E, generator=self.generator).to(self.dtype)
        self.sparse.grad = sparse(rows, values)
        self.dense.grad = self.sparse.grad.to_dense()
        for bias, optimizer in zip(self.biases, self.optimizers, strict=True):
            bias.grad = torch.full((3,), 0.5, dtype=self.dtype)
            optimizer.step()
        return self.dense.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rows_touched_in_every_step_equal_dense_steps_bit_for_bit(
    optimizer: str, decay: float, dtype: torch.dtype
) -> None:
    """The other rows of a step make no difference."""
    pair = Pair(optimizer, decay=decay, dtype=dtype)
    for other_rows in ([], [3, 9], [4], [0, 11, 5, 6], [3]):
        pair.step(sorted([1, 2, 8, *other_rows]))
    for row in (1, 2, 8):
        assert torch.equal(pair.sparse[row], pair.dense[row])
        assert not torch.equal(pair.sparse[row], pair.start[row])
    assert torch.equal(*pair.biases)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_untouched_rows_and_averages_do_not_change_while_dense_steps_move_them(optimizer: str) -> None:
    pair = Pair(optimizer, decay=0.0 if optimizer in ("adam", "sgd") else 0.1)
    pair.step([1, 2])
    before = pair.sparse.detach().clone()
    averages = {
        key: value.clone()
        for key, value in pair.optimizers[1].state[pair.sparse].items()
        if value.shape == pair.sparse.shape
    }
    assert averages
    dense_before = pair.dense.detach().clone()
    for _ in range(3):
        pair.step([2, 5])
    assert not torch.equal(pair.dense[1], dense_before[1])  # by momentum, or decay
    untouched = [row for row in range(V) if row not in (2, 5)]
    assert torch.equal(pair.sparse[untouched], before[untouched])
    for key, value in averages.items():
        now = pair.optimizers[1].state[pair.sparse][key]
        assert torch.equal(now[untouched], value[untouched])
        assert not torch.equal(now[[2, 5]], value[[2, 5]])


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_of_touched_rows_follows_its_formula(decay: float) -> None:
    """A row's averages continue from its last update; bias correction counts all steps."""
    pair = Pair("adam", decay=decay, dtype=torch.float64)
    w = pair.start.numpy().copy()
    m, v = np.zeros((V, E)), np.zeros((V, E))
    for t, rows in enumerate([[1, 4], [4], [2, 3, 7], [1, 7]], 1):
        g = pair.step(rows).numpy()[rows] + decay * w[rows]
        m[rows], v[rows] = 0.9 * m[rows] + 0.1 * g, 0.999 * v[rows] + 0.001 * g**2
        w[rows] -= 0.01 * (m[rows] / (1 - 0.9**t)) / (np.sqrt(v[rows] / (1 - 0.999**t)) + 1e-7)
    np.testing.assert_allclose(pair.sparse.detach().numpy(), w, rtol=1e-9)


@given(st.lists(st.integers(0, V - 1), max_size=9))
def test_rows_can_be_repeated_unsorted_or_empty(rows: list[int]) -> None:
    pair = Pair("rmsprop", dtype=torch.float64)  # without decay its dense steps move touched rows only
    before = pair.sparse.detach().clone()
    pair.step(rows)
    torch.testing.assert_close(pair.sparse, pair.dense, rtol=1e-12, atol=0)
    untouched = [row for row in range(V) if row not in rows]
    assert torch.equal(pair.sparse[untouched], before[untouched])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_batch_of_padding_only_moves_no_row(optimizer: str) -> None:
    """Also in the first step, in which the optimizer creates its averages."""
    pair = Pair(optimizer)
    pair.step([])
    assert torch.equal(pair.sparse, pair.start)
    pair.step([2])
    assert torch.equal(pair.sparse[2], pair.dense[2])
    assert torch.equal(*pair.biases)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_optimizer_keeps_its_weights_and_the_shapes_of_its_state(optimizer: str) -> None:
    pair = Pair(optimizer)
    for _ in range(2):
        pair.step([1, 3])
    dense_optimizer, sparse_optimizer = pair.optimizers
    assert sparse_optimizer.param_groups[0]["params"][0] is pair.sparse
    assert set(sparse_optimizer.state) == {pair.sparse, pair.biases[1]}
    shapes = [
        {number: {key: value.shape for key, value in entries.items()} for number, entries in state.items()}
        for state in (dense_optimizer.state_dict()["state"], sparse_optimizer.state_dict()["state"])
    ]
    assert shapes[0] == shapes[1]


def test_a_gradient_of_unique_sorted_rows_is_returned_unchanged() -> None:
    in_order = sparse([1, 4, 6], torch.ones(3, E))
    assert coalesced(in_order) is in_order
    for rows in ([4, 1, 6], [1, 4, 4]):
        gradient = coalesced(sparse(rows, torch.ones(3, E)))
        assert gradient.indices()[0].tolist() == sorted(set(rows))
        assert float(gradient.values().sum()) == 3 * E


@given(
    st.lists(st.integers(0, V - 1), max_size=9),
    st.floats(0.01, 30),
)
def test_clipping_sparse_gradients_equals_clipping_dense_ones(rows: list[int], max_norm: float) -> None:
    """Repeated rows count as their sum."""
    values = torch.arange(1.0, len(rows) * E + 1, dtype=torch.float64).view(len(rows), E)
    other = torch.tensor([3.0, -4.0], dtype=torch.float64)
    mixed = [sparse(rows, values), other.clone()]
    dense = [sparse(rows, values).to_dense(), other.clone()]
    assert clip_by_global_norm(mixed, max_norm) == pytest.approx(clip_by_global_norm(dense, max_norm))
    for gradient, expected in zip(mixed, dense, strict=True):
        torch.testing.assert_close(gradient.to_dense(), expected)


def test_a_sparse_norm_that_is_not_finite_is_returned() -> None:
    gradient = sparse([2], torch.tensor([[1.0, math.inf, 0, 0, 0]]))
    assert clip_by_global_norm([gradient], 1.0) == math.inf
    assert float(gradient.to_dense()[2, 0]) == 1


class Interrupter(Observer):
    """Sends SIGINT, as Ctrl-C does, after the fourth batch of the third epoch."""

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        if (epoch, batch) == (3, 4):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_classifier_with_touched_rows_interrupted_and_resumed_equals_uninterrupted(
    tmp_path: Path, optimizer: str
) -> None:
    settings = {"rows": "touched", "optimizer": optimizer, "momentum": 0.9, "weight_decay": 0.01}
    _, interrupted = run(tmp_path, False, Interrupter(), **settings)
    assert interrupted.stopped == "interrupted"
    resumed, _ = run(tmp_path, True, **settings)
    whole, _ = run(None, False, **settings)
    for (name, weight), (_, other) in zip(
        whole.state_dict().items(), resumed.state_dict().items(), strict=True
    ):
        assert torch.equal(weight, other), name
    assert not whole.embedding.weight[0].any()
    dense, _ = run(None, False, **{**settings, "rows": "all"})
    assert not torch.equal(dense.embedding.weight, whole.embedding.weight)
    assert not dense.embedding.weight[0].any()


def test_sgd_without_momentum_is_equal_with_touched_and_all_rows() -> None:
    """SGD has no state; only the rounding of the norm used for clipping differs."""
    settings = {"optimizer": "sgd", "learning_rate": 0.5}
    touched, _ = run(None, False, rows="touched", **settings)
    dense, _ = run(None, False, rows="all", **settings)
    for weight, other in zip(touched.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6)
