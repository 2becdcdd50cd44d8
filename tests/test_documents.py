"""The documents agree with the code: the tree of packages, links, recipes, settings."""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

import recurra
from recurra.config import recipe_names
from recurra.tasks.base import TaskInfo
from recurra.tasks.registry import TASKS
from recurra.tasks.settings import build_config, describe_settings
from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "recurra"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXECUTED = "<!-- executed by tests/test_documents.py -->"
"""A page with this line: its Python blocks run from top to bottom, as one program in an empty folder.

A block marked ``text`` that follows a Python block is what that block prints. Code for comparison, such as
Keras's, is marked ``py`` and does not run.
"""
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [path for path in DOCUMENTS if EXECUTED in path.read_text(encoding="utf-8")]


def drawn_tree(text: str) -> set[str]:
    """Returns the paths in the package tree of ARCHITECTURE.md."""
    block = text.split("```")[1].strip().splitlines()[1:]
    paths, parents = set(), [""]
    for line in block:
        match = re.match(r"([│ ]*)(?:├──|└──) (\S+)", line)
        assert match, line
        depth = len(match[1]) // 4
        path = parents[depth] + match[2]
        paths.add(path)
        parents[depth + 1 :] = [path]
    return paths


def test_the_tree_in_architecture_equals_the_package() -> None:
    drawn = drawn_tree((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    folders = {
        f"{path.parent.relative_to(PACKAGE).as_posix()}/"
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE
    }
    top = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert drawn == folders | top


def test_the_files_that_architecture_names_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    paths = [path for path in re.findall(r"`([a-z_/]+/(?:[a-z_]+\.py)?)`", text) if path.count("/")]
    assert len(paths) > 20
    missing = [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_are_valid(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_the_page_of_recipes_names_every_recipe() -> None:
    text = (ROOT / "docs" / "guide" / "recipes.md").read_text(encoding="utf-8")
    assert all(f"`{recipe}`" in text for recipe in recipe_names())


def test_the_list_of_guides_names_every_guide() -> None:
    guides = ROOT / "docs" / "guide"
    text = (guides / "README.md").read_text(encoding="utf-8")
    missing = [path.name for path in guides.glob("*.md") if f"({path.name})" not in text]
    assert missing == ["README.md"]


READMES = runpy.run_path(str(ROOT / "docs" / "readme.py"))


@pytest.mark.parametrize("name", READMES["PAGES"])
def test_a_page_of_figures_is_up_to_date(name: str) -> None:
    page = (ROOT / READMES["PAGES"][name]).read_text(encoding="utf-8")
    assert page == READMES["render"](name), "run: python docs/readme.py"


def measured(name: str) -> list[dict[str, Any]]:
    """The rows of a benchmark's file."""
    text = (ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_figures_of_the_readme_are_those_that_were_measured() -> None:
    results = yaml.safe_load((ROOT / "docs" / "readme" / "results.yaml").read_text(encoding="utf-8"))

    found: dict[tuple[str, str], list[str]] = {}
    for row in measured("course-2026-11-21.jsonl"):
        system = row["system"].split()[0]
        found.setdefault((row["recipe"], system), []).append(f"{100 * row['test_accuracy']:.1f}")
    stated = {
        (recipe, system): figures
        for recipe, systems in results["imdb"]["recipes"].items()
        for system, figures in systems.items()
    }
    assert stated == found

    for language, name in (("en", "transcript.txt"), ("zh", "transcript.zh.txt")):
        transcript = (ROOT / "docs" / "readme" / name).read_text(encoding="utf-8")
        figures = re.search(r"accuracy +([\d.]+)% +([\d.]+)% ", transcript)
        assert figures
        assert [f"{float(figure):.1f}" for figure in figures.groups()] == [
            results["sample"][language][system] for system in ("lstm", "baseline")
        ]

    small = [row for row in measured("perplexity.jsonl") if row["size"] == "small"][-1]
    assert results["language"]["perplexity"] == f"{small['test']:.1f}"
    assert [results["language"][end] for end in ("low", "high")] == [
        f"{x:.0f}" for x in small["test_interval"]
    ]
    assert results["language"]["minutes"] == f"{small['cpu_minutes']:.0f}"

    beijing = next(
        row for row in measured("forecast.jsonl") if (row["data"], row["recipe"]) == ("beijing", "forecaster")
    )
    assert results["forecast"]["error"] == f"{beijing['mae']:.2f}"
    assert [results["forecast"][end] for end in ("low", "high")] == [f"{x:.2f}" for x in beijing["interval"]]


def test_the_settings_page_is_up_to_date() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert text.endswith(f"{describe_settings()}\n")


def test_every_file_has_a_docstring_and_at_most_420_lines() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if text.strip():
            assert text.startswith('"""'), f"{path} has no docstring"
        assert text.count("\n") <= 420, f"{path} is too long"


def python_blocks(text: str) -> list[tuple[int, str, str | None]]:
    """The line, the code and, where it is given, the output of each Python block of a page."""
    fences = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    blocks = []
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence[1] != "python":
            continue
        shows_output = (
            following and following[1] == "text" and not text[fence.end() : following.start()].strip()
        )
        line = text.count("\n", 0, fence.start(2))
        blocks.append((line, fence[2], following[2] if following and shows_output else None))
    return blocks


def test_no_page_has_python_that_does_not_run() -> None:
    elsewhere = {"keras.md", "new-cell.md", "new-format.md", "course.zh-CN.md", "ARCHITECTURE.md"}
    for page in DOCUMENTS:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^    (?:from recurra|import recurra)", text, re.MULTILINE), page.name
        if "```python" in text:
            assert page in PAGES or page.name in elsewhere, page.name


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_the_python_of_a_page_runs_and_prints_what_the_page_shows(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(document.read_text(encoding="utf-8"))
    assert blocks
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for line, code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # the empty lines make a traceback name the page's own line
            exec(compile("\n" * line + code, str(document), "exec"), namespace)
        if expected is not None:
            assert printed.getvalue() == expected, f"{document.name}, line {line}"


def test_the_chinese_course_has_the_code_of_the_english_one() -> None:
    pages = [ROOT / "docs" / "guide" / name for name in ("course.md", "course.zh-CN.md")]
    english, chinese = (python_blocks(page.read_text(encoding="utf-8")) for page in pages)
    assert [block[1:] for block in chinese] == [block[1:] for block in english]


def test_the_notebook_is_the_course_page() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    written = made["NOTEBOOK"].read_text(encoding="utf-8")
    page = made["PAGE"].read_text(encoding="utf-8")
    assert written == made["notebook"](page)
    nbformat.validate(nbformat.reads(written, as_version=4))
    cells = json.loads(written)["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code == [block.strip() for _, block, _ in python_blocks(page)]
    links = re.findall(r"\]\(([^)#]+)\)", "".join("".join(cell["source"]) for cell in cells))
    assert links
    assert all((made["NOTEBOOK"].parent / link).exists() for link in links if not link.startswith("http"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(str(script), run_name="__main__")
    assert printed.getvalue().strip()


def test_public_names_are_importable_and_documented() -> None:
    for name in recurra.__all__:
        assert getattr(recurra, name).__doc__
    with pytest.raises(AttributeError):
        _ = recurra.nothing


def test_the_estimator_of_each_task_is_public() -> None:
    assert {task.estimator for task in TASKS} <= set(recurra.__all__)


def test_torch_is_pinned_in_the_constraints_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "torch>=2.4" in project["dependencies"]
    assert not [requirement for requirement in project["dependencies"] if "==" in requirement]
    assert "\ntorch==2.13.0\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_setting_has_the_default_of_the_page_and_is_written_out(task: TaskInfo) -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    defaults = dict(re.findall(r"^\| `(\w+\.\w+)` \| `(.*?)` \|", page, re.MULTILINE))
    config = build_config({"task": task.name})
    written = yaml.safe_load(config.to_yaml())
    for section, kind in config.sections().items():
        assert list(written[section]) == list(kind.model_fields)
        for key, value in written[section].items():
            default = json.loads(defaults[f"{section}.{key}"])
            assert value == ("tanh" if key == "activation" else default)  # the cell's own, by its name
    assert build_config(written) == config
