"""Random numbers from torch generators of a training's own: neither the caller nor another thread has a part.

Torch's default generators belong to the whole process. A training that seeded and read them would change the
numbers of the caller, and of every other training in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["Generators", "generator", "initial_weights"]


class Generators:
    """Torch generators of one seed, one for each device, made when they are first used.

    Example:
        >>> with Generators(7).in_use():
        ...     drawn = torch.rand(2, generator=generator("cpu"))
        >>> bool((drawn == torch.rand(2, generator=torch.Generator().manual_seed(7))).all())
        True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._by_device: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device | str) -> torch.Generator:
        """Returns the generator of a device."""
        device = torch.device(device)
        if device not in self._by_device:
            self._by_device[device] = torch.Generator(device).manual_seed(self._seed)
        return self._by_device[device]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Context in which `generator` returns these, in this thread."""
        token = _in_use.set(self)
        try:
            yield
        finally:
            _in_use.reset(token)


_in_use: ContextVar[Generators | None] = ContextVar("generators", default=None)


def generator(device: torch.device | str) -> torch.Generator | None:
    """Returns the generator to draw from on a device; outside a training None, which is torch's default."""
    if torch.compiler.is_compiling():  # no training compiles its network, and a generator can't be compiled
        return None
    current = _in_use.get()
    return None if current is None else current.on(device)


@contextmanager
def initial_weights(seed: int, device: str = "cpu") -> Iterator[None]:
    """Context in which new modules have float32 parameters, with values that depend on the seed.

    What code of any origin draws by torch's functions comes from a generator of this context. Torch's default
    generators, dtype and device are neither used nor changed.

    Args:
        seed: of the generator.
        device: of the parameters; ``meta`` for shapes without values.

    Example:
        >>> with initial_weights(1):
        ...     layer = nn.Linear(2, 3)
        >>> with initial_weights(1):
        ...     same = nn.Linear(2, 3)
        >>> torch.equal(layer.weight, same.weight)
        True
    """
    with Generators(seed).in_use(), torch.device(device), _Initial(device):
        yield


class _Initial(TorchFunctionMode):
    """Adds ``generator`` and ``dtype`` to the calls of torch's functions that lack them."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = torch.device(device)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _DRAWING and given.get("generator") is None:
            tensors = [value for value in (*args, *given.values()) if isinstance(value, Tensor)]
            device = torch.device(given.get("device") or (tensors[0].device if tensors else self._device))
            if device.type != "meta":
                given["generator"] = generator(device)
        if func in _FLOATING and given.get("dtype") is None:
            given["dtype"] = torch.float32
        return func(*args, **given)


_DRAWING = {
    *(getattr(torch, name) for name in ("rand", "randn", "randint", "randperm", "bernoulli", "multinomial",
                                        "normal", "poisson")),
    *(getattr(Tensor, name) for name in ("bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_",
                                         "log_normal_", "multinomial", "normal_", "random_", "uniform_")),
    *(getattr(nn.init, name) for name in ("kaiming_uniform_", "normal_", "uniform_")),
}  # fmt: skip
_FLOATING = {torch.empty, torch.eye, torch.linspace, torch.ones, torch.rand, torch.randn, torch.zeros}
