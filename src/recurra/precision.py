"""The precision in which torch computes matrix products: TF32 on a GPU, and ``torch.autocast``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

__all__ = ["autocast_dtype", "float32_products", "without_autocast"]


@contextmanager
def float32_products(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """Context in which a GPU computes products of float32 as such; restored on exit.

    By default PyTorch lets cuDNN's recurrent layers round the factors to TF32, but not other products. These
    settings are those of the whole process. On a CPU nothing is changed.

    Args:
        device: where products are computed.
        tf32: whether factors may be rounded to TF32.

    Example:
        >>> with float32_products(torch.device("cuda")):
        ...     torch.backends.cuda.matmul.allow_tf32
        False
    """
    if device.type != "cuda":
        yield
        return
    places: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    name: str = "allow_tf32"
    value: bool | str = tf32
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # from torch 2.9 on
        places[1] = torch.backends.cudnn.rnn
        name, value = "fp32_precision", "tf32" if tf32 else "ieee"
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, value)
        yield
    finally:
        for place, former in zip(places, before, strict=True):
            setattr(place, name, former)


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """Returns the dtype to which ``torch.autocast`` converts factors on a kind of device; None outside it.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     autocast_dtype("cpu")
        torch.bfloat16
        >>> autocast_dtype("cpu") is None
        True
    """
    if torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return None


def without_autocast(device_type: str) -> AbstractContextManager[object]:
    """Returns a context without autocast; where there is none already, one that does and costs nothing.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16), without_autocast("cpu"):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    if autocast_dtype(device_type) is None:
        return nullcontext()
    return torch.autocast(device_type, enabled=False)
