"""A device that is pretended: its tensors lie in the processor's memory, but are not of the CPU.

Every operation on tensors of two devices is refused, as on a GPU. A GPU's numbers and speed stay unknown.
`device` registers it in the whole process, and replaces functions of torch there: use a process of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from recurra.cells.spec import Weights
from recurra.generators import Generators
from recurra.kernels import reference, torch_native
from recurra.kernels.dispatch import Call

NAME = "pretended"
# As on a GPU, these read indices and numbers of the CPU too.
_MIXING = ("index.", "index_put", "_index_put", "copy_.", "_to_copy.")


class _Module:
    """What torch asks of the module of a device."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class Pretended(Tensor):
    """A tensor of the pretended device; ``here`` are its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Pretended:
        made: Pretended = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=f"{NAME}:0",
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, dict(kwargs or {}))


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the numbers, as tensors of the pretended device if that is where they belong."""
    name = func.__name__
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [each for each in tensors if isinstance(each, Pretended)]
    stays = bool(there)
    if kwargs.get("device") is not None:
        stays = torch.device(kwargs["device"]).type == NAME
        kwargs["device"] = torch.device("cpu")
    left = [each for each in tensors if not isinstance(each, Pretended) and each.dim()]
    if there and left and not name.startswith(_MIXING):
        raise RuntimeError(f"{name} of tensors on {[str(each.device) for each in tensors]}")
    args, kwargs = tree_map(lambda each: each.here if isinstance(each, Pretended) else each, (args, kwargs))
    found = func(*args, **kwargs)
    if name == "_local_scalar_dense.default":
        return found
    given = {id(each.here): each for each in there}  # what an operation in place returns

    def returned(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, Pretended):
            return value
        if id(value) in given:
            return given[id(value)]
        return Pretended(value) if stays else value

    if name == "copy_.default":
        return tensors[0]
    return tree_map(returned, found)


class _Dispatch(TorchDispatchMode):
    """Makes new tensors on the pretended device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, dict(kwargs or {}))


class _Function(TorchFunctionMode):
    """Makes tensors of lists, which no dispatch mode sees."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and given.get("device") is not None:
            device = torch.device(given.pop("device"))
            return func(*args, **given).to(device)
        return func(*args, **given)


def _like_cudnn(cell: str, activation: str) -> Callable[..., Any]:
    """A function with the arguments of ``torch.lstm`` and the others, which do not have this device."""

    def run(x: Tensor, state: Any, parameters: list[Tensor], **options: Any) -> tuple[Tensor, ...]:
        parts = tuple(part[0] for part in (state if isinstance(state, list) else [state]))
        weights = dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), parameters, strict=True))
        if cell != "gru":
            weights["bias_ih"] = weights["bias_ih"] + weights.pop("bias_hh")
        outputs, last = reference.run(Call(cell, x, None, parts, Weights(weights), activation=activation))  # type: ignore[arg-type]
        return outputs, *(part[None] for part in last)

    return run


@contextmanager
def device() -> Iterator[torch.device]:
    """Registers the device, and returns a context in which tensors can be made on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _register()
    with _Function(), _Dispatch():
        yield torch.device(NAME, 0)


@cache
def _register() -> torch.library.Library:
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME, _Module())
    library = torch.library.Library("_", "IMPL")  # what it registers ends with it
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    # tensors of inference mode can't be subclasses with numbers of their own
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else nullcontext()  # type: ignore
    made: Callable[..., torch.Generator] = Generators.on
    Generators.on = lambda self, _: made(self, "cpu")  # type: ignore[method-assign]
    torch_native._FUNCTIONS = {
        (nn.RNN, "tanh"): _like_cudnn("simple_rnn", "tanh"),
        (nn.RNN, "relu"): _like_cudnn("simple_rnn", "relu"),
        (nn.LSTM, "tanh"): _like_cudnn("lstm", "tanh"),
        (nn.GRU, "tanh"): _like_cudnn("gru", "tanh"),
    }
    return library
