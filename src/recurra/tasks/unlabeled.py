"""What a network learns from texts without labels: a language model of them, whose weights begin it.

The language model reads the training rows and the unlabelled texts, with the vocabulary, the embedding and
the recurrent layers of the network that begins from it (Dai and Le 2015; Howard and Ruder 2018).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np

from recurra import store
from recurra.config import Config, TextConfig
from recurra.directories import Claim
from recurra.errors import BundleError, ConfigError
from recurra.io.cache import cache_folder, cached_examples, content_key
from recurra.io.examples import Chunk, Examples
from recurra.io.tokenizer import TextTokenizer
from recurra.io.usage import make_room, mark_used
from recurra.store import AnyBundle
from recurra.tasks.base import Prepared, Task
from recurra.tasks.corpus import Corpus
from recurra.tasks.minutes import Budget
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.texts import Part, TextAssets
from recurra.tasks.training import train_bundle
from recurra.tasks.transfer import Pretrained
from recurra.tasks.use import load

__all__ = ["language_model", "learned"]

P = TypeVar("P", bound=Prepared[Any, Any, Any])
_TEXTS_CHUNK = 1_024
_WHOLE_TEXT = 1_000_000  # tokens: a language model reads to the end of a text
# Texts that validate the language model. 200 IMDB reviews have 54,000 tokens, whose probabilities among
# 30,000 words take some seconds.
_HELD_OUT = 200
_WARMUP_STEPS = 100
_SHARE_OF_MINUTES = 0.6
_SHARE_OF_TEACHER = 0.3
_SHARED = ("cell", "units", "layers", "activation", "embedding", "initial_weights", "backend", "precision")


def learned(
    task: Task[P, Any],
    prepared: P,
    pretrained: Pretrained | None,
    reporter: Reporter,
    minutes: float | None = None,
) -> tuple[P, Pretrained | None]:
    """Returns the data and the initial weights of a network that learns from unlabelled texts too.

    What it learns is set by ``unlabeled.method``. Arguments and errors are those of `language_model`;
    ``pretrained`` are the initial weights without a language model.
    """
    method = prepared.config.unlabeled.method
    if method != "soft_labels":
        pretrained = language_model(prepared, reporter, minutes)
    if method != "language_model" and task.with_soft_labels is not None:
        seconds = float("inf") if minutes is None else 60 * _SHARE_OF_TEACHER * minutes
        prepared = task.with_soft_labels(prepared, reporter, seconds)
    return prepared, pretrained


def language_model(
    prepared: Prepared[Any, Any, Any], reporter: Reporter, minutes: float | None = None
) -> Pretrained:
    """Returns a language model of the training rows and the unlabelled texts, from the cache if it is there.

    It is trained in the cache folder, with checkpoints: after an interruption the same call continues, bit
    for bit. If the whole fit is limited to ``minutes``, this has three fifths of them, and each limit has a
    model of its own in the cache.

    Raises:
        KeyboardInterrupt: training was interrupted; the message says that it can be continued.
        ConfigError: the network is bidirectional, which a language model can't be.
        OutputError: another process is training the same language model.
    """
    config, corpus = _settings(prepared.config, minutes), prepared.corpus
    assert corpus is not None  # noqa: S101  # the caller has prepared unlabelled texts
    reporter.step("Unlabelled texts")
    tokenizer = TextTokenizer.from_json(prepared.assets.tokenizer.to_json(), config.tokenizer)
    examples = _examples(prepared, corpus, tokenizer, reporter)
    digest, lengths = (
        hashlib.sha256(column.tobytes()).hexdigest() for column in (examples.flat, examples.lengths)
    )
    settings = {name: section for name, section in config.plain().items() if name not in ("recipe", "data")}
    key = content_key([], digest, lengths, tokenizer.fingerprint, json.dumps(settings, sort_keys=True))
    folder = cache_folder() / f"{key}.language-model"
    count = len(examples)
    reporter.facts(
        {"language model": f"of {count:,} texts, {len(examples.flat):,} tokens, {config.train.epochs} epochs"}
    )
    if store.is_bundle(folder):
        reporter.note("this language model was trained before: it is taken from the cache")
    else:
        with store.claimed(folder) as claim:
            bundle = _trained(_prepared(config, tokenizer, examples, corpus.name, key), claim, reporter)
            store.save(bundle, claim)
            shutil.rmtree(claim.folder / store.TRAINING, ignore_errors=True)
            make_room(folder.parent, folder)
    mark_used(folder)
    bundle = load(folder)
    name = f"a language model of {corpus.name}"
    return Pretrained(name, store.weights_digest(folder), config.model.embedding, bundle, with_layers=True)


def _settings(config: Any, minutes: float | None) -> TextConfig:
    """Returns the settings of the language model: the network's, with those of the section ``unlabeled``."""
    section = config.unlabeled
    if config.model.bidirectional:
        raise ConfigError(
            "is set, and a language model, from which the network begins, reads in one direction",
            where="model.bidirectional",
            hint="set model.bidirectional=false",
        )
    own: dict[str, Any] = {
        "task": "lm",
        "tokenizer": {
            **config.tokenizer.model_dump(),
            "max_tokens": _WHOLE_TEXT,
            "start_token": True,
        },
        "model": {
            **{name: getattr(config.model, name) for name in _SHARED},
            "dropout": section.dropout,
            "head_dropout": section.dropout,
        },
        "language": {"bptt": section.bptt, "tie": True, "output": "sampled", "samples": section.samples},
        "train": {
            **{name: getattr(section, name) for name in ("learning_rate", "batch_size", "epochs", "seed")},
            "schedule": "cosine",
            "warmup_steps": _WARMUP_STEPS,
            "minutes": None if minutes is None else _SHARE_OF_MINUTES * minutes,
            "device": config.train.device,
            "checkpoint_minutes": config.train.checkpoint_minutes,
        },
    }
    settings = build_config(own)
    assert isinstance(settings, TextConfig)  # noqa: S101  # the task's
    return settings


def _examples(
    prepared: Prepared[Any, Any, Part], corpus: Corpus, tokenizer: TextTokenizer, reporter: Reporter
) -> Examples:
    """Returns the token ids of the training rows and the unlabelled texts; those of files are cached."""
    train = prepared.train

    def chunks() -> Iterator[Chunk]:
        texts, first = chain(train.texts(train.rows), corpus), 1
        while chunk := list(islice(texts, _TEXTS_CHUNK)):
            encoded = tokenizer.encode(chunk)
            numbers = np.arange(first, first + len(chunk))
            yield Chunk(encoded.ids, None, numbers, None, encoded.full_lengths, encoded.unknown)
            first += len(chunk)
            tick(len(chunk))

    with reporter.counting("tokenizing", len(train) + len(corpus)) as tick:
        if not prepared.key:  # texts from Python
            return Examples.from_arrays([ids for chunk in chunks() for ids in chunk.ids])
        rows = hashlib.sha256(train.rows.tobytes()).hexdigest()
        key = content_key([], prepared.key, rows, corpus.key, tokenizer.fingerprint, "language model")
        return cached_examples(cache_folder(), key, chunks)


def _prepared(
    config: Config, tokenizer: TextTokenizer, examples: Examples, name: str, key: str
) -> Prepared[Any, Any, Part]:
    """Returns the data of the language model, with some texts held out for its validation."""
    count = len(examples)
    held_out = np.sort(np.random.default_rng(0).permutation(count)[: max(1, min(_HELD_OUT, count // 10))])
    train, valid = (
        Part(part, name, examples, rows, lambda rows: iter(()))
        for part, rows in (
            ("training", np.setdiff1d(np.arange(count), held_out)),
            ("validation", held_out),
        )
    )
    return Prepared(config, TextAssets(tokenizer), train, valid, key=key)


def _trained(data: Prepared[Any, Any, Part], claim: Claim, reporter: Reporter) -> AnyBundle:
    """Returns the trained language model; continues from the checkpoint of an interrupted training."""
    task, folder = task_named(data.config.task), claim.folder / store.TRAINING
    resume, budget = store.has_checkpoint(claim.folder), Budget(data.config.train.minutes)
    try:
        trained = train_bundle(task, data, reporter=reporter, folder=folder, resume=resume, budget=budget)
    except BundleError:  # a damaged checkpoint: no other can be in a folder of this name
        trained = train_bundle(task, data, reporter=reporter, folder=folder, budget=budget)
    if trained.outcome.stopped == "interrupted":
        raise KeyboardInterrupt("the language model's steps are kept: the same command goes on from there")
    bundle: AnyBundle = trained.bundle
    return bundle
