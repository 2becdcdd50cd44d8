"""One self-contained HTML file about one trained classifier, for a person to read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from recurra.errors import OutputError
from recurra.evaluate.report_data import ModelRow, Part, ReportData
from recurra.evaluate.report_numbers import count, keep, plain, pvalue, share, short, three
from recurra.evaluate.report_view import view

__all__ = ["ModelRow", "Part", "ReportData", "render", "write_report"]

# Control characters but tab and line end, and lone surrogates, which no UTF-8 file can hold.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def render(data: ReportData) -> str:
    """The report as HTML: no scripts, no outside references, whatever stands in the data escaped."""
    page = Environment(
        loader=PackageLoader("recurra.evaluate", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update({f.__name__: f for f in (count, keep, plain, pvalue, share, short, three)})
    return page.get_template("report.html.j2").render(d=data, v=view(data))


def write_report(path: Path, data: ReportData) -> None:
    """Writes ``data`` as one HTML file, whole or not at all.

    Raises:
        OutputError: the place can't be written.
    """
    html = render(data)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(html, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"the report can't be written ({error.strerror})", where=path) from error


def _printable(value: Any) -> Any:
    """A value before it is escaped: None shows as nothing, what no page can show as a box."""
    if value is None:
        return ""
    # type, not isinstance: markup (a str too) is made by this package and has to stay markup.
    return _UNPRINTABLE.sub("\ufffd", value) if type(value) is str else value
