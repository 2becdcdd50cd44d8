"""Compilation of kernel functions: without the GIL, cached on disk, with optional bounds checks."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import numba
import numpy as np
from numba import types
from numba.core import config as numba_config
from numba.core.typeinfer import register_dispatcher
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from recurra import runtime
from recurra.kernels.cpu.cache import VerifiedCache, remove_abandoned, remove_former
from recurra.kernels.cpu.host import host

__all__ = ["CHECKED", "cache_folder", "compiled", "generated", "inlined"]

Function = TypeVar("Function", bound=Callable[..., Any])

CHECKED = os.environ.get("RECURRA_CHECKED_KERNELS", "") not in ("", "0")
"""Whether every load and store is checked against the bounds of its array: slow, for tests."""
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": CHECKED or None}


def compiled(function: Function) -> Function:
    """Compiles a function for the types of its annotations, or loads it from the cache.

    (Without given types, Numba compiles a function again for each constant that it is called with: the
    products seven times.)
    """
    hints = get_type_hints(function)
    result = _numba_type(hints.pop("return"))
    signature = result(*(_numba_type(kind) for kind in hints.values()))
    # numba.njit(signature, cache=True) does the same with its own cache
    dispatcher: Any = numba.njit(**_OPTIONS)(function)
    with _caching_in(cache_folder()) as cached, register_dispatcher(dispatcher), ExitStack() as stack:
        if cached:
            dispatcher._cache = VerifiedCache(function)
            stack.enter_context(dispatcher._cache.one_compiler())
        dispatcher.compile(signature)
        dispatcher.disable_compile()
    return cast(Function, dispatcher)


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
    consists of several files. Each version of the kernels' sources therefore has its own folder; those used
    last are kept.
    """
    digest = hashlib.sha256(f"{numba.__version__} {host()} {CHECKED}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
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
def _caching_in(folder: Path | None) -> Iterator[bool]:
    """Context in which Numba caches in ``folder``; yields whether it caches at all."""
    settings: Any = numba_config
    former = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder or "")
    try:
        yield folder is not None
    finally:
        settings.CACHE_DIR = former
