"""Why a network forgets: `recurra inspect MODEL memory`, for any task, or a recipe's untrained network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurra.config import load_recipe, recipe_names
from recurra.errors import ConfigError, DataError
from recurra.layers.network import stack_of
from recurra.measure import memory_view
from recurra.measure.memory import measure
from recurra.runtime import use_threads
from recurra.store import AnyBundle
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.texts import official_test
from recurra.tasks.use import load

__all__ = ["memory"]

STEPS = 100  # how far back to look where nothing else is said
FEW = 8  # sequences that should reach that far; else it looks less far
LEAD = 400  # steps read before the first one that counts: the state is then no longer the initial one
LOOKED_AT = 20_000  # sequences of which lengths are known before the distance is chosen


@dataclass(frozen=True)
class _Subject:
    """A network whose memory is looked at, trained or not, and the sequences it is looked at with.

    Attributes:
        name: what to call it.
        bundle: the network and its settings.
        sequences: ``(T, E)`` float32 what its recurrent layers read, one a row.
        where: the file they come from.
    """

    name: str
    bundle: AnyBundle
    sequences: Iterator[Tensor]
    where: str


def memory(
    model: Path,
    data: Path | None,
    reporter: Reporter,
    *,
    fresh: bool = False,
    steps: int | None = None,
    texts: int = 32,
    out: Path | None = None,
) -> dict[str, Any]:
    """Why a network forgets: `recurra inspect MODEL memory`.

    Args:
        model: a model's directory, or the name of a recipe, which stands for its untrained network.
        data: rows to look with; the model's training file, for a recipe the built-in sample, if None.
        reporter: receives the figures.
        fresh: the model's network with the weights its training began with.
        steps: how far back to look; None for 100, or as far as 8 of the rows reach.
        texts: how many rows to look at.
        out: a figure to write, ``.html``, ``.png`` or ``.svg``.

    Raises:
        RecurraError: no model there, no usable rows, none longer than ``steps``, or no place for the figure.
    """
    use_threads()
    for name, value in (("--steps", steps), ("--texts", texts)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}", hint="give a number of 1 or more")
    if out is not None:
        memory_view.check_place(out)
    subject = _subject(model, data, fresh)
    kept, steps = _long_ones(subject, steps, texts)
    lengths = sorted(len(one) for one in kept)
    reporter.step("Memory")
    reporter.facts(
        {
            "network": subject.name,
            "looked at": f"{subject.where}: {len(kept)} sequences of more than {steps} steps, "
            f"{lengths[len(lengths) // 2]} in the median",
        }
    )
    found = measure(stack_of(subject.bundle.model), [one[-(steps + 1 + LEAD) :] for one in kept], steps)
    told = {**memory_view.sentences(found), **_besides(subject.bundle)}
    reporter.table("", *memory_view.table(found))
    for sentence in told.values():
        reporter.note(sentence)
    if out is not None:
        memory_view.write_figure(found, out, f"Memory of {subject.name}", told)
        reporter.note(f"figure: {out}")
    return {
        "model": str(model),
        "network": subject.name,
        "source": subject.where,
        **found.model_dump(mode="json"),
        "sentences": told,
        "out": str(out) if out else None,
    }


def _besides(bundle: AnyBundle) -> dict[str, str]:
    """What shortens the way from a far step to the answer."""
    model = bundle.config.model
    if getattr(bundle.model, "pooling", None) is not None:
        return {
            "pooling": f"The head reads all states ({model.pooling}): a step far back reaches it without "
            "passing through all of that."
        }
    if model.bidirectional:
        return {
            "direction": "The backward direction ends at the first word, so for it these distances count "
            "from there."
        }
    return {}


def _subject(model: Path, data: Path | None, fresh: bool) -> _Subject:
    """The network of a model's directory or of a recipe, and its rows."""
    if not model.exists() and str(model) in recipe_names():
        return _recipe(str(model), data)
    bundle = load(model)
    task = task_named(bundle.task)
    path = data or _training_file(bundle, model)
    if fresh:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(bundle.config.train.seed)
            bundle = replace(bundle, model=task.build(bundle.config, bundle.assets).eval())
    return _Subject(
        f"{model}{', untrained' if fresh else ''}", bundle, task.sequences(bundle, path), str(path)
    )


def _recipe(name: str, data: Path | None) -> _Subject:
    """The network of a recipe with the weights that ``fit`` would begin with."""
    config = build_config(load_recipe(name))
    untrained = task_named(config.task).untrained
    if untrained is None:
        raise ConfigError(
            f"is a recipe of task {config.task}: its network is known once it is fitted",
            where=name,
            hint="give a model's directory, perhaps with --fresh",
        )
    bundle, sequences = untrained(config, data)
    where = "the built-in sample" if data is None else str(data)
    return _Subject(f"{name}, untrained", bundle, sequences, where)


def _training_file(bundle: AnyBundle, model: Path) -> Path:
    recorded = bundle.metrics.get("training", {}).get("data")
    if recorded is None or not Path(recorded).exists():
        raise DataError(f"the training file {recorded or ''} is not there", where=model, hint="name a file")
    return official_test(Path(recorded), None)[0]


def _long_ones(subject: _Subject, steps: int | None, wanted: int) -> tuple[list[Tensor], int]:
    """The first sequences of more than ``steps`` steps, and how far back they let one look."""
    longest = found = 0
    kept: list[Tensor] = []
    for looked, one in enumerate(subject.sequences, start=1):
        longest = max(longest, len(one))
        if len(one) > (steps or 1):
            kept.append(one)
            found += len(one) > (steps or STEPS)
        if found >= wanted or (steps is None and looked >= LOOKED_AT):
            break
    if not kept:
        least = steps or 1
        raise DataError(
            f"nothing has more than {least:,} {'step' if least == 1 else 'steps'}, the longest has "
            f"{longest:,}",
            where=subject.where,
            hint="give other data, or a smaller --steps" if least > 1 else "give other data",
        )
    if steps is None:
        lengths = sorted((len(one) for one in kept), reverse=True)
        steps = min(STEPS, lengths[min(FEW, len(lengths)) - 1] - 1)
    return [one for one in kept if len(one) > steps][:wanted], steps
