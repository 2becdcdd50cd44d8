"""The precision of torch's products: its settings for a GPU can be read and set without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from recurra.precision import float32_products
from recurra.runtime import isolated_training

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def settings() -> tuple[Any, ...]:
    """Whether products of float32, and cuDNN's recurrent layers, may use TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return tuple(place.fp32_precision == "tf32" for place in (matmul, cudnn.rnn))
    return matmul.allow_tf32, cudnn.allow_tf32


@pytest.fixture(params=["highest", "high"])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[Any, ...]]:
    """The user's settings; torch's defaults are the first."""
    former = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield settings()
    torch.set_float32_matmul_precision(former)


def test_by_default_cudnn_may_use_tf32() -> None:
    """The reason for setting it; if this fails, torch's defaults have changed."""
    assert settings() == (False, True)


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_set_for_a_gpu_and_restored(tf32: bool, before: tuple[Any, ...]) -> None:
    with float32_products(GPU, tf32=tf32):
        assert settings() == (tf32, tf32)
        with float32_products(GPU):
            assert settings() == (False, False)
        assert settings() == (tf32, tf32)
    assert settings() == before
    with pytest.raises(KeyError), float32_products(GPU, tf32=tf32):
        raise KeyError
    assert settings() == before


def test_on_the_cpu_nothing_is_set(before: tuple[Any, ...]) -> None:
    with float32_products(CPU, tf32=True), isolated_training(CPU, "bfloat16"):
        assert settings() == before


def test_training_in_float32_has_no_tf32(before: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch, "autocast", lambda *_, **__: torch.enable_grad()
    )  # there is none without a GPU
    with isolated_training(GPU):
        assert settings() == (False, False)
    with isolated_training(GPU, "bfloat16"):
        assert settings() == (True, True)
    assert settings() == before
