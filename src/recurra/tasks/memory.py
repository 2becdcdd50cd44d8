"""Why a network forgets: `recurra inspect MODEL memory`, for any task, or a recipe's untrained network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurra.config import load_recipe, recipe_names
from recurra.errors import ConfigError, DataError
from recurra.layers import Recurrent
from recurra.measure import memory_view
from recurra.measure.memory import Memory, measure
from recurra.runtime import use_threads
from recurra.store import AnyBundle
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.texts import official_test
from recurra.tasks.use import bundle_of

__all__ = ["inspect_memory", "memory"]

STEPS = 100  # how far back to look where nothing else is said
FEW = 8  # sequences that should reach that far; else it looks less far
LEAD = 400  # steps read before the first one that counts: the state is then no longer the initial one
LOOKED_AT = 20_000  # sequences of which lengths are known before the distance is chosen


@dataclass(frozen=True)
class _Subject:
    """Recurrent layers, trained or not, and the sequences that they are measured with.

    Attributes:
        name: what to call the network.
        stack: its recurrent layers.
        sequences: ``(T, E)`` float32 inputs of the first layer, one a row.
        where: the file that they come from, or None.
        notes: sentences about the rest of the network, by topic.
    """

    name: str
    stack: Recurrent
    sequences: Iterable[Tensor]
    where: str | None
    notes: dict[str, str] = field(default_factory=dict)


def memory(
    model: Any,
    data: str | Path | Sequence[Tensor] | None = None,
    *,
    fresh: bool = False,
    steps: int | None = None,
    texts: int = 32,
) -> Memory:
    """Measures how far back a network's last state depends on its inputs, and why.

    The figures are the gradient of the last state by distance, the spectral radius of the recurrent
    matrices, what is left of a state without input, and how far the gates are open (Bengio et al. 1994;
    Pascanu et al. 2013). `recurra inspect MODEL memory` prints the same figures.

    Args:
        model: A model's directory, the name of a recipe (its untrained network), a bundle, a fitted
            estimator, or a recurrent layer such as `recurra.LSTM`.
        data: A file of rows, or tensors of shape ``(T, E)``, the inputs of the first recurrent layer. If
            None, the model's training file, for a recipe the built-in sample; a layer needs tensors.
        fresh: Whether to measure a model's network with the weights that its training began with.
        steps: Distance to measure, in steps. If None, 100, or as far as 8 of the rows reach.
        texts: Number of rows to measure with, taken from those of more than ``steps`` steps.

    Returns:
        The figures as a record; ``model_dump()`` gives them as a dictionary.

    Raises:
        RecurraError: There is no model, or no row has more than ``steps`` steps.

    Example:
        >>> import recurra
        >>> layer = recurra.GRU(3, 4)
        >>> figures = recurra.memory(layer, [torch.randn(30, 3) for _ in range(4)], steps=10)
        >>> len(figures.gradient.median), figures.last.carry.gate
        (11, 'update')
    """
    _check_counts(steps=steps, texts=texts)
    subject = _subject(model, data, fresh)
    kept, steps = _long_ones(subject, steps, texts)
    return _measure(subject, kept, steps)


def inspect_memory(
    model: Path,
    data: Path | None,
    reporter: Reporter,
    *,
    fresh: bool = False,
    steps: int | None = None,
    texts: int = 32,
    out: Path | None = None,
) -> dict[str, Any]:
    """Reports how far back a network remembers: `recurra inspect MODEL memory`.

    Args:
        model: a model's directory, or the name of a recipe.
        data: rows to measure with; as in `memory` if None.
        reporter: receives the figures.
        fresh: as in `memory`.
        steps: as in `memory`.
        texts: as in `memory`.
        out: a figure to write, ``.html``, ``.png`` or ``.svg``.

    Raises:
        RecurraError: as `memory` does, or the figure can't be written there.
    """
    use_threads()
    _check_counts(**{"--steps": steps, "--texts": texts})
    if out is not None:
        memory_view.check_place(out)
    subject = _subject(model, data, fresh)
    kept, steps = _long_ones(subject, steps, texts)
    lengths = sorted(len(sequence) for sequence in kept)
    reporter.step("Memory")
    reporter.facts(
        {
            "network": subject.name,
            "looked at": f"{subject.where}: {len(kept)} sequences of more than {steps} steps, "
            f"{lengths[len(lengths) // 2]} in the median",
        }
    )
    figures = _measure(subject, kept, steps)
    sentences = {**memory_view.sentences(figures), **subject.notes}
    reporter.table("", *memory_view.table(figures))
    for sentence in sentences.values():
        reporter.note(sentence)
    if out is not None:
        memory_view.write_figure(figures, out, f"Memory of {subject.name}", sentences)
        reporter.note(f"figure: {out}")
    return {
        "model": str(model),
        "network": subject.name,
        "source": subject.where,
        **figures.model_dump(mode="json"),
        "sentences": sentences,
        "out": str(out) if out else None,
    }


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}", hint="give a number of 1 or more")


def _measure(subject: _Subject, kept: list[Tensor], steps: int) -> Memory:
    return measure(subject.stack, [sequence[-(steps + 1 + LEAD) :] for sequence in kept], steps)


def _besides(bundle: AnyBundle) -> dict[str, str]:
    """Sentences about what shortens the way from a far step to the answer."""
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


def _subject(model: Any, data: str | Path | Sequence[Tensor] | None, fresh: bool) -> _Subject:
    """The recurrent layers of what `memory` accepts, and their sequences."""
    tensors = None if data is None or isinstance(data, str | Path) else data
    if isinstance(model, Recurrent):
        if tensors is None:
            raise ConfigError("a layer has no data of its own", hint="give tensors of shape (T, E)")
        return _Subject(model.spec.title, model, tensors, None)
    is_name = isinstance(model, str | Path)
    file = Path(data) if isinstance(data, str | Path) else None
    if is_name and not Path(model).exists() and str(model) in recipe_names():
        bundle, sequences, name = *_untrained(str(model), file), f"{model}, untrained"
        where = "the built-in sample" if file is None else str(file)
    else:
        bundle = bundle_of(model)
        task = task_named(bundle.task)
        name = (str(model) if is_name else type(model).__name__) + (", untrained" if fresh else "")
        where = ""
        if tensors is None:
            file = file or _training_file(bundle, model if is_name else None)
            where, sequences = str(file), task.sequences(bundle, file)
        if fresh:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(bundle.config.train.seed)
                bundle = replace(bundle, model=task.build(bundle.config, bundle.assets).eval())
    if tensors is not None:
        sequences, where = iter(tensors), ""
    return _Subject(name, bundle.model.recurrent, sequences, where or None, _besides(bundle))


def _untrained(recipe: str, data: Path | None) -> tuple[AnyBundle, Iterator[Tensor]]:
    """The network of a recipe with the weights that ``fit`` would begin with, and sequences for it."""
    config = build_config(load_recipe(recipe))
    untrained = task_named(config.task).untrained
    if untrained is None:
        raise ConfigError(
            f"is a recipe of task {config.task}: its network is known once it is fitted",
            where=recipe,
            hint="give a model's directory, perhaps with --fresh",
        )
    return untrained(config, data)


def _training_file(bundle: AnyBundle, model: str | Path | None) -> Path:
    recorded = bundle.metrics.get("training", {}).get("data")
    if recorded is None or not Path(recorded).exists():
        name = f"the training file {recorded}" if recorded else "the training file"
        raise DataError(f"{name} is not there", where=model, hint="name a file")
    return official_test(Path(recorded), None)[0]


def _long_ones(subject: _Subject, steps: int | None, wanted: int) -> tuple[list[Tensor], int]:
    """The first ``wanted`` sequences of more than ``steps`` steps, and the distance to measure."""
    longest = long_enough = 0
    kept: list[Tensor] = []
    for looked, sequence in enumerate(subject.sequences, start=1):
        longest = max(longest, len(sequence))
        if len(sequence) > (steps or 1):
            kept.append(sequence)
            long_enough += len(sequence) > (steps or STEPS)
        if long_enough >= wanted or (steps is None and looked >= LOOKED_AT):
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
        lengths = sorted((len(sequence) for sequence in kept), reverse=True)
        steps = min(STEPS, lengths[min(FEW, len(lengths)) - 1] - 1)
    return [sequence for sequence in kept if len(sequence) > steps][:wanted], steps
