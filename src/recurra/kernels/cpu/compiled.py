"""Compilation of kernel functions: without the GIL, cached on disk, with optional bounds checks."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints
from zlib import crc32

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name
from numba import types
from numba.core import config as numba_config
from numba.core.bytecode import FunctionIdentity
from numba.core.typeinfer import register_dispatcher
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from recurra import runtime
from recurra.kernels.cpu import helpers
from recurra.kernels.cpu.cache import VerifiedCache, folder_name, remove_abandoned, remove_former
from recurra.kernels.cpu.host import host

__all__ = [
    "CHECKED",
    "cache_folder",
    "compiled",
    "compiled_loosely",
    "generated",
    "inlined",
    "inner",
    "listeners",
]

Function = TypeVar("Function", bound=Callable[..., Any])

CHECKED = os.environ.get("RECURRA_CHECKED_KERNELS", "") not in ("", "0")
"""Whether every load and store is checked against the bounds of its array: slow, for tests."""
_OPTIONS: dict[str, Any] = {
    "_nrt": False,  # kernels allocate nothing; counting references took half of QRNN's training step
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": CHECKED or None,
    "no_cfunc_wrapper": True,  # for callers in C, of which there are none
}
_LOOSE: dict[str, Any] = {**_OPTIONS, "fastmath": True}
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}
ENTRIES = ("autograd", "scan")
"""The modules through which kernels are reached; while one is imported, helpers may compile for it."""

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
    """The same for a function that Python does not call: without the conversion of Python's arguments.

    That takes a quarter of the time of all functions.
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
    for listener in listeners:
        listener(f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}")
    return cast(Function, dispatcher)


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
    (overload,) = dispatcher.overloads.values()
    for part in overload.library._get_module_for_linking().functions:
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


@cache
def cache_folder() -> Path | None:
    """The folder of compiled kernels: in recurra's cache, else a temporary folder; None if neither is usable.

    ``RECURRA_KERNEL_CACHE`` sets another folder. Numba detects a change by the date of one file, but a kernel
    consists of several files. Each version of the kernels' sources therefore has its own folder; old ones are
    removed.
    """
    sources = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(source.read_bytes())
    processor = f"{get_host_cpu_name()} {get_host_cpu_features().flatten()}"
    name = folder_name(f"{host()} {CHECKED} {processor}", f"{numba.__version__} {sources.hexdigest()}")
    asked = os.environ.get("RECURRA_KERNEL_CACHE")
    folder = Path(asked) if asked else runtime.user_cache()
    if folder is not None and _usable(folder / name):
        remove_abandoned(folder / name)
        remove_former(folder / name)
        return folder / name
    try:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        shared = Path(tempfile.gettempdir()) / f"recurra-{user}"
    except FileNotFoundError:  # no temporary folder is writable
        return None
    # a folder for each user, at both levels: other users cannot place code that this user would run
    return shared / name if _usable(shared) and _usable(shared / name) else None


def _usable(folder: Path) -> bool:
    """Whether a folder, created if necessary, belongs to this user and is writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


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
