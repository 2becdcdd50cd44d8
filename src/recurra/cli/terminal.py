"""The streams of the command line: they show control characters escaped, and encode every character."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from recurra.printable import printable

__all__ = ["EscapingConsole", "safe_streams"]


class _Escaping:
    """A text stream that writes control characters escaped."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class EscapingConsole(Console):
    """A console that prints control characters of texts escaped; its own, for colours, are not text.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``.
    """

    def __init__(self, stream: TextIO, **options: Any) -> None:
        file = stream.stream if isinstance(stream, _Escaping) else stream
        super().__init__(file=file, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yields the segments of ``renderable``."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


@contextmanager
def safe_streams() -> Iterator[None]:
    r"""Context in which whatever is printed is safe for a terminal, and warnings are one line each.

    Control characters are escaped on stderr, and on stdout if it is a terminal: in a file or a pipe, answers
    are written as they are. A character that is not in the encoding of a stream is written as ``\uXXXX``.
    """
    streams, show = (sys.stdout, sys.stderr), warnings.showwarning
    errors = [getattr(stream, "errors", None) for stream in streams]

    def show_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        print(f"recurra: warning: {' '.join(str(message).split())}", file=sys.stderr)

    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    out: Any = _Escaping(sys.stdout) if sys.stdout.isatty() else sys.stdout
    err: Any = _Escaping(sys.stderr)
    sys.stdout, sys.stderr, warnings.showwarning = out, err, show_line
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        warnings.showwarning = show
        for stream, former in zip(streams, errors, strict=True):
            if isinstance(stream, io.TextIOWrapper) and not stream.closed:
                stream.reconfigure(errors=former)
