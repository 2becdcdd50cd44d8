"""The files of an export for people and programs: README, and clients in Python and JavaScript."""

from __future__ import annotations

import html
import html.entities
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from recurra import export

__all__ = ["client_files"]


def client_files(signature: Mapping[str, Any], notes: Sequence[str]) -> dict[str, str]:
    """Returns ``README.md``, the clients ``client.py`` and ``client.mjs``, and the entities of HTML, by name.

    Args:
        signature: that of the export.
        notes: sentences on what is not as in recurra.
    """
    folder = resources.files(export)
    template = folder.joinpath("README.md.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    texts = {"README.md": environment.from_string(template).render(**signature, s=signature, notes=notes)}
    if signature["to"] == "onnx":
        clients = folder.joinpath("client")
        for name in ("client.py", "client.mjs"):
            texts[name] = clients.joinpath(name).read_text(encoding="utf-8")
        if signature["task"] in ("classify", "lm"):  # JavaScript has no table of them outside of a browser
            texts["entities.json"] = _entities()
    return texts


@cache
def _entities() -> str:
    """Returns what `html.unescape` makes of names, and of numbers that are not code points of HTML."""
    numbers = {
        number: found
        for number in (
            *range(0x100),
            *range(0xFDD0, 0xFDF0),
            *(p << 16 | e for p in range(17) for e in (0xFFFE, 0xFFFF)),
        )
        if (found := html.unescape(f"&#{number};")) != chr(number)
    }
    return json.dumps({"names": html.entities.html5, "numbers": numbers}) + "\n"
