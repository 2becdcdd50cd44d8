"""`recurra inspect MODEL memory`: how far back a network remembers, for models and for recipes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurra.config import load_recipe, recipe_names
from recurra.errors import ConfigError, DataError
from recurra.generators import initial_weights
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

STEPS = 100  # default distance
MIN_SEQUENCES = 8  # sequences that must be longer than the distance; otherwise the distance is reduced
LEAD = 400  # steps before the measured ones, so that the state no longer depends on the initial state
MAX_SEQUENCES = 20_000  # sequences whose lengths are used to choose the distance


@dataclass(frozen=True)
class _Subject:
    """Recurrent layers, trained or not, and the sequences that they are measured with.

    Attributes:
        name: name of the network in messages.
        stack: its recurrent layers.
        sequences: inputs of the first layer for each row, of shape (T, E), float32.
        where: the file of the rows, or None.
        notes: sentences about other parts of the network, by topic.
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
    radius: float | None = None,
    steps: int | None = None,
    texts: int = 32,
) -> Memory:
    """Measures how far back the last state of a network depends on its inputs.

    The results are the gradient of the last state by distance, the spectral radius of the recurrent matrices,
    the decay of a state without input, and the mean opening of the gates (Bengio et al. 1994; Pascanu et al.
    2013). `recurra inspect MODEL memory` prints the same results.

    Args:
        model: a model directory, the name of a recipe (for its untrained network), a bundle, a fitted
            estimator, or a recurrent layer such as `recurra.LSTM`.
        data: a file of rows, or tensors of shape (T, E), the inputs of the first recurrent layer. If None,
            the training file of the model, or the built-in sample for a recipe; a layer requires tensors.
        fresh: whether to use the initial weights of the training of a model.
        radius: spectral radius to which each block of the recurrent matrices is scaled before measuring; the
            model is not changed. If None, the matrices are measured as they are.
        steps: distance to measure, in steps; if None, 100, or the largest one for which 8 rows are long
            enough.
        texts: number of rows to measure, from those with more than ``steps`` steps.

    Returns:
        The results as a record; ``model_dump()`` returns them as a dictionary.

    Raises:
        RecurraError: there is no model, no row has more than ``steps`` steps, or ``radius`` is not a positive
            number or the cell has no recurrent matrix.

    Example:
        >>> import recurra
        >>> layer = recurra.GRU(3, 4)
        >>> figures = recurra.memory(layer, [torch.randn(30, 3) for _ in range(4)], steps=10)
        >>> len(figures.gradient.median), figures.last.carry.gate
        (11, 'update')
    """
    _check_counts(steps=steps, texts=texts)
    subject = _subject(model, data, fresh)
    if radius is not None:
        subject = replace(subject, stack=_of_radius(subject.stack, radius))
    sequences, steps = _long_sequences(subject, steps, texts)
    return _measure(subject, sequences, steps)


def inspect_memory(
    model: Path,
    data: Path | None,
    reporter: Reporter,
    *,
    fresh: bool = False,
    beside: Sequence[Path] = (),
    radii: Sequence[float] = (),
    steps: int | None = None,
    texts: int = 32,
    out: Path | None = None,
) -> dict[str, Any]:
    """Reports how far back a network remembers: `recurra inspect MODEL memory`.

    Args:
        model: a model directory, or the name of a recipe.
        beside: further ones, measured over the same distance and reported beside the first.
        radii: spectral radii; each network is measured with its recurrent matrices scaled to each of them.
        data: a file of rows; if None, see `memory`.
        reporter: receives the results.
        fresh, steps, texts: see `memory`.
        out: file of a figure to write, ``.html``, ``.png`` or ``.svg``.

    Raises:
        RecurraError: see `memory`; or the figure can't be written.
    """
    use_threads()
    _check_counts(**{"--steps": steps, "--texts": texts})
    if out is not None:
        memory_view.check_place(out)
    subjects = [_subject(place, data, fresh) for place in (model, *beside)]
    found = [_long_sequences(subject, steps, texts) for subject in subjects]
    steps = min(distance for _, distance in found)
    reporter.step("Memory")
    results: dict[str, Memory] = {}
    sources: dict[str, str | None] = {}
    sentences: dict[str, dict[str, str]] = {}
    for subject, (sequences, _) in zip(subjects, found, strict=True):
        lengths = sorted(len(sequence) for sequence in sequences)
        count = f"{len(sequences)} sequences of more than {steps} steps, median {lengths[len(lengths) // 2]}"
        reporter.facts({"network": subject.name, "data": f"{subject.where}: {count}"})
        for radius in radii or (None,):
            name = subject.name if radius is None else f"{subject.name}, radius {radius:g}"
            if name in results:
                raise ConfigError(f"{name} is given twice", hint="name each network and radius once")
            stack = subject.stack if radius is None else _of_radius(subject.stack, radius)
            results[name] = _measure(replace(subject, stack=stack), sequences, steps)
            sources[name] = subject.where
            sentences[name] = {**memory_view.sentences(results[name]), **subject.notes}
    reporter.table("", *memory_view.table(results))
    for name, lines in sentences.items():
        if len(results) > 1:
            reporter.step(name)
        for sentence in lines.values():
            reporter.note(sentence)
    if out is not None:
        names = list(results)
        title = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        memory_view.write_figure(results, out, f"Memory of {title}", sentences)
        reporter.step("Saved")
        reporter.note(f"figure: {out}")
    records = [
        {
            "network": name,
            "source": sources[name],
            **memory.model_dump(mode="json"),
            "sentences": sentences[name],
        }
        for name, memory in results.items()
    ]
    whole = records[0] if len(records) == 1 else {"networks": records}
    return {"model": str(model), **whole, "out": str(out) if out else None}


def _of_radius(stack: Recurrent, radius: float) -> Recurrent:
    """A copy of recurrent layers whose recurrent blocks have a given spectral radius."""
    if not 0 < radius < float("inf"):
        raise ConfigError(f"radius is {radius}", hint="give a number above 0")
    scaled = copy.deepcopy(stack).requires_grad_(False)
    for depth in range(scaled.layers):
        for suffix in scaled.suffixes(depth):
            blocks = scaled.spec.recurrent_blocks(scaled.weights(suffix))
            if not blocks:
                raise ConfigError(f"{scaled.spec.title} has no recurrent matrix to scale")
            for block in blocks.values():
                found = float(torch.linalg.eigvals(block.double()).abs().max())
                block.mul_(radius / found if found else 1.0)
    return scaled


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}", hint="use a number of 1 or more")


def _measure(subject: _Subject, sequences: list[Tensor], steps: int) -> Memory:
    return measure(subject.stack, [sequence[-(steps + 1 + LEAD) :] for sequence in sequences], steps)


def _besides(bundle: AnyBundle) -> dict[str, str]:
    """Returns sentences about parts of the network that shorten the path from distant steps to the output."""
    model = bundle.config.model
    if getattr(bundle.model, "pooling", None) is not None:
        ways = " and ".join(model.poolings)
        return {
            "pooling": f"The head uses all states ({ways}): a distant step reaches it without passing "
            "through all later steps."
        }
    if model.bidirectional:
        return {
            "direction": "The backward direction ends at the first word: for it, these distances count "
            "from the first word."
        }
    return {}


def _subject(model: Any, data: str | Path | Sequence[Tensor] | None, fresh: bool) -> _Subject:
    """Returns the recurrent layers of a model that `memory` accepts, and their sequences."""
    tensors = None if data is None or isinstance(data, str | Path) else data
    if isinstance(model, Recurrent):
        if tensors is None:
            raise ConfigError("a layer has no data", hint="pass tensors of shape (T, E)")
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
            with initial_weights(bundle.config.train.seed):
                bundle = replace(bundle, model=task.build(bundle.config, bundle.assets).eval())
    if tensors is not None:
        sequences, where = iter(tensors), ""
    return _Subject(name, bundle.model.recurrent, sequences, where or None, _besides(bundle))


def _untrained(recipe: str, data: Path | None) -> tuple[AnyBundle, Iterator[Tensor]]:
    """Returns the network of a recipe with its initial weights, and sequences for it."""
    config = build_config(load_recipe(recipe))
    untrained = task_named(config.task).untrained
    if untrained is None:
        raise ConfigError(
            f"is a recipe of task {config.task}, whose network depends on the data",
            where=recipe,
            hint="give a model directory, with --fresh for untrained weights",
        )
    return untrained(config, data)


def _training_file(bundle: AnyBundle, model: str | Path | None) -> Path:
    recorded = bundle.metrics.get("training", {}).get("data")
    if recorded is None or not Path(recorded).exists():
        name = f"the training file {recorded}" if recorded else "the training file"
        raise DataError(f"{name} does not exist", where=model, hint="give a file")
    return official_test(Path(recorded), None)[0]


def _long_sequences(subject: _Subject, steps: int | None, count: int) -> tuple[list[Tensor], int]:
    """Returns the first ``count`` sequences of more than ``steps`` steps, and the distance to measure."""
    longest = long_enough = 0
    kept: list[Tensor] = []
    for read, sequence in enumerate(subject.sequences, start=1):
        longest = max(longest, len(sequence))
        if len(sequence) > (steps or 1):
            kept.append(sequence)
            long_enough += len(sequence) > (steps or STEPS)
        if long_enough >= count or (steps is None and read >= MAX_SEQUENCES):
            break
    if not kept:
        minimum = steps or 1
        raise DataError(
            f"no sequence has more than {minimum:,} {'step' if minimum == 1 else 'steps'}; the longest has "
            f"{longest:,}",
            where=subject.where,
            hint="give other data, or a smaller --steps" if minimum > 1 else "give other data",
        )
    if steps is None:
        lengths = sorted((len(sequence) for sequence in kept), reverse=True)
        steps = min(STEPS, lengths[min(MIN_SEQUENCES, len(lengths)) - 1] - 1)
    return [sequence for sequence in kept if len(sequence) > steps][:count], steps
