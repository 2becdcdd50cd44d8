"""Buffers that are used again: a fresh one costs a page fault for every 4 KiB.

In torch these take half of a training step.

A buffer returns to the shelf by itself when nothing refers to it any more, so that a gradient that is never
asked for, a second gradient through one graph, or several threads need no care.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable

import numpy as np

from recurra.kernels.cpu.layout import LINE, Floats, cut, total

__all__ = ["borrow", "borrow_pieces", "held", "release"]

_lock = threading.RLock()  # a garbage collection inside the lock may put a buffer back
_shelf: list[Floats] = []
SMALLEST = 16_384
"""Numbers; smaller buffers come from the system's own shelf."""
LOOSEST = 32
"""How many times too large a buffer may be: batches of long and of short texts then use the same ones."""


class _Loan:
    """What every view of a lent buffer holds on to.

    (Views of a plain array hold on to the array that owns the memory, past all views between.)
    """

    def __init__(self, buffer: Floats) -> None:
        self.__array_interface__ = buffer.__array_interface__


def borrow(count: int) -> Floats:
    """A buffer of ``count`` numbers on a cache line, with whatever it last held."""
    if count < SMALLEST:
        return _aligned(count)
    with _lock:
        fitting = [n for n, buffer in enumerate(_shelf) if count <= buffer.size <= LOOSEST * count]
        if fitting:
            buffer = _shelf.pop(min(fitting, key=lambda n: _shelf[n].size))
        else:
            # the new one will do what the largest smaller one did: one of a kind is enough
            smaller = [n for n, buffer in enumerate(_shelf) if count > buffer.size > count // LOOSEST]
            if smaller:
                _shelf.pop(max(smaller, key=lambda n: _shelf[n].size))
            buffer = _aligned(count + count // 8)
    loan = _Loan(buffer)
    weakref.finalize(loan, _put_back, buffer).atexit = False
    return np.asarray(loan)[:count]


def borrow_pieces(sizes: Iterable[int]) -> list[Floats]:
    """One buffer cut into pieces, which go back together."""
    sizes = tuple(sizes)
    return cut(borrow(total(sizes)), sizes)


def release() -> None:
    """Give all buffers that are not in use back to the system."""
    with _lock:
        _shelf.clear()


def held() -> int:
    """Bytes on the shelf, in use by nobody."""
    with _lock:
        return sum(buffer.nbytes for buffer in _shelf)


def _put_back(buffer: Floats) -> None:
    with _lock:
        _shelf.append(buffer)


def _aligned(count: int) -> Floats:
    room = np.empty(count + LINE, np.float32)
    ahead = -room.__array_interface__["data"][0] % (4 * LINE) // 4
    return room[ahead : ahead + count]


def _forget() -> None:
    """In the child of a fork, nobody is left who would let go of the lock that another thread had."""
    global _lock
    _lock = threading.RLock()
    _shelf.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
