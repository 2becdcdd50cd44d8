"""Training that goes on from all weights of a saved model, and what was forgotten of its own rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recurra import store
from recurra.config import Config, updated
from recurra.errors import ConfigError
from recurra.layers.network import Network
from recurra.measure.formatting import sentence
from recurra.measure.study import Scores
from recurra.store import AnyBundle
from recurra.tasks.registry import task_info, task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import load, training_data
from recurra.tasks.versus import compare_scores

if TYPE_CHECKING:
    from recurra.tasks.fit import Fitted

__all__ = ["GoesOn", "continue_files", "forgotten"]

_TRAINED = ("train", "data", "predict")
_SPECIALS = 3
"""Rows of a table of vectors that are no words."""


@dataclass(frozen=True)
class GoesOn:
    """The start of a training at the weights of a model.

    Attributes:
        bundle: the model.
        origin: the record for `Bundle.pretrained`.
    """

    bundle: AnyBundle
    origin: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, bundle: AnyBundle, words: int) -> GoesOn:
        """Returns the start at a model with, after the training, a vocabulary of ``words``."""
        before = bundle.pretrained or {}
        known = len(bundle.assets.words())
        origin = {
            "name": folder.absolute().name,
            "sha256": store.weights_digest(folder),
            "words": known,
            "vocabulary": words,
            "token_share": 1.0,
            "layers": int(before.get("layers", 0)),
            "continued": True,
        }
        return cls(bundle, origin)

    def apply(self, model: Network, *, freeze: bool) -> None:
        """Copies all weights; new words begin at the mean of the others."""
        saved = self.bundle.model.state_dict()
        own = model.state_dict()
        for name, weight in own.items():
            old = saved.get(name)
            if old is None or old.shape[1:] != weight.shape[1:] or len(old) > len(weight):
                raise ConfigError(f"the network is another one than that of the model: {name} differs")
            if old.shape == weight.shape:
                own[name] = old.clone()
            elif name.endswith("embedding.weight"):  # also of characters, and of members of an ensemble
                # without padding, start and unknown word, if there are others
                mean = old[min(_SPECIALS, len(old) - 1) :].mean(dim=0, keepdim=True)
                own[name] = torch.cat([old, mean.repeat(len(weight) - len(old), 1)])
            else:
                raise ConfigError(f"the network is another one than that of the model: {name} differs")
        model.load_state_dict(own)
        if freeze:
            model.freeze(1 + self.origin["layers"])


def continued_config(bundle: AnyBundle, further: Mapping[str, Any]) -> Config:
    """Returns the settings of a model with further ones of data, training and decisions.

    Raises:
        ConfigError: a setting of the network is among ``further``.
    """
    info = task_info(bundle.task)
    allowed = info.file_settings | info.split_settings
    for section, values in further.items():
        if section in _TRAINED:
            continue
        for key in [f"{section}.{name}" for name in values] if isinstance(values, Mapping) else [section]:
            if key not in allowed:
                raise ConfigError(
                    f"{key} is that of the model that is continued", hint="leave it out, or fit a new model"
                )
    base = {"train": {"pretrained": None, "pretrained_layers": False}}
    config: Config = updated(updated(bundle.config, base), dict(further))
    return config


def continue_files(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    overwrite: bool = False,
    command: str = "",
    begun: float | None = None,
    baseline: bool = True,
    workers: int = 1,
    engine: str = "processes",
    address: str | None = None,
    reporter: Reporter | None = None,
) -> Fitted:
    """Trains a saved model further on new rows, and measures what it has forgotten.

    All weights go on. New words of the training rows get vectors in classifiers and taggers, unless the
    network reads n-grams by the numbers of words (``model.evidence``, ``model.bigrams``) or pieces of words.
    A language model keeps its words, and a forecaster its columns and their scales. The n-gram expert stays
    as it is; the weights of both experts are fitted on the new validation rows, and so are thresholds. The
    old validation rows, if the training file is there, tell what was forgotten: ``metrics["forgotten"]``.

    Args:
        model: The model's directory.
        data: New rows, whose classes, tags or columns are those of the model.
        out: The directory of the new model, another one than ``model``.
        settings: Settings of the sections train, data and predict, and those that describe the file, as a
            nested dictionary.
        valid, test: As those of `recurra.tasks.fit.fit_files`.
        overwrite: Whether a model in ``out`` may be replaced.
        command, begun, baseline, workers, engine, address: As those of `fit_files`.
        reporter: Receives the steps.

    Raises:
        ConfigError: A setting is that of the network, or models of the task can't be continued.
        RecurraError: As for `fit_files`.

    Example:
        >>> fitted = recurra.continue_files("my-model", "march.csv", "march-model")  # doctest: +SKIP
        >>> fitted.bundle.metrics["forgotten"]["sentence"]  # doctest: +SKIP
        'no difference shown between the new model and the old one: -0.4 points (-1.2 to +0.4)'
    """
    from recurra.tasks.fit import fit_files

    folder = Path(model)
    bundle = load(folder)
    if task_named(bundle.task).continued is None:
        raise ConfigError(f"models of task {bundle.task} can't be continued", hint="fit a new model")
    if Path(out).absolute() == folder.absolute():
        raise ConfigError(
            "the new model would replace the one that it begins from", hint="give another --out"
        )
    return fit_files(
        Path(data),
        continued_config(bundle, settings or {}),
        Path(out),
        valid=None if valid is None else Path(valid),
        test=None if test is None else Path(test),
        overwrite=overwrite,
        baseline=baseline,
        command=command,
        begun=begun,
        workers=workers,
        engine=engine,
        address=address,
        continued=(folder, bundle),
        reporter=reporter,
    )


def forgotten(before: AnyBundle, after: AnyBundle, reporter: Reporter) -> dict[str, Any] | None:
    """Reports and returns the difference of both models on the validation rows of the first one.

    None if its training file is not there, which is reported.
    """
    task = task_named(before.task)
    prepared = training_data(task, before, None)
    if prepared is None or task.study is None or not len(prepared.valid):
        reporter.warn("what was forgotten is not known: the training file of the first model is not there")
        return None
    criterion, rows = task.study.criterion, prepared.valid
    if task.predicted is not None and task.answered_labels is not None:
        truth, old, _, texts = task.predicted(before, rows)
        answers = (task.answered_labels(after, texts), old)
        scores = [
            Scores(np.array([a == t for a, t in zip(own, truth, strict=True)], bool)) for own in answers
        ]
    else:
        reread = rows if task.renumbered is None else task.renumbered(after, rows)
        scores = [task.study.score(after, reread), task.study.score(before, rows)]
    found = compare_scores(("the new model", "the old one"), criterion, scores)
    difference = found.comparison or found.difference
    assert difference is not None  # noqa: S101  # there is one of both
    reporter.note(
        f"On the {found.rows:,} validation {criterion.rows} of the old model, {difference.sentence}."
    )
    record = {
        **difference.model_dump(mode="json"),
        "rows": found.rows,
        "figure": found.figure,
        "before": found.values[1],
        "after": found.values[0],
    }
    if found.comparison is not None:
        lost, gained = found.comparison.only_second, found.comparison.only_first
        reporter.note(sentence(f"{lost:,} of them are no longer right, and {gained:,} are right now."))
    return record
