"""A look inside: a data file's defects, a public set's download, a model's layers, one answer's reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recurra import bundle as bundles
from recurra.bundle import ClassifierBundle
from recurra.config import Config, load_recipe, recipe_names
from recurra.errors import ConfigError, DataError
from recurra.evaluate import memory_view
from recurra.evaluate.memory import measure
from recurra.models.classifier import Classifier
from recurra.models.summary import summarize
from recurra.runtime import use_threads
from recurra.tasks.classification.assess import explain_text
from recurra.tasks.classification.prepare import official_test
from recurra.tasks.narrate import Narrator, tell_summary
from recurra.text.check import check, table
from recurra.text.fetch import fetch
from recurra.text.readers import Rows, Source, detect, read
from recurra.text.sample import sample_rows
from recurra.text.tokenizer import TextTokenizer

__all__ = ["check_data", "explain", "fetch_data", "memory", "summary"]

STEPS = 100  # how far back `memory` looks where nothing else is said
FEW = 8  # texts that should reach that far; else it looks less far
LEAD = 400  # words read before the first one that counts: the state is then no longer the initial one
VOCABULARY_TEXTS = 5_000  # from which a recipe without a model learns its words
LOOKED_AT = 20_000  # texts of which lengths are known before the distance is chosen


def check_data(
    data: Path, config: Config, tell: Narrator, *, valid: Path | None = None, test: Path | None = None
) -> dict[str, Any]:
    """What to know of a data file before training on it: `recurra data check`.

    Raises:
        DataError: a file can't be used.
    """
    tell.step("Data check")
    data, test = official_test(data, test)
    source = detect(data, config.data)
    tell.facts(source.describe())
    found = check(source, valid, test, config)
    tell.table("", *table(found))
    for warning in found.warnings:
        tell.warn(warning)
    if not found.warnings:
        tell.note("nothing to complain of")
    return found.model_dump(mode="json")


def fetch_data(
    name: str, folder: Path, tell: Narrator, *, url: str | None = None, local: Path | None = None
) -> dict[str, Any]:
    """Fetch a public data set by name into ``folder``: `recurra data fetch`.

    Raises:
        RecurraError: no such set, no connection, not the right file, or no room.
    """
    place = fetch(name, folder, url=url, local=local, progress=tell.progress)
    tell.note(f"{name} is in {place}")
    tell.note(f"next: recurra fit {place}")
    return {"data_set": name, "folder": str(place)}


def summary(model: Path, tell: Narrator) -> dict[str, Any]:
    """The layers of a saved model, with output shapes and parameters: `recurra inspect MODEL summary`."""
    found = summarize(bundles.load(model).model)
    tell_summary(found, tell)
    layers = [
        {
            "name": row.name,
            "layer": row.layer,
            "output_shape": row.output_shape,
            "parameters": row.parameters,
            "trainable": row.trainable,
        }
        for row in found.rows
    ]
    return {"layers": layers, "total": found.total, "trainable": found.trainable, "frozen": found.frozen}


def explain(model: Path, text: str, tell: Narrator) -> dict[str, Any]:
    """Which words of a text a saved model's answer hangs on: `recurra inspect MODEL explain TEXT`."""
    found = explain_text(bundles.load_as(ClassifierBundle, model), text)
    tell.explanation(found)
    return found.model_dump(mode="json")


@dataclass(frozen=True)
class _Subject:
    """A network whose memory is looked at, trained or not, and the texts it is looked at with."""

    name: str
    model: Classifier
    tokenizer: TextTokenizer
    config: Config
    texts: Iterator[str]
    where: str


def memory(
    model: Path,
    data: Path | None,
    tell: Narrator,
    *,
    fresh: bool = False,
    steps: int | None = None,
    texts: int = 32,
    out: Path | None = None,
) -> dict[str, Any]:
    """Why a network forgets: `recurra inspect MODEL memory`.

    Args:
        model: a model's directory, or the name of a recipe, which stands for its untrained network.
        data: texts to look with; the model's training file, for a recipe the built-in sample, if None.
        tell: hears of the figures.
        fresh: the model's network with the weights its training began with.
        steps: how far back to look; None for 100, or as far as 8 of the texts reach.
        texts: how many texts to look at.
        out: a figure to write, ``.html``, ``.png`` or ``.svg``.

    Raises:
        RecurraError: no model there, no usable texts, none longer than ``steps``, or no place for the figure.
    """
    use_threads()
    for name, value in (("--steps", steps), ("--texts", texts)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}", mend="give a number of 1 or more")
    if out is not None:
        memory_view.check_place(out)
    subject = _subject(model, data, fresh)
    ids, steps = _long_texts(subject, steps, texts)
    tell.step("Memory")
    tell.facts(
        {
            "network": subject.name,
            "texts": f"{subject.where}: {len(ids)} of more than {steps} words, "
            f"{int(np.median([len(one) for one in ids]))} in the median",
        }
    )
    table = subject.model.embedding.weight.detach()
    vectors = [table[torch.from_numpy(one[-(steps + 1 + LEAD) :].astype(np.int64))] for one in ids]
    found = measure(subject.model.recurrent, vectors, steps)
    told = memory_view.sentences(found)
    if subject.config.model.pooling != "last":
        told["pooling"] = (
            f"The head reads all states ({subject.config.model.pooling}): a word far back reaches it without "
            "passing through all of that."
        )
    elif subject.config.model.bidirectional:
        told["direction"] = (
            "The backward direction ends at the first word, so for it these distances count from there."
        )
    tell.table("", *memory_view.table(found))
    for sentence in told.values():
        tell.note(sentence)
    if out is not None:
        memory_view.write_figure(found, out, f"Memory of {subject.name}", told)
        tell.note(f"figure: {out}")
    return {
        "model": str(model),
        "network": subject.name,
        "source": subject.where,
        **found.model_dump(mode="json"),
        "sentences": told,
        "out": str(out) if out else None,
    }


def _subject(model: Path, data: Path | None, fresh: bool) -> _Subject:
    """The network of a model's directory or of a recipe, and its texts."""
    if not model.exists() and str(model) in recipe_names():
        config = Config.build(load_recipe(str(model)))
        source = None if data is None else detect(data, config.data, labelled=False)
        vocabulary = TextTokenizer.train(islice(_all_texts(source), VOCABULARY_TEXTS), config.tokenizer)
        network = _untrained(config, vocabulary, 2, "binary")
        where = "the built-in sample" if data is None else str(data)
        return _Subject(f"{model}, untrained", network, vocabulary, config, _all_texts(source), where)
    bundle = bundles.load_as(ClassifierBundle, model)
    if data is None:
        data, _ = official_test(_training_file(bundle, model), None)
    source = detect(data, bundle.config.data, labelled=False, like=bundle.source)
    network = bundle.model
    if fresh:
        labels = bundle.labels
        network = _untrained(bundle.config, bundle.tokenizer, len(labels.names), labels.task)
    name = f"{model}{', untrained' if fresh else ''}"
    return _Subject(name, network, bundle.tokenizer, bundle.config, _all_texts(source), str(data))


def _training_file(bundle: ClassifierBundle, model: Path) -> Path:
    recorded = bundle.metrics.get("training", {}).get("data")
    if recorded is None or not Path(recorded).exists():
        raise DataError(
            f"the training file {recorded or ''} is not there", where=model, mend="name a file of texts"
        )
    return Path(recorded)


def _untrained(config: Config, tokenizer: TextTokenizer, classes: int, task: str) -> Classifier:
    """The network with the weights that ``fit`` would begin with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        return Classifier(config.model, tokenizer.vocab_size, classes, task).eval()


def _all_texts(source: Source | None) -> Iterator[str]:
    """The texts of a file, or of the built-in sample."""
    if source is None:
        return (row.text for row in sample_rows("en")["train"])
    chunks: Iterable[Rows] = read(source)
    return (text for rows in chunks for text in rows.texts)


def _long_texts(subject: _Subject, steps: int | None, wanted: int) -> tuple[list[NDArray[np.int32]], int]:
    """The first texts of more than ``steps`` tokens, as ids, and how far back they let one look."""
    longest = 0
    kept: list[NDArray[np.int32]] = []
    found = 0
    looked = 0
    while chunk := list(islice(subject.texts, 256)):
        for ids in subject.tokenizer.encode(chunk).ids:
            longest = max(longest, len(ids))
            if len(ids) > (steps or 1):
                kept.append(ids)
                found += len(ids) > (steps or STEPS)
        looked += len(chunk)
        if found >= wanted or (steps is None and looked >= LOOKED_AT):
            break
    if not kept:
        least = steps or 1
        raise DataError(
            f"no text has more than {least:,} {'word' if least == 1 else 'words'}, the longest {longest:,} "
            f"(tokenizer.max_tokens is {subject.config.tokenizer.max_tokens:,})",
            where=subject.where,
            mend="give other texts, or a smaller --steps" if least > 1 else "give other texts",
        )
    if steps is None:
        lengths = sorted((len(ids) for ids in kept), reverse=True)
        steps = min(STEPS, lengths[min(FEW, len(lengths)) - 1] - 1)
    return [ids for ids in kept if len(ids) > steps][:wanted], steps
