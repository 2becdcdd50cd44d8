"""Compiled functions that Python calls by their address: their machine code is kept, and runs without Numba.

A process that answers one text needs seven functions. To load Numba and what it has compiled takes 0.5 s;
LLVM alone links the machine code in 0.07 s. The functions take integers, of which some are addresses, since
what reads Python's objects is Numba's.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from inspect import signature
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from recurra.kernels.cpu.folder import CHECKED, cache_folder

__all__ = ["Functions", "address", "available", "functions", "link_file"]

NAME = "machine-code"
"""The file in the folder of compiled kernels: a SHA-256 of the rest, a line of JSON, and object files."""
_DIGEST = hashlib.sha256().digest_size
_TRIAL = 60  # seconds
Function: TypeAlias = Callable[..., object]
_lock = Lock()
_unused = ctypes.c_int64()
_engines: list[Any] = []
"""They own the memory of the machine code."""


class Functions(NamedTuple):
    """The functions; see the functions of these names for their arguments.

    Each takes integers of 64 bits, writes its results to memory, and releases the GIL.
    """

    attend: Function
    find: Function
    gather: Function
    linear: Function
    pack_groups: Function
    pool: Function
    run_order: Function


class _Code(NamedTuple):
    """Machine code that is not yet linked."""

    symbols: Mapping[str, tuple[str, int]]
    """The symbol and the number of arguments of each function."""
    objects: Sequence[bytes]
    """Object files, with what the functions call."""


def functions() -> Functions:
    """Returns the functions: linked from the machine code in the cache, or compiled."""
    with _lock:
        return _functions()


def available() -> bool:
    """Whether the functions can be had without Numba."""
    with _lock:
        return _linked() is not None


def address(array: NDArray[Any]) -> int:
    """Returns the address of an array's first number; the array must be contiguous and outlive its use."""
    found: int = array.__array_interface__["data"][0]
    return found


@cache
def _functions() -> Functions:
    found = _linked()
    return _compiled() if found is None else found


@cache
def _linked() -> Functions | None:
    """Links the machine code in the cache; None if there is none."""
    folder = cache_folder()
    code = None if folder is None else _read(folder / NAME)
    return None if code is None else _link(code)


def _compiled() -> Functions:
    """Compiles the functions by Numba, or loads them, and keeps their machine code."""
    from recurra.kernels.cpu import compiled
    from recurra.kernels.cpu.addressed import FUNCTIONS
    from recurra.kernels.cpu.plan import plan_for

    counts = {name: len(signature(function).parameters) for name, function in FUNCTIONS.items()}
    folder = cache_folder()
    if folder is not None and not (folder / NAME).exists():
        symbols = {name: (compiled.symbol(function), counts[name]) for name, function in FUNCTIONS.items()}
        _keep(folder / NAME, _Code(symbols, compiled.object_files(plan_for("addressed").functions)))
    found = {name: compiled.machine_address(function) for name, function in FUNCTIONS.items()}
    return _callable(found, counts)


def _link(code: _Code) -> Functions:
    """Links machine code into this process. LLVM ends a process in which this is not possible."""
    import llvmlite.binding as llvm

    with suppress(RuntimeError):  # newer versions of llvmlite do it themselves, and say so
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    for data in code.objects:
        engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    _engines.append(engine)
    found = {name: engine.get_function_address(symbol) for name, (symbol, _) in code.symbols.items()}
    return _callable(found, {name: count for name, (_, count) in code.symbols.items()})


def _callable(addresses: Mapping[str, int], counts: Mapping[str, int]) -> Functions:
    return Functions(**{name: _function(addresses[name], counts[name]) for name in Functions._fields})


def _function(place: int, count: int) -> Function:
    """A Python function for machine code in Numba's form: pointers to a result and an error, and a status.

    The functions have no result, and errors only where bounds are checked, for tests.
    """
    native: Any = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * (2 + count))(place)
    if CHECKED:
        native.errcheck = _raise_status
    return partial(native, ctypes.addressof(_unused), ctypes.addressof(_unused))


def _raise_status(status: int, *_: Any) -> None:
    if status:
        raise IndexError("a kernel has read or written outside an array")


def _keep(path: Path, code: _Code) -> None:
    """Writes machine code, if another process can link it: one that can't is ended by LLVM."""
    from recurra.kernels.cpu.folder import remove_abandoned

    sizes = [len(data) for data in code.objects]
    head = json.dumps({"symbols": code.symbols, "sizes": sizes}).encode() + b"\n"
    content = head + b"".join(code.objects)
    if not sys.executable or getattr(sys, "frozen", False):  # a frozen program would start itself
        return
    remove_abandoned(path.parent)
    with suppress(OSError, subprocess.SubprocessError):  # what can't be kept is compiled by the next process
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{NAME}.tmp.", delete=False) as file:
            file.write(hashlib.sha256(content).digest() + content)
        try:
            subprocess.run(  # noqa: S603 - this interpreter
                [sys.executable, "-P", "-m", "recurra.kernels.precompile", "link", file.name],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TRIAL,
                check=True,
            )
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _read(path: Path) -> _Code | None:
    """Returns the machine code in a file; None if there is none, or if it is damaged, which is said."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        warnings.warn(f"the cache of compiled kernels is damaged ({path}): compiling anew", stacklevel=2)
        with suppress(OSError):
            path.unlink()
        return None
    head, _, rest = content[_DIGEST:].partition(b"\n")
    facts = json.loads(head)
    objects, at = [], 0
    for size in facts["sizes"]:
        objects.append(rest[at : at + size])
        at += size
    return _Code({name: (symbol, count) for name, (symbol, count) in facts["symbols"].items()}, objects)


def link_file(path: Path) -> None:
    """Links the machine code in a file and calls one of its functions, or ends the process.

    Raises:
        OSError: the file can't be read, or is damaged.
    """
    code = _read(path)
    if code is None:
        raise OSError(f"{path} is no file of machine code")
    _link(code).attend(0, 0, 0, 0)
