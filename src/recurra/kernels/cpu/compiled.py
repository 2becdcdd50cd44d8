"""Compilation of kernel functions: without the GIL, cached on disk, with optional bounds checks."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints
from zlib import crc32

import numba
import numpy as np
from numba import types
from numba.core import config as numba_config
from numba.core.bytecode import FunctionIdentity
from numba.core.typeinfer import register_dispatcher
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from recurra.kernels.cpu import helpers
from recurra.kernels.cpu.cache import VerifiedCache
from recurra.kernels.cpu.folder import CHECKED, cache_folder

__all__ = [
    "compiled",
    "compiled_loosely",
    "generated",
    "inlined",
    "inner",
    "listeners",
    "machine_address",
    "object_files",
    "symbol",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "_nrt": False,  # kernels allocate nothing; counting references took half of QRNN's training step
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": CHECKED or None,
    "no_cfunc_wrapper": True,  # for callers in C, of which there are none
}
_LOOSE: dict[str, Any] = {**_OPTIONS, "fastmath": True}
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}
ENTRIES = ("autograd", "scan", "addressed")
"""The modules through which kernels are reached; while one is imported, helpers may compile for it."""
_dispatchers: dict[str, Any] = {}
"""What was compiled or loaded, by ``module.function``."""

listeners: list[Callable[[str], object]] = []
"""Each is called with ``module.function`` when a function was compiled or loaded."""


def compiled(function: Function) -> Function:
    """Compiles a function for the types of its annotations, or loads it from the cache.

    A function that only other compiled ones call should be `inner`.

    (Without given types, Numba compiles a function again for each constant that it is called with: the
    products seven times.)
    """
    return _compiled(function, _OPTIONS)


def compiled_loosely(function: Function) -> Function:
    """The same with sums in any order: loops over the numbers of a vector are vectorized."""
    return _compiled(function, _LOOSE)


def inner(function: Function) -> Function:
    """The same for a function that Python does not call, or by its address only (`machine_code`).

    The conversion of Python's arguments takes a quarter of the time of all functions.
    """
    return _compiled(function, _INNER)


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    hints = get_type_hints(function)
    result = _numba_type(hints.pop("return"))
    signature = result(*(_numba_type(kind) for kind in hints.values()))
    # numba.njit(signature, cache=True) does the same with its own cache
    dispatcher: Any = numba.njit(**options)(function)
    folder = cache_folder()
    with _caching_in(folder), register_dispatcher(dispatcher), ExitStack() as stack:
        if folder is not None:
            dispatcher._cache = VerifiedCache(function)
            if dispatcher._cache.is_empty:
                _begin_helpers(folder)
            stack.enter_context(dispatcher._cache.one_compiler())
        with _same_symbol_everywhere(function):
            dispatcher.compile(signature)
        dispatcher.disable_compile()
    _generate_once(dispatcher)
    name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
    _dispatchers[name] = dispatcher
    for listener in listeners:
        listener(name)
    return cast(Function, dispatcher)


def symbol(function: Callable[..., Any]) -> str:
    """Returns the name of a compiled function's machine code in its object file."""
    return str(_overload(function).fndesc.llvm_func_name)


def machine_address(function: Callable[..., Any]) -> int:
    """Returns the address of a compiled function's machine code in this process."""
    return int(_overload(function).library.get_pointer_to_function(symbol(function)))


def object_files(names: Iterable[str]) -> list[bytes]:
    """Returns the object files of compiled functions, given as ``module.function``; there must be a cache."""
    return [_dispatchers[name]._cache.object_file for name in names]


def _overload(dispatcher: Any) -> Any:
    (found,) = dispatcher.overloads.values()
    return found


@contextmanager
def _same_symbol_everywhere(function: Function) -> Iterator[None]:
    """Context in which a function gets the same symbol in every process.

    Numba numbers functions in the order in which a process compiles them, and the number is a part of the
    symbol. Callers refer to the symbol, and may have been compiled by another process.
    """
    identity: Any = FunctionIdentity
    former = identity._unique_ids
    identity._unique_ids = itertools.count(
        crc32(f"{function.__module__}.{function.__qualname__}".encode()) << 16
    )
    try:
        yield
    finally:
        identity._unique_ids = former


def _generate_once(dispatcher: Any) -> None:
    """Makes callers call a function, or inline it, but generate no code for it.

    Numba links a function's intermediate code into each of its callers, and generates machine code for each
    copy: 11.2 s for all functions, and 8.7 s without.
    """
    for part in _overload(dispatcher).library._get_module_for_linking().functions:
        if not part.is_declaration:
            part.linkage = "available_externally"


def _begin_helpers(folder: Path) -> None:
    for entry in ENTRIES:
        module = sys.modules.get(f"recurra.kernels.cpu.{entry}")
        if module is not None and not hasattr(module, "__all__"):  # it is still importing what it needs
            helpers.begin(entry, folder)


def _numba_type(kind: Any) -> Any:
    """Numba's type of an annotation: a number, a flat array, or a named tuple of such."""
    if kind is type(None):
        return types.void
    if kind in (int, bool):
        return types.int64 if kind is int else types.boolean
    if hasattr(kind, "_fields"):
        fields = get_type_hints(kind)
        kinds = [_numba_type(fields[name]) for name in kind._fields]
        return types.BaseTuple.from_types(kinds, kind)  # type: ignore[no-untyped-call]
    numbers = get_args(get_args(kind)[1])[0]  # NDArray[numbers]
    return from_dtype(np.dtype(numbers))[::1]


def inlined(function: Function) -> Function:
    """A helper of compiled functions, compiled into them."""
    return cast(Function, numba.njit(forceinline=True, **_OPTIONS)(function))


def generated(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operation for compiled functions, defined by a generator of LLVM code (Numba's ``intrinsic``)."""
    return cast(Callable[..., Any], intrinsic(function))


@contextmanager
def _caching_in(folder: Path | None) -> Iterator[None]:
    """Context in which Numba caches in ``folder``."""
    settings: Any = numba_config
    former = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder or "")
    try:
        yield
    finally:
        settings.CACHE_DIR = former
