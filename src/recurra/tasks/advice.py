"""What to try next: if training ended too early, or the model is not shown to be better than its baseline."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recurra.config import TrainConfig
from recurra.measure.report import Step
from recurra.store import AnyBundle
from recurra.tasks.registry import task_info
from recurra.train.loop import Outcome

__all__ = ["next_steps", "still_improving"]

_MOST_DROPOUT = 0.6
# A rate that decreases to 0 makes the last epochs the best ones, by less and less, however long training is.
_LEAST_GAIN = {"constant": 0.0}
_LEAST_GAIN_OF_SCHEDULES = 0.01


def still_improving(outcome: Outcome, train: TrainConfig, minutes: float | None = None) -> str:
    """Returns a sentence if training ended while validation improved, with what to do; otherwise "".

    It did if the last of several epochs was the best one, and was not chosen by early stopping or Ctrl-C. If
    the schedule decreases the rate to 0, the gain of the last epoch must also be 1% of the figure or more.
    ``minutes`` are those of a budget for which less was trained than the settings allow.

    Example:
        >>> from recurra.train.state import EpochRecord
        >>> losses = [EpochRecord(n, n, 1.0, 1.0, 1.0, 1.0, {"valid_loss": 1 / n}) for n in (1, 2)]
        >>> what, further = still_improving(Outcome(losses, 2, "epochs"), TrainConfig(epochs=2)).split(". ")
        >>> print(what)
        Training ended while still improving: in the last epoch the validation loss went from 1.000 to 0.500
        >>> print(further)
        Continue with --set train.epochs=4 --resume
    """
    name = f"valid_{train.monitor}"
    values = [record.metrics[name] for record in outcome.history if name in record.metrics]
    if len(values) < 2 or outcome.stopped in ("patience", "interrupted"):
        return ""
    before, last = values[-2:]
    gain = before - last if train.monitor == "loss" else last - before
    least = _LEAST_GAIN.get(train.schedule, _LEAST_GAIN_OF_SCHEDULES) * abs(before)
    if outcome.best_epoch != len(outcome.history) or gain <= least:
        return ""
    longer = f"--set train.epochs={2 * train.epochs}"
    # Under a schedule the rate has reached 0: a training that continues would begin with a jump.
    further = f"Continue with {longer} --resume" if train.schedule == "constant" else f"Train with {longer}"
    if outcome.stopped == "time":
        further = "Allow more time with --minutes"
    if minutes is not None:
        further = f"Train with --minutes {2 * minutes:g}"
    figure = train.monitor.replace("_f1", "-F1").replace("balanced_", "balanced ")
    return (
        f"Training ended while still improving: in the last epoch the validation {figure} went from "
        f"{before:.3f} to {last:.3f}. {further}"
    )


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
