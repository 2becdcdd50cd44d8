"""Writes README.md and README.zh-CN.md: `python docs/readme.py`. A test checks that they are up to date.

Both are templates in `docs/readme`, filled with the figures of `docs/readme/results.yaml`: a figure has one
value in both languages. Figures that come from rows of `benchmarks/results` are compared with them by a test.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "docs" / "readme"
NAMES = ("README.md", "README.zh-CN.md")


def render(name: str) -> str:
    """Returns the text of a README; a figure that the template names and `results.yaml` lacks is an error."""
    templates = Environment(  # noqa: S701 - Markdown, not HTML from outside
        loader=FileSystemLoader(SOURCES, encoding="utf-8"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    results = yaml.safe_load((SOURCES / "results.yaml").read_text(encoding="utf-8"))
    return templates.get_template(f"{name}.j2").render(results)


if __name__ == "__main__":
    for name in NAMES:
        (ROOT / name).write_text(render(name), encoding="utf-8")
