"""How kernel functions are compiled: without the GIL, kept on disk, and checked for bounds when asked."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import numba
import numpy as np
from numba import types
from numba.core import config as numba_config
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype

from recurra import runtime
from recurra.kernels.cpu.host import host

__all__ = ["CHECKED", "cache_folder", "compiled", "generated", "inlined"]

Function = TypeVar("Function", bound=Callable[..., Any])

CHECKED = os.environ.get("RECURRA_CHECKED_KERNELS", "") not in ("", "0")
"""Whether every load and store is checked against the bounds of its array: slow, for tests."""
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": CHECKED or None}


def compiled(function: Function) -> Function:
    """Compile a function for the types of its annotations, or load it from disk if it has been.

    (Left to find the types out by itself, Numba compiles a function again for each constant that it is called
    with: the products seven times over.)
    """
    hints = get_type_hints(function)
    result = _numba_type(hints.pop("return"))
    signature = result(*(_numba_type(kind) for kind in hints.values()))
    with _caching_in(cache_folder()) as cached:
        return cast(Function, numba.njit(signature, cache=cached, **_OPTIONS)(function))


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
    """An operation of compiled functions given as a generator of LLVM code (Numba's ``intrinsic``)."""
    return cast(Callable[..., Any], intrinsic(function))


@cache
def cache_folder() -> Path | None:
    """Where compiled kernels are kept: in recurra's cache, else in a temporary folder; None where neither.

    ``RECURRA_KERNEL_CACHE`` names a folder for them alone. Numba tells a changed file from its own date
    alone, though a kernel is made of several files. So each version of the kernels' sources has a folder of
    its own.
    """
    digest = hashlib.sha256(f"{numba.__version__} {host()} {CHECKED}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
    asked = os.environ.get("RECURRA_KERNEL_CACHE")
    folder = Path(asked) if asked else runtime.user_cache()
    if folder is not None and _usable(folder / name):
        return folder / name
    try:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        shared = Path(tempfile.gettempdir()) / f"recurra-{user}"
    except FileNotFoundError:  # there is none that can be written
        return None
    # one folder a user, inside and out: nobody else can put compiled code where this user will run it
    return shared / name if _usable(shared) and _usable(shared / name) else None


def _usable(folder: Path) -> bool:
    """Whether a folder, made if need be, is this user's own and can be written."""
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
    """Within it Numba caches in ``folder``; whether it caches at all."""
    settings: Any = numba_config
    former = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder or "")
    try:
        yield folder is not None
    finally:
        settings.CACHE_DIR = former
