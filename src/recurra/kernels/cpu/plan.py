"""Which functions are compiled when a module is imported, and in which order, as its source says.

Nothing is imported to find out: an import compiles.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["Plan", "plan_for"]

_PACKAGE = "recurra.kernels.cpu"
_FOLDER = Path(__file__).parent
_DECORATORS = ("compiled", "inner")


class Plan(NamedTuple):
    """What an import compiles."""

    modules: list[str]
    """Names of the modules with compiled functions, in the order in which the import reaches them."""
    functions: list[str]
    """Their compiled functions, as ``module.function``."""
    opposite: list[str]
    """The same modules in an order for a second process, so that both meet in the middle.

    A module comes after those that it imports. Of those that need no other the longest is first, of the
    rest the one that the import reaches last.
    """


class _Module(NamedTuple):
    imports: list[str]
    functions: set[str]
    length: int


@cache
def plan_for(*entries: str) -> Plan:
    """Returns what importing the modules ``recurra.kernels.cpu.<entry>`` compiles if nothing is cached."""
    depths: dict[str, int] = {}
    for entry in entries:
        _visit(entry, depths)
    modules = [name for name in depths if _read(name).functions]
    opposite = modules[::-1]
    opposite.sort(key=lambda name: (depths[name], 0 if depths[name] else -_read(name).length))
    functions = [f"{name}.{function}" for name in modules for function in sorted(_read(name).functions)]
    return Plan(modules, functions, opposite)


def _visit(name: str, depths: dict[str, int]) -> None:
    """Adds a module after those that it imports, with the most modules with compiled functions before it."""
    if name in depths:
        return
    module = _read(name)
    for other in module.imports:
        _visit(other, depths)
    depths[name] = max((depths[other] + bool(_read(other).functions) for other in module.imports), default=0)


@cache
def _read(name: str) -> _Module:
    text = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    imports: list[str] = []
    functions = set()
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module == _PACKAGE:
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}."):
            imports.append(str(node.module).removeprefix(f"{_PACKAGE}."))
        elif isinstance(node, ast.FunctionDef):
            names = [mark.id for mark in node.decorator_list if isinstance(mark, ast.Name)]
            if any(mark in _DECORATORS for mark in names):
                functions.add(node.name)
    return _Module(imports, functions, len(text))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those of each branch of an ``if``, of which one is run."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements(statement.body)
            yield from _statements(statement.orelse)
