"""One self-contained HTML file about one trained model or one comparison of several, for a person to read."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from recurra.files import replacing
from recurra.measure.report_data import Bar, Chart, ModelRow, Part, ReportData, ReportTable, Section
from recurra.measure.report_numbers import count, keep, plain, pvalue, sentence, share, short, three
from recurra.measure.report_view import view

__all__ = [
    "Bar",
    "Chart",
    "ModelRow",
    "Part",
    "ReportData",
    "ReportTable",
    "Section",
    "render",
    "write_report",
]

# Control characters but tab and line ends, and lone surrogates, which no UTF-8 file can hold.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def render(data: ReportData) -> str:
    """The report as HTML: no scripts, no outside references, whatever stands in the data escaped."""
    html = _environment().get_template("report.html.j2").render(d=data, v=view(data))
    return _UNPRINTABLE.sub("\ufffd", html)


def write_report(path: Path, data: ReportData) -> None:
    """Writes ``data`` as one HTML file, whole or not at all.

    Raises:
        OutputError: the place can't be written.
    """
    html = render(data)
    with replacing(path) as draft:
        draft.write_text(html, encoding="utf-8")


@cache
def _environment() -> Environment:
    page = Environment(
        loader=PackageLoader("recurra.measure", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: "" if value is None else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update({f.__name__: f for f in (count, keep, plain, pvalue, sentence, share, short, three)})
    return page
