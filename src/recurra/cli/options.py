"""Options that several verbs share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from recurra.config import Config

__all__ = ["AsJson", "ConfigFile", "Group", "Recipe", "Settings", "SkipBadRows", "build_config"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Recipe = Annotated[
    str | None,
    typer.Option("--recipe", help="Named settings: lstm, gru, simple-rnn, bi-lstm, ...  [default: default]"),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A YAML file of settings.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as model.units=64. May be repeated."),
]
Group = Annotated[
    str | None,
    typer.Option("--group", help="Column whose equal values stay on one side of the validation split."),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave broken rows out, counted and listed.")
]


def build_config(
    recipe: str | None,
    file: Path | None,
    settings: list[str] | None,
    group: str | None = None,
    skip_bad_rows: bool = False,
) -> Config:
    """Settings of the recipe, then the file's, then ``--set``'s, then the options', later ones winning.

    Raises:
        ConfigError: an unknown recipe or key, or a value out of its range.
    """
    from recurra.config import Config, load_recipe, parse_set, read_settings

    options: dict[str, Any] = {}
    if group is not None:
        options["group"] = group
    if skip_bad_rows:
        options["skip_bad_rows"] = True
    from_file = read_settings(file) if file else {}
    assigned = [parse_set(one) for one in settings or []]
    named = from_file.pop("recipe", None)
    base = load_recipe(recipe or str(named or "default"))
    return Config.build(base, from_file, *assigned, {"data": options}, where=file)
