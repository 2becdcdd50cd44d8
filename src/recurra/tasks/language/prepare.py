"""Prepares files of texts for a language model: split, tokenized, one stream of tokens per part."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import updated
from recurra.errors import ConfigError, DataError
from recurra.io.detect import detect
from recurra.io.formats import Skipped, Source, format_named, read
from recurra.io.splits import divide
from recurra.io.tokenizer import SPECIALS, UNKNOWN, TextTokenizer
from recurra.tasks.base import Prepared
from recurra.tasks.language.assets import LanguageAssets
from recurra.tasks.language.network import LanguageBundle, refuse_unfit
from recurra.tasks.language.settings import LanguageModelConfig
from recurra.tasks.language.streams import Streams, TokenStream
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part, Rowset, encoded_parts, numbered_groups, report_skipped, tokenized_parts

__all__ = [
    "LanguageData",
    "check_settings",
    "continued",
    "hold_out",
    "prepare",
    "stream_of",
    "training_counts",
]

_FEW_STEPS = 300  # with fewer steps a network hardly changes

LanguageData: TypeAlias = Prepared[LanguageModelConfig, LanguageAssets, Part]
"""Texts ready for training."""


def training_counts(prepared: LanguageData) -> NDArray[np.int64]:
    """Returns how often each token is a target in training, of shape (V,); the start token ends a text."""
    return stream_of(prepared.train).counts(prepared.assets.tokenizer.vocab_size)


def stream_of(part: Part) -> TokenStream:
    """Returns the texts of a part as one stream, with an end token after each."""
    return TokenStream(part.examples, part.rows, end=TextTokenizer.start_id)


def prepare(
    data: Path,
    config: LanguageModelConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> LanguageData:
    """Detects the format, splits and tokenizes the texts; tokens are cached.

    Labels are not read. From a text file, the last lines are held out for validation, since neighbouring
    lines belong together; from a table or folder, random rows (whole groups with ``data.group``).

    Raises:
        DataError: a file can't be used; the message names the row and the solution.
        ConfigError: a setting is not supported by language models.
    """
    check_settings(config)
    source, config, rows = _read(data, config, reporter, whole=valid is not None)
    vocabulary = None
    if config.language.vocabulary is not None:
        vocabulary = detect(Path(config.language.vocabulary), config.data, labelled=False, like=source)
    tokenizer, parts, key = tokenized_parts(
        source, rows, None, config, reporter, valid=valid, test=test, vocabulary=vocabulary
    )
    if tokenizer.vocab_size <= len(SPECIALS):
        raise DataError("the texts have no words", where=data, hint="give a file of texts")
    _report_parts(parts, config, reporter)
    return Prepared(config, LanguageAssets(tokenizer, source), *parts, key)


def continued(
    bundle: LanguageBundle,
    data: Path,
    config: LanguageModelConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> LanguageData:
    """Returns new texts with the vocabulary of a model, which is trained further on them.

    Words that it does not have stay unknown: the output has weights for each word, and perplexities can be
    compared only where the words are the same. The n-grams are those of the former and the new texts.

    Raises:
        DataError: a file can't be used.
    """
    tokenizer = bundle.assets.tokenizer
    source, config, rows = _read(data, config, reporter, whole=valid is not None, like=bundle.assets.source)
    reporter.facts({"vocabulary": f"{tokenizer.vocab_size:,} entries of the model"})
    parts, key = encoded_parts(source, rows, tokenizer, None, config, reporter, valid=valid, test=test)
    _report_parts(parts, config, reporter)
    assets = LanguageAssets(tokenizer, source, bundle.assets.mixture)
    return Prepared(config, assets, *parts, key, goes_on=True)


def _read(
    data: Path, config: LanguageModelConfig, reporter: Reporter, *, whole: bool, like: Source | None = None
) -> tuple[Source, LanguageModelConfig, tuple[Rowset, Rowset]]:
    """Returns the format of a file, the settings with what was detected, and the rows of both parts.

    Args:
        data: the file.
        config: all settings.
        reporter: receives the facts.
        whole: whether all rows are for training.
        like: the training file of a model, whose columns the file should have.
    """
    reporter.step("Reading")
    source = detect(data, config.data, labelled=False, like=like)
    reporter.facts(source.describe())
    detected = {key: value for key, value in source.settings().items() if key in ("text", "group")}
    config = updated(config, {"data": detected})
    skipped = Skipped()
    sizes, groups, marked = _survey(source, skipped)
    report_skipped(skipped, data, reporter)
    if not sizes.sum():
        raise DataError("there is no text", where=data, hint="give a file of texts")
    if not whole and len(sizes) < 2:
        raise DataError(
            "there is only one text, so none can be held out for validation",
            where=data,
            hint="put its sentences or paragraphs on separate lines, or pass --valid",
        )
    reporter.facts({"texts": f"{len(sizes):,}, {int(sizes.sum()):,} characters"})
    if marked and config.tokenizer.level != "whitespace":
        reporter.warn(
            f"{marked:,} of the first texts contain {UNKNOWN}: if the text is already tokenized, "
            "pass --set tokenizer.level=whitespace"
        )
    if not whole:
        in_order = format_named(source.format).is_running_text
        rows = hold_out(sizes, config, groups, in_order=in_order)
        how = "the last ones" if in_order else "at random"
        how = f"whole groups of {config.data.group!r}" if groups is not None else how
        how = "the first ones" if config.data.valid_rows else how
        reporter.facts({"validation": f"{len(rows[1]):,} texts held out, {how}"})
    else:
        rows = np.arange(len(sizes)), np.empty(0, np.int64)
    return source, config, rows


def hold_out(
    sizes: NDArray[np.int64], config: LanguageModelConfig, groups: NDArray[np.int64] | None, *, in_order: bool
) -> tuple[Rowset, Rowset]:
    """Splits texts into training and validation; returns the sorted row numbers ``(train, valid)``.

    ``sizes`` are the characters of each text and ``groups`` the group of each, if any, of shape (N,) with N
    at least 2. With ``in_order`` and without groups, the last texts are held out, with ``valid_fraction`` of
    all characters; otherwise random rows, or whole groups. Under ``data.valid_rows`` it is the first texts.
    """
    share = config.data.valid_fraction
    if groups is not None or not in_order or config.data.valid_rows:
        return divide(np.zeros(len(sizes), np.int64), config.data, groups)
    before = np.cumsum(sizes + 1)
    first = int(np.searchsorted(before, (1 - share) * before[-1], side="right"))
    first = min(max(first, 1), len(sizes) - 1)
    return np.arange(first), np.arange(first, len(sizes))


def check_settings(config: LanguageModelConfig) -> None:
    """Raises ConfigError for a setting that a language model does not support."""
    if not config.tokenizer.start_token:
        raise ConfigError(
            "a language model needs the start token, which marks the end of a text",
            where="tokenizer.start_token",
            hint="remove the setting",
        )
    if config.train.monitor != "loss":
        raise ConfigError(
            f"a language model has no validation metric {config.train.monitor}",
            where="train.monitor",
            hint="set train.monitor=loss",
        )
    refuse_unfit(config.model, config.language)


def _survey(source: Source, skipped: Skipped) -> tuple[NDArray[np.int64], NDArray[np.int64] | None, int]:
    """Returns the characters and the group of every text, and how many of the first texts have ``<unk>``."""
    sizes: list[NDArray[np.int64]] = []
    groups: list[str] = []
    marked = 0
    for rows in read(source, skipped):
        if not sizes:
            marked = sum(UNKNOWN in text for text in rows.texts)
        sizes.append(np.array([len(text) for text in rows.texts], np.int64))
        if rows.groups is not None:
            groups += rows.groups
    return np.concatenate([np.zeros(0, np.int64), *sizes]), numbered_groups(groups), marked


def _report_parts(
    parts: tuple[Part, Part, Part | None], config: LanguageModelConfig, reporter: Reporter
) -> None:
    """Reports the windows; the tokens of each part, the share of unknown ones, and if texts are truncated."""
    windows = Streams(stream_of(parts[0]), config.train.batch_size, config.language.bptt)
    count = f"{len(windows):,} an epoch, of {windows.batch_size} x {config.language.bptt} tokens"
    reporter.facts({"windows": count})
    if len(windows) * config.train.epochs < _FEW_STEPS:
        reporter.warn(
            f"the training has only {len(windows) * config.train.epochs:,} steps: "
            "lower train.batch_size or raise train.epochs"
        )
    for part in (part for part in parts if part is not None):
        tokens = stream_of(part).targets
        unknown = int(part.examples.unknown[part.rows].sum())
        share = f"{100 * unknown / max(1, tokens):.1f}% unknown"
        reporter.facts({part.name: f"{tokens:,} tokens, ends of texts included; {share}"})
        cut = int((part.examples.full_lengths[part.rows] > config.tokenizer.max_tokens).sum())
        if cut:
            reporter.warn(
                f"{cut:,} {part.name} texts are truncated to {config.tokenizer.max_tokens:,} tokens: "
                "raise tokenizer.max_tokens to use whole texts"
            )
