"""Options that several verbs share, and the settings built from them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recurra.engines import ENGINES
from recurra.io.formats import format_named, format_names
from recurra.tasks.registry import TASKS

if TYPE_CHECKING:
    from recurra.config import Config

    _Name = str
    _Engine = str
    _TrainingEngine = str
else:
    _Name = Literal[tuple(task.name for task in TASKS)]
    _Engine = Literal[ENGINES]
    _TrainingEngine = Literal["processes", "ray"]
# Groups of the options in help texts.
DATA, NETWORK, PRETRAINED, RUN = "Data", "Network and training", "Pretrained weights", "Model and run"
_TITLES = [task.title for task in TASKS]


def data_help() -> str:
    """The formats of a data file, for the help text."""
    return ", ".join(format_named(name).title for name in format_names()) + "."


Data = Annotated[Path, typer.Argument(metavar="DATA", help=data_help())]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="The model directory.")]
TaskName = Annotated[
    _Name | None,
    typer.Option(
        help=f"The task: {', '.join(_TITLES[:-1])}, or {_TITLES[-1]}.  "
        "[default: that of the recipe; tag for .conllu; else classify]",
        rich_help_panel=DATA,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="The column to forecast; implies --task forecast.", rich_help_panel=DATA
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line.")]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="A named set of settings: lstm, gru, simple-rnn, bi-lstm, ...  [default: default]",
        rich_help_panel=NETWORK,
    ),
]
ConfigFile = Annotated[Path | None, typer.Option(help="A YAML file of settings.", rich_help_panel=NETWORK)]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting, such as model.units=64. Can be repeated.",
        rich_help_panel=NETWORK,
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        help="Column of groups; rows of a group are not split between training and validation.",
        rich_help_panel=DATA,
    ),
]
FileSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting that describes the file, such as data.text=COLUMN. Can be repeated.",
        rich_help_panel=DATA,
    ),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Skip malformed rows and report them.", rich_help_panel=DATA)
]

Valid = Annotated[
    Path | None, typer.Option(help="A validation file, instead of held-out rows.", rich_help_panel=DATA)
]
Unlabeled = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Texts without labels, to learn from too; those in the test file are left out.",
        rich_help_panel=DATA,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Minutes that everything may take; the epochs are chosen to fit.",
        rich_help_panel=RUN,
    ),
]
Risk = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help='Answer "unsure" below a confidence, fitted on the validation rows so that the share of wrong '
        "answers is below R, such as 0.02 (classify).",
    ),
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Number of parallel runs.  [default: one per processor]")
]
Engine = Annotated[
    _Engine,
    typer.Option(
        help="What makes the runs: processes; ray, on the machines of a Ray cluster; or inline, one by one, "
        "for debugging."
    ),
]
ScoringEngine = Annotated[
    _Engine | None,
    typer.Option(
        help="Where answers are computed: processes; ray, on the machines of a Ray cluster; inline.  "
        "[default: processes, if there is more than one job]"
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster, or auto for that of this machine.  [default: one that is started here]",
    ),
]
Continue = Annotated[
    Path | None,
    typer.Option(
        "--continue",
        metavar="MODEL",
        help="Train this model further on DATA: all its weights, its words and new ones.",
        rich_help_panel=PRETRAINED,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Number of processes that train the network together. torchrun works too.",
        rich_help_panel=RUN,
    ),
]
TrainingEngine = Annotated[
    _TrainingEngine,
    typer.Option(
        help="Where the processes of --workers are: on this machine, or on the nodes of a Ray cluster.",
        rich_help_panel=RUN,
    ),
]
TrainingAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster, or auto for that of this machine.  [default: one that is started here]",
        rich_help_panel=RUN,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.", rich_help_panel=RUN)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing model in --out.", rich_help_panel=RUN)
]

Pretrained = Annotated[
    Path | None,
    typer.Option(
        metavar="EMB",
        help="Initialize the embedding from a model, or from a word2vec, GloVe or fastText file.",
        rich_help_panel=PRETRAINED,
    ),
]
PretrainedLayers = Annotated[
    bool,
    typer.Option(
        "--pretrained-layers",
        help="Initialize the recurrent layers from that model too, as many as match.",
        rich_help_panel=PRETRAINED,
    ),
]
Freeze = Annotated[
    bool, typer.Option("--freeze", help="Do not train the pretrained weights.", rich_help_panel=PRETRAINED)
]
UnfreezeAfter = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Freeze the pretrained weights for N epochs, then train them.",
        rich_help_panel=PRETRAINED,
    ),
]
LayerwiseRate = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Learning rate of each layer: X times that of the layer above, e.g. 0.4.",
        rich_help_panel=PRETRAINED,
    ),
]


def default_out(data: Path, what: str) -> Path:
    """Returns ``NAME-model``, in the working directory, for the data file ``NAME.csv.gz`` and ``model``."""
    return Path(f"{data.absolute().name.partition('.')[0] or 'recurra'}-{what}")


def numbers(text: str, option: str) -> list[float]:
    """Returns the numbers of an option, separated by commas.

    Raises:
        ConfigError: a part of ``text`` is not a number.

    Example:
        >>> numbers("0.9, 1.1", "--radius")
        [0.9, 1.1]
    """
    from recurra.errors import ConfigError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} is {text!r}", hint="give numbers separated by commas") from None


def column_names(text: str) -> list[str]:
    """Returns the names of columns of an option, separated by commas; a name with a comma is quoted.

    Example:
        >>> column_names('id,"price, net"')
        ['id', 'price, net']
    """
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def given(**options: Any) -> dict[str, Any]:
    """Returns the options that are set, i.e. neither None nor False."""
    return {name: value for name, value in options.items() if value is not None and value is not False}


def file_settings(settings: list[str] | None, skip_bad_rows: bool) -> dict[str, Any]:
    """Merges ``--set`` and ``--skip-bad-rows`` of a verb that reads a file with a saved model.

    Raises:
        ConfigError: ``--set`` is not KEY=VALUE.
    """
    from recurra.config import merged_settings
    from recurra.tasks.settings import parse_assignment

    assigned = [parse_assignment(assignment) for assignment in settings or []]
    return merged_settings(*assigned, {"data": {"skip_bad_rows": True}} if skip_bad_rows else {})


def chosen_config(
    recipe: str | None,
    file: Path | None,
    settings: list[str] | None,
    group: str | None = None,
    skip_bad_rows: bool = False,
    **options: Any,
) -> Config:
    """Builds the settings of `chosen_layers`, whose arguments and errors it has.

    Raises:
        ConfigError: besides, an unknown key or a value out of its range.
    """
    from recurra.tasks.settings import build_config

    return build_config(*chosen_layers(recipe, file, settings, group, skip_bad_rows, **options), where=file)


def chosen_layers(
    recipe: str | None,
    file: Path | None,
    settings: list[str] | None,
    group: str | None = None,
    skip_bad_rows: bool = False,
    *,
    task: str | None = None,
    data: Path | None = None,
    target: str | None = None,
    unlabeled: bool = False,
    **train: Any,
) -> tuple[dict[str, Any], ...]:
    """Returns the settings of the recipe, the file, ``--set`` and the options; later ones take precedence.

    The task is that of ``--task``, ``--set task=`` or the file; otherwise forecasting if ``target`` is given;
    otherwise that of the named recipe; otherwise it follows from the name of the data file. The recipe is
    that of ``--recipe``, ``--set recipe=`` or the file; otherwise the default recipe of the task, with
    ``unlabeled`` that for texts without labels. ``train``
    are settings of that section; None and False are left out.

    Raises:
        ConfigError: an unknown task or recipe, or ``--set`` or ``--config`` contradict ``--task`` or
            ``--recipe``.
    """
    from recurra.config import load_recipe, merged_settings, read_settings
    from recurra.tasks.registry import task_info, task_of_file
    from recurra.tasks.settings import parse_assignment, recipe_under

    from_file = read_settings(file) if file else {}
    assigned = merged_settings(*(parse_assignment(assignment) for assignment in settings or []))
    check_agreement("--task", task, "--set task", assigned.get("task"))
    check_agreement("--task", task, f"{file}: task", from_file.get("task"))
    check_agreement("--recipe", recipe, "--set recipe", assigned.get("recipe"))
    in_settings, in_file = assigned.pop("recipe", None), from_file.pop("recipe", None)
    named = recipe or in_settings or in_file
    chosen = task or assigned.get("task", from_file.get("task"))
    if chosen is None and target is not None:
        chosen = "forecast"
    if chosen is None and named is not None:
        chosen = load_recipe(str(named)).get("task")
    if chosen is not None:
        info = task_info(chosen)
    else:
        columns = assigned.get("data")
        texts = isinstance(columns, dict) and not {"text", "label"}.isdisjoint(columns)
        info = TASKS[0] if named or texts or data is None else task_of_file(data)
    series = {} if target is None else {"series": {"target": target}}
    columns = given(group=group, skip_bad_rows=skip_bad_rows)
    layers = (from_file, assigned, {"task": info.name, "data": columns, "train": given(**train), **series})
    default = (info.recipe_with_unlabeled if unlabeled else None) or info.recipe
    base = recipe_under(str(named) if named else default, *layers)
    return (base, *layers)


def check_agreement(option: str, value: str | None, setting: str, other: Any) -> None:
    """Checks that a setting does not contradict an option.

    Raises:
        ConfigError: both are given and differ.
    """
    from recurra.errors import ConfigError

    if value is not None and other is not None and other != value:
        raise ConfigError(f"{option} is {value}, but {setting} is {other}", hint="remove one of them")
