"""What to try when a model is not shown to be better than its baseline, as sentences with commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recurra.measure.report import Step
from recurra.store import AnyBundle
from recurra.tasks.registry import task_info

__all__ = ["next_steps"]

_MOST_DROPOUT = 0.6


def next_steps(bundle: AnyBundle, folder: Path, command: str = "") -> list[Step]:
    """Returns what may make a model better, by how its training went.

    Args:
        bundle: The model; ``metrics["training"]`` is the record of its training.
        folder: The model's directory, as the user names it.
        command: The command that trained it; if it is empty or another verb, the commands use the settings of
            the model's directory.
    """
    record, config = bundle.metrics.get("training", {}), bundle.config
    again = _again(command, record, folder)
    best, epochs = record.get("best_epoch", 0), record.get("epochs", 0)
    plan = _reducing(record)
    steps = []
    if record.get("stopped") == "interrupted":
        steps.append(
            Step(
                text="Training was interrupted. Let it end.",
                command=_with(again, out=folder, flags=["--resume"]),
            )
        )
    elif plan and best == epochs:
        whole = {"train.epochs": plan["of_epochs"], "train.steps_per_epoch": "null"}
        steps.append(
            Step(
                text=f"{plan['minutes']:g} minutes were too short for the network. Give it more time.",
                command=_with(
                    again,
                    whole if "--config" in again else None,
                    folder,
                    "longer",
                    ["--minutes", f"{2 * plan['minutes']:g}"],
                ),
            )
        )
    elif record.get("stopped") == "epochs" and best == epochs:
        steps.append(
            Step(
                text="The last epoch was the best one. Train for longer.",
                command=_with(again, {"train.epochs": 2 * config.train.epochs}, folder, "longer"),
            )
        )
    elif 0 < best < epochs:
        rate = min(_MOST_DROPOUT, round(_largest(config.model.dropout) + 0.3, 2))
        steps.append(
            Step(
                text=f"Validation was best after epoch {best} of {epochs}; after it the network fitted its "
                "training rows only. Use more dropout.",
                command=_with(again, {"model.dropout": rate}, folder, "dropout"),
            )
        )
    if task_info(config.task).words and bundle.pretrained is None:
        steps.append(
            Step(
                text="The network learns its words from the training rows alone. Pretrain them on more texts "
                "of this kind, which need no labels.",
                command=f"recurra pretrain TEXTS --task lm --out words\n"
                f"{_with(again, None, folder, 'pretrained')} --pretrained words",
            )
        )
    units = 2 * int(_largest(config.model.units))
    other = next(name for name in ("gru", "lstm") if name != config.model.cell)
    recipe = config.recipe or task_info(config.task).recipe
    arms = [recipe, *(f"{recipe}+model.{key}" for key in (f"cell={other}", f"units={units}"))]
    data = shlex.quote(again[2])
    steps.append(
        Step(
            text="Compare other networks on the same rows.",
            command=f"recurra compare {data} --recipes {','.join(arms)}",
        )
    )
    return steps


def _reducing(record: dict[str, Any]) -> dict[str, Any]:
    """The plan for a budget of minutes, if less was trained for it; an empty mapping otherwise."""
    plan = record.get("plan") or {}
    less = any(plan[name] != plan[f"of_{name}"] for name in ("epochs", "steps_per_epoch") if plan)
    return plan if less or record.get("stopped") == "time" else {}


def _again(command: str, record: dict[str, Any], folder: Path) -> list[str]:
    """The words of a command that trains the model again; the third is the training file."""
    words = shlex.split(command)
    if words[:2] == ["recurra", "fit"] and len(words) > 2 and not words[2].startswith("-"):
        return [word for word in words if word not in ("--resume", "--overwrite")]
    words = ["recurra", "fit", record.get("data", "DATA"), "--config", str(folder / "config.yaml")]
    return words + (["--valid", record["valid"]] if record.get("valid") else [])


def _with(
    words: Sequence[str],
    settings: dict[str, object] | None = None,
    out: Path = Path(),
    name: str = "",
    flags: Sequence[str] = (),
) -> str:
    """A command with further settings and another directory; of options given twice the last one counts."""
    assigned = [word for key, value in (settings or {}).items() for word in ("--set", f"{key}={value}")]
    target = out.parent / f"{out.name}-{name}" if name else out
    return shlex.join([*words, *assigned, "--out", str(target), *flags])


def _largest(value: float | Sequence[float]) -> float:
    return max(value) if isinstance(value, Sequence) else value
