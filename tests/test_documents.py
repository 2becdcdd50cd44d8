"""What the documents say is true of the code: the tree, the links, the settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import recurra
from recurra.config import recipe_names
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.registry import TASKS
from recurra.tasks.settings import build_config, describe_settings
from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "recurra"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def drawn_tree(text: str) -> set[str]:
    """Paths under the package as ARCHITECTURE.md draws them."""
    block = text.split("```")[1].strip().splitlines()[1:]
    found, parents = set(), [""]
    for line in block:
        match = re.match(r"([│ ]*)(?:├──|└──) (\S+)", line)
        assert match, line
        depth = len(match[1]) // 4
        path = parents[depth] + match[2]
        found.add(path)
        parents[depth + 1 :] = [path]
    return found


def test_the_tree_in_architecture_is_the_disks() -> None:
    drawn = drawn_tree((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    folders = {
        f"{path.parent.relative_to(PACKAGE).as_posix()}/"
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE
    }
    top = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert drawn == folders | top


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_names_every_recipe(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert all(f"`{recipe}`" in text for recipe in recipe_names())


def test_the_page_of_settings_is_the_codes() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert text.endswith(f"{describe_settings()}\n")


def test_every_file_explains_itself_and_stays_a_room() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if text.strip():
            assert text.startswith('"""'), f"{path} has no first sentence"
        assert text.count("\n") <= 420, f"{path} is two rooms"


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
    assert not [one for one in project["dependencies"] if "==" in one]
    assert "\ntorch==2.13.0\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_every_setting_has_a_default() -> None:
    assert build_config() == ClassifierConfig()
