"""Numbers and names formatted for readers: rounded, with units, and never more precise than they are."""

from __future__ import annotations

import re

from markupsafe import Markup

__all__ = [
    "count", "duration", "is_figure", "keep", "percent", "percents", "plain", "sentence", "share",
    "short", "three",
]  # fmt: skip

_FIGURE = re.compile(r"[<>≈±~]?\s*[+−-]?\d|[–-]?$")
_SHORT = 24  # characters of a class name that fit beside a table


def count(value: float) -> str:
    """``12345`` as ``12,345``."""
    return f"{value:,.0f}"


def share(value: float | None) -> str:
    """``0.8765`` as ``87.7%``, None as a dash; only 0 and 1 themselves are shown as 0% and 100%.

    Example:
        >>> share(0.99997), share(1.0), share(None), share(0.0001)
        ('>99.9%', '100%', '–', '<0.1%')
    """
    if value is None:
        return "–"
    if value in (0, 1):
        return f"{100 * value:.0f}%"
    if value > 0.9995:
        return ">99.9%"
    return "<0.1%" if value < 0.0005 else f"{100 * value:.1f}%"


def percent(value: float) -> str:
    """``0.87654`` as ``87.65%``."""
    return f"{100 * value:.2f}%"


def percents(low: float, high: float) -> str:
    """The ends of an interval of a share in percent, as ``87.10 to 88.20``."""
    return f"{100 * low:.2f} to {100 * high:.2f}"


def three(value: float | None) -> str:
    """``0.87654`` as ``0.877``, None as a dash."""
    return "–" if value is None else f"{value:.3f}"


def plain(name: str) -> str:
    """``valid_macro_f1`` as ``valid macro f1``."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """``text`` with its first letter capitalized."""
    return text[:1].upper() + text[1:]


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours, depending on its length."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def short(name: str) -> str:
    """A class name cut to the length of a column header."""
    return name if len(name) <= _SHORT else f"{name[: _SHORT - 1].rstrip()}…"


def keep(name: str) -> Markup:
    """The HTML attribute that keeps a short name on one line; empty for a long name."""
    return Markup(' class="keep"') if len(name) <= _SHORT else Markup("")


def is_figure(cell: str) -> bool:
    """Whether a table cell holds a number, a dash or nothing.

    Example:
        >>> is_figure("+0.8 ± 0.3"), is_figure("–"), is_figure("a 2")
        (True, True, False)
    """
    return _FIGURE.match(cell) is not None
