"""Options that several verbs share, and the settings built from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recurra.io.formats import format_named, format_names

if TYPE_CHECKING:
    from recurra.config import Config, Task

__all__ = [
    "AsJson",
    "ConfigFile",
    "Data",
    "Freeze",
    "Group",
    "LayerwiseRate",
    "Overwrite",
    "Pretrained",
    "PretrainedLayers",
    "Recipe",
    "Resume",
    "Settings",
    "SkipBadRows",
    "TaskName",
    "UnfreezeAfter",
    "Valid",
    "build_config",
    "data_help",
    "transfer_settings",
]


def data_help() -> str:
    """The formats of a data file, for the help text."""
    return ", ".join(format_named(name).title for name in format_names()) + "."


Data = Annotated[Path, typer.Argument(metavar="DATA", help=data_help())]
TaskName = Annotated[
    Literal["classify", "tag", "lm", "forecast"] | None,
    typer.Option(
        "--task",
        help="The task: classify texts, tag words, predict the next word (lm), or forecast a series.  "
        "[default: that of the recipe; tag for .conllu; else classify]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line.")]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe", help="A named set of settings: lstm, gru, simple-rnn, bi-lstm, ...  [default: default]"
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A YAML file of settings.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as model.units=64. Can be repeated."),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", help="Column of groups; rows of a group are not split between training and validation."
    ),
]
SkipBadRows = Annotated[bool, typer.Option("--skip-bad-rows", help="Skip malformed rows and report them.")]

Valid = Annotated[Path | None, typer.Option(help="A validation file, instead of held-out rows.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing model in --out.")]

Pretrained = Annotated[
    Path | None,
    typer.Option(
        "--pretrained",
        metavar="EMB",
        help="Initialize the embedding from a model, or from a word2vec, GloVe or fastText file.",
    ),
]
PretrainedLayers = Annotated[
    bool,
    typer.Option(
        "--pretrained-layers",
        help="Initialize the recurrent layers from that model too, as many as match.",
    ),
]
Freeze = Annotated[bool, typer.Option("--freeze", help="Do not train the pretrained weights.")]
UnfreezeAfter = Annotated[
    int | None,
    typer.Option(
        "--unfreeze-after",
        metavar="N",
        help="Freeze the pretrained weights for N epochs, then train them.",
    ),
]
LayerwiseRate = Annotated[
    float | None,
    typer.Option(
        "--layerwise-lr",
        metavar="X",
        help="Learning rate of each layer: X times that of the layer above, e.g. 0.4.",
    ),
]


def transfer_settings(
    pretrained: Path | None, layers: bool, freeze: bool, unfreeze_after: int | None, rate: float | None
) -> dict[str, Any]:
    """Returns the options on pretrained weights as settings of ``train``; options not set are omitted."""
    options = {
        "pretrained": str(pretrained) if pretrained else None,
        "pretrained_layers": layers or None,
        "freeze": freeze or None,
        "unfreeze_after": unfreeze_after,
        "layerwise_lr": rate,
    }
    return {name: value for name, value in options.items() if value is not None}


def build_config(
    recipe: str | None,
    file: Path | None,
    settings: list[str] | None,
    group: str | None = None,
    skip_bad_rows: bool = False,
    train: dict[str, Any] | None = None,
    *,
    task: Task | None = None,
    data: Path | None = None,
    target: str | None = None,
) -> Config:
    """Settings of the recipe, then the file's, then ``--set``'s, then the options', later ones winning.

    The task is the one given, or the settings', or forecasting where a target is given, or the named
    recipe's, or what the data file's name says; without a recipe's name it begins with the task's own.

    Raises:
        ConfigError: an unknown recipe or key, or a value out of its range.
    """
    from recurra.config import Config, load_recipe, parse_set, read_settings, recipe_under
    from recurra.tasks.registry import default_recipe, task_of_file

    options: dict[str, Any] = {}
    if group is not None:
        options["group"] = group
    if skip_bad_rows:
        options["skip_bad_rows"] = True
    from_file = read_settings(file) if file else {}
    assigned = [parse_set(one) for one in settings or []]
    named = recipe or from_file.pop("recipe", None)
    from_file.pop("recipe", None)
    own = {} if target is None else {"series": {"target": target}}
    wanted = task or from_file.get("task") or ("forecast" if target is not None else None)
    if wanted is None:
        spoken = task_of_file(data) if data else "classify"
        wanted = load_recipe(str(named)).get("task", "classify") if named else spoken
    given = (from_file, *assigned, {"task": wanted, "data": options, "train": train or {}, **own})
    base = recipe_under(str(named) if named else default_recipe(wanted), *given)
    return Config.build(base, *given, where=file)
