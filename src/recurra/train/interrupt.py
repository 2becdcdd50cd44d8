"""Ctrl-C as a wish, not a blow: the first one is noted, the second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupt", "noting_interrupts"]


class Interrupt:
    """The user's wish to stop."""

    def __init__(self) -> None:
        self._asked = False

    def note(self) -> None:
        """The user asks to stop."""
        self._asked = True

    def asked(self) -> bool:
        """Whether the user has asked to stop."""
        return self._asked


@contextmanager
def noting_interrupts() -> Iterator[Interrupt]:
    """Within the block the first SIGINT only is noted; a second one raises KeyboardInterrupt.

    The former handler is back when the block ends. Outside the main thread, or where SIGINT is ignored
    (a job in the background), nothing is installed and ``asked()`` stays False.
    """
    interrupt = Interrupt()
    former = signal.getsignal(signal.SIGINT)
    # None: installed by something other than Python, so it could not be put back.
    if threading.current_thread() is not threading.main_thread() or former in (signal.SIG_IGN, None):
        yield interrupt
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interrupt.asked():
            raise KeyboardInterrupt
        interrupt.note()

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, former)
