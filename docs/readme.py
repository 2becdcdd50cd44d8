"""Writes README.md, README.zh-CN.md, docs/benchmarks.md and docs/kernels.svg: `python docs/readme.py`.

The pages are templates in `docs/readme`. Figures of speed come from the rows in `benchmarks/results`, others
from `docs/readme/results.yaml`, where a figure has one value for both languages. Tests check that the pages
are up to date, and that the figures are those that were measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "docs" / "readme"
RESULTS = ROOT / "benchmarks" / "results"
PAGES = {
    "README.md": "README.md",
    "README.zh-CN.md": "README.zh-CN.md",
    "benchmarks.md": "docs/benchmarks.md",
}
CHART = ROOT / "docs" / "kernels.svg"
sys.path.insert(0, str(ROOT))

from benchmarks.default import figures  # noqa: E402
from benchmarks.default import read as read_default  # noqa: E402
from benchmarks.epoch_figures import epoch_figures, newest_runs  # noqa: E402
from benchmarks.epoch_table import table  # noqa: E402
from benchmarks.kernels.ahead import who_is_ahead  # noqa: E402
from benchmarks.kernels.grid import course  # noqa: E402
from benchmarks.kernels.rows import read  # noqa: E402
from benchmarks.kernels.table import markdown  # noqa: E402


def render(name: str) -> str:
    """Returns the text of a page; a figure that the template names and nothing gives is an error."""
    templates = Environment(  # noqa: S701 - Markdown, not HTML from outside
        loader=FileSystemLoader(SOURCES, encoding="utf-8"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=False,
    )
    results = yaml.safe_load((SOURCES / "results.yaml").read_text(encoding="utf-8"))
    return templates.get_template(f"{name}.j2").render(results | _speed())


def _speed() -> dict[str, Any]:
    lines = (RESULTS / "epoch.jsonl").read_text(encoding="utf-8").splitlines()
    epochs, rows = [json.loads(line) for line in lines], read(RESULTS / "kernels.csv")
    return {
        "defaults": {each.name: each for each in figures(read_default(RESULTS / "default.jsonl"))},
        "epoch": epoch_figures(epochs),
        "epochs": [table(run) for run in newest_runs(epochs)],
        "ahead": who_is_ahead(rows),
        "tables": markdown(rows),
    }


def chart() -> None:
    """Writes the chart of the course's shape on the machine that was measured last."""
    from benchmarks.kernels.plot import plot

    shown = set(course())
    plot([row for row in read(RESULTS / "kernels.csv") if row.case in shown], CHART)


if __name__ == "__main__":
    for name, place in PAGES.items():
        (ROOT / place).write_text(render(name), encoding="utf-8")
    chart()
