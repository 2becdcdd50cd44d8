"""A pool of reusable buffers: new memory costs a page fault for every 4 KiB.

In torch these page faults take half of a training step.

A buffer returns to the pool when nothing refers to it any more. Gradients that are never computed, second
gradients through one graph, and several threads need no special handling.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable

import numpy as np

from recurra.kernels.cpu.layout import LINE, Floats, cut, total

__all__ = ["borrow", "borrow_pieces", "held", "release"]

_lock = threading.RLock()  # garbage collection inside the lock may return a buffer
_pool: list[Floats] = []
SMALLEST = 16_384
"""Numbers; smaller buffers are allocated."""
LOOSEST = 32
"""How many times larger than needed a buffer may be: batches of long and short texts share buffers."""


class _Reference:
    """The object that every view of a borrowed buffer refers to.

    (Views of a plain array refer to the array that owns the memory, not to the views between.)
    """

    def __init__(self, buffer: Floats) -> None:
        self.__array_interface__ = buffer.__array_interface__


def borrow(count: int) -> Floats:
    """Returns a buffer of ``count`` numbers, aligned to a cache line and not initialised."""
    if count < SMALLEST:
        return _aligned(count)
    with _lock:
        fitting = [n for n, buffer in enumerate(_pool) if count <= buffer.size <= LOOSEST * count]
        if fitting:
            buffer = _pool.pop(min(fitting, key=lambda n: _pool[n].size))
        else:
            # the new buffer can replace the largest smaller one
            smaller = [n for n, buffer in enumerate(_pool) if count > buffer.size > count // LOOSEST]
            if smaller:
                _pool.pop(max(smaller, key=lambda n: _pool[n].size))
            buffer = _aligned(count + count // 8)
    reference = _Reference(buffer)
    weakref.finalize(reference, _put_back, buffer).atexit = False
    return np.asarray(reference)[:count]


def borrow_pieces(sizes: Iterable[int]) -> list[Floats]:
    """Returns one buffer divided into pieces, which return to the pool together."""
    sizes = tuple(sizes)
    return cut(borrow(total(sizes)), sizes)


def release() -> None:
    """Frees all buffers that are not in use."""
    with _lock:
        _pool.clear()


def held() -> int:
    """Bytes in the pool that are not in use."""
    with _lock:
        return sum(buffer.nbytes for buffer in _pool)


def _put_back(buffer: Floats) -> None:
    with _lock:
        _pool.append(buffer)


def _aligned(count: int) -> Floats:
    room = np.empty(count + LINE, np.float32)
    ahead = -room.__array_interface__["data"][0] % (4 * LINE) // 4
    return room[ahead : ahead + count]


def _forget() -> None:
    """In the child of a fork, no thread remains that would release a lock held by another thread."""
    global _lock
    _lock = threading.RLock()
    _pool.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
