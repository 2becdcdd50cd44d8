"""Windows compared with plain slices: each once per epoch, reproducible by seed, from any batch on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.tasks.forecasting.windows import Windows

ROWS, FEATURES = 57, 3


def make(
    size: int = 4, points: int = 5, step: int = 2, delay: int = 3, horizon: int = 2, shuffle: bool = True
) -> Windows:
    random = np.random.default_rng(5)
    x = random.standard_normal((ROWS, FEATURES)).astype(np.float32)
    y = random.standard_normal(ROWS).astype(np.float32)
    behind, ahead = np.arange(-(points - 1) * step, 1, step), delay + step * np.arange(horizon)
    rows = np.arange((points - 1) * step, ROWS - ahead[-1])
    return Windows(x, y, y * 10, rows, behind, ahead, size, shuffle=shuffle, seed=7)


@settings(max_examples=25)
@given(
    st.integers(1, 60),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 3),
    st.booleans(),
)
def test_every_window_occurs_once_and_equals_the_slice(
    size: int, points: int, step: int, delay: int, horizon: int, shuffle: bool
) -> None:
    windows = make(size, points, step, delay, horizon, shuffle)
    batches = list(windows.epoch(2))
    assert len(batches) == len(windows)
    assert sum(batch.size for batch in batches) == len(windows.rows)
    expected = {}
    for t in windows.rows.tolist():
        past = windows.inputs[t - (points - 1) * step : t + 1 : step]
        future = windows.targets[t + delay : t + delay + (horizon - 1) * step + 1 : step]
        expected[past.tobytes()] = (future.tobytes(), windows.last[t])
    seen = [
        (x.numpy().tobytes(), y.numpy().tobytes(), last.item())
        for batch in batches
        for x, y, last in zip(batch.inputs, batch.targets, batch.last, strict=True)
    ]
    assert sorted(seen) == sorted((past, *rest) for past, rest in expected.items())
    if not shuffle:
        assert [last for *_, last in seen] == windows.last[windows.rows].tolist()


def test_the_order_depends_on_seed_and_epoch_and_can_start_anywhere() -> None:
    windows = make()
    whole = list(make().epoch(3))
    for start in range(len(windows) + 1):
        rest = list(windows.epoch(3, start))
        assert len(rest) == len(whole) - start
        for batch, expected in zip(rest, whole[start:], strict=True):
            assert torch.equal(batch.inputs, expected.inputs)
            assert torch.equal(batch.targets, expected.targets)
    assert not torch.equal(next(windows.epoch(4)).inputs, whole[0].inputs)
    assert (whole[0].size, whole[0].steps) == (4, 20)


def test_targets_after_the_end_are_nan() -> None:
    x = np.arange(6, dtype=np.float32)
    windows = Windows(x[:, None], x, x, np.array([5]), np.array([-1, 0]), np.array([0, 1]), 1)
    np.testing.assert_array_equal(windows.truth(), [[5.0, np.nan]])


def test_windows_relative_to_their_newest_row() -> None:
    plain = make(shuffle=False)
    windows = Windows(
        plain.inputs, plain.targets, plain.last, plain.rows, plain.behind[::-1], plain.ahead, 4, relative=2
    )
    for batch, expected in zip(windows.epoch(1), plain.epoch(1), strict=True):
        backwards = expected.inputs.flip(1)
        torch.testing.assert_close(batch.inputs[:, :, :2], backwards[:, :, :2] - backwards[:, :1, :2])
        assert torch.equal(batch.inputs[:, :, 2], backwards[:, :, 2])
        assert torch.equal(batch.present, expected.inputs[:, -1])


def test_windows_outside_the_series_are_errors() -> None:
    x = np.zeros(9, np.float32)
    for rows, behind, size in (([1], [-2, 0], 1), ([9], [0], 1), ([3], [0], 0)):
        with pytest.raises(ValueError):
            Windows(x[:, None], x, x, np.array(rows), np.array(behind), np.array([1]), size)
    with pytest.raises(ValueError):
        make().epoch(1, -1)
