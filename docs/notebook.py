"""Writes the course page as a notebook: `python docs/notebook.py`. A test checks that it is up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, NOTEBOOK = ROOT / "docs" / "guide" / "course.md", ROOT / "examples" / "course.ipynb"


def notebook(page: str) -> str:
    """Returns the notebook of a page: its text and Keras's code as Markdown, its Python blocks as code."""
    cells: list[dict[str, Any]] = []

    def add(kind: str, text: str) -> None:
        if text.strip():
            code = {"execution_count": None, "outputs": []} if kind == "code" else {}
            lines = text.strip().splitlines(keepends=True)
            cells.append(
                {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": lines, **code}
            )

    page = re.sub(r"<!--.*?-->\n", "", page)
    page = re.sub(
        r"^</?t.*\n", "", page, flags=re.MULTILINE
    )  # a cell has no two columns: Keras's code is above
    page = page.replace("](../", "](../docs/")
    page = re.sub(r"\]\(([\w.-]+\.md)\)", r"](../docs/guide/\1)", page)
    end = 0
    for fence in re.finditer(r"^```(python|text)\n(.*?)^```\n", page, re.DOTALL | re.MULTILINE):
        add("markdown", page[end : fence.start()])
        if fence[1] == "python":  # the blocks between are what it prints
            add("code", fence[2])
        end = fence.end()
    add("markdown", page[end:])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
