"""Prepares files of tagged sentences for training: read, split, and converted to ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig, ModelConfig, updated
from recurra.errors import ConfigError, DataError
from recurra.io.cache import content_key
from recurra.io.formats import Skipped
from recurra.io.labels import Labels
from recurra.io.splits import divide
from recurra.tasks.base import Prepared
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.tagging.batches import IGNORED, Forms, TaggedSentences
from recurra.tasks.tagging.bundle import TaggerAssets, TaggerBundle
from recurra.tasks.tagging.schemes import SCHEMES, FoundScheme, find_scheme
from recurra.tasks.tagging.sentences import (
    Sentence,
    SentenceSource,
    SentenceTable,
    TagCounts,
    WordsOfTable,
    WordVocabulary,
    cached_sentences,
    detect_sentences,
    table_of,
)
from recurra.tasks.tagging.settings import TaggerConfig
from recurra.tasks.texts import counted, report_skipped

__all__ = [
    "MANY_TAGS",
    "TaggedPart",
    "TaggerData",
    "check_settings",
    "continued",
    "held_out",
    "learn",
    "numbered",
    "open_part",
    "prepare",
    "renumbered",
    "scheme_of",
    "with_scheme",
]

MANY_TAGS = 1_000  # treebanks with many features have more, but each tag then occurs many times


@dataclass(frozen=True)
class TaggedPart:
    """Sentences as words and tags, and in ``numbers`` as ids; ``where`` is their file, for messages."""

    name: str
    where: str
    sentences: SentenceTable
    numbers: TaggedSentences

    def __len__(self) -> int:
        return len(self.sentences)

    @cached_property
    def tags(self) -> NDArray[np.int64]:
        """True tag ids of all words, of shape (words,); `IGNORED` for a tag that the model lacks."""
        if self.numbers.tags is None:
            raise DataError("the sentences have no tags", where=self.where)
        return self.numbers.tags_of(None)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each sentence, of shape (sentences,)."""
        return self.sentences.lengths

    @property
    def words(self) -> WordsOfTable:
        """All words, sentence after sentence."""
        return self.sentences.words


TaggerData: TypeAlias = Prepared[TaggerConfig, TaggerAssets, TaggedPart]
"""Tagged sentences ready for training."""


def prepare(
    data: Path,
    config: TaggerConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> TaggerData:
    """Reads and splits the sentences, learns the vocabulary of the training part, and converts words to ids.

    Raises:
        DataError: a file can't be used; the message names the line and the solution.
        ConfigError: a setting is not supported by taggers.
    """
    check_settings(config)
    return _prepare(data, config, reporter, valid, test)


def continued(
    bundle: TaggerBundle,
    data: Path,
    config: TaggerConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> TaggerData:
    """Returns new sentences with the tags of a model, and with its words and characters and new ones.

    The counts of tags are those of all sentences that the model has seen.

    Raises:
        DataError: a file can't be used, or has a tag that is not one of the model's.
    """
    return replace(_prepare(data, config, reporter, valid, test, bundle.assets), goes_on=True)


def _prepare(
    data: Path,
    config: TaggerConfig,
    reporter: Reporter,
    valid: Path | None,
    test: Path | None,
    before: TaggerAssets | None = None,
) -> TaggerData:
    """Does what `prepare` does; ``before`` are the assets of a model that goes on."""
    reporter.step("Reading")
    source = detect_sentences(data, config.data, config.tagging)
    reporter.facts(source.describe())
    sentences = _read(source, reporter)
    training, held = held_out(sentences, config, data) if valid is None else (sentences, sentences[:0])
    with reporter.counting("learning the words", len(training)) as tick:
        if before is None:
            assets = learn(sentences, training, config, source, tick)
        else:
            counts = TagCounts.learn(training, tick)
            vocabulary = before.vocabulary.extended(counts.frequencies(), config.tagging)
            assets = TaggerAssets(vocabulary, before.labels, before.counts.added(counts), source)
    labels, vocabulary = assets.labels, assets.vocabulary
    words = len(sentences.words)
    reporter.facts({"sentences": f"{len(sentences):,} of {words:,} words", "tags": _shorten(labels.names)})
    config = with_scheme(config, sentences, reporter)
    if valid is None:
        how = "the first ones" if config.data.valid_rows else "at random"
        reporter.facts({"validation": f"{len(held):,} sentences held out, {how}"})
        valid_part = numbered("validation", str(data), held, assets, config)
    else:
        valid_part = open_part("validation", valid, assets, config, reporter)
    test_part = None if test is None else open_part("test", test, assets, config, reporter)
    measured = test_part or valid_part
    unknown = (~measured.words.among(assets.counts.words)).mean()
    reporter.facts(
        {
            "vocabulary": f"{len(vocabulary.words):,} words and {len(vocabulary.characters):,} characters, "
            "from the training sentences only",
            "unknown": f"{unknown:.1%} of the {measured.name} words do not occur in training",
        }
    )
    key = content_key(
        [data] if valid is None else [data, valid],
        config.data.model_dump_json(include={"valid_fraction", "valid_rows", "split_seed", "skip_bad_rows"}),
        vocabulary.to_json(),
        labels.to_json(),
    )
    with reporter.counting("numbering the words", len(training)) as tick:
        train_part = numbered("training", str(data), training, assets, config, tick=tick)
    return Prepared(config, assets, train_part, valid_part, test_part, key)


def held_out(
    sentences: SentenceTable, config: TaggerConfig, where: Path | None
) -> tuple[SentenceTable, SentenceTable]:
    """Returns the training sentences, and those held out for validation: at random, or the first ones.

    Raises:
        DataError: there is only one sentence.
    """
    if len(sentences) < 2:
        what = "one sentence can't be split into training and validation"
        raise DataError(what, where=where, hint="give more, or validation data")
    strata = np.zeros(len(sentences), np.int64)
    training, held = divide(strata, config.data)
    return sentences.take(training), sentences.take(held)


def learn(
    sentences: Sequence[Sentence],
    training: Sequence[Sentence],
    config: TaggerConfig,
    source: SentenceSource | None = None,
    tick: Tick = lambda rows: None,
) -> TaggerAssets:
    """Returns the tags of all sentences, and tag counts and vocabulary of the training sentences.

    ``source`` is their file, if there is one; ``tick`` is called with the number of sentences counted.

    Raises:
        DataError: there is only one tag, or so many that they can't be tags.
    """
    where = source.path if source is not None else None
    sentences = table_of(sentences)
    counts = TagCounts.learn(training, tick)
    names = tuple(sorted(sentences.tag_counts))
    words = len(sentences.words)
    if len(names) < 2:
        raise DataError(f"there is only one tag ({names[0]!r})", where=where, hint="a tagger needs two")
    if len(names) > MANY_TAGS and len(names) > words / 5:
        what = f"{len(names):,} different tags of {words:,} words: the last column does not contain tags"
        raise DataError(what, where=where, hint="write the word first and its tag last")
    vocabulary = WordVocabulary.learn(counts.frequencies(), config.tagging)
    return TaggerAssets(vocabulary, Labels(names, "multiclass"), counts, source)


def renumbered(bundle: TaggerBundle, part: TaggedPart) -> TaggedPart:
    """Returns a part as a model reads it that has other words, or other tags."""
    return numbered(part.name, part.where, part.sentences, bundle.assets, bundle.config)


def with_scheme(config: TaggerConfig, sentences: SentenceTable, reporter: Reporter) -> TaggerConfig:
    """Returns the settings with the scheme of the tags, detected unless it is set, and reports it.

    Raises:
        ConfigError: the settings have a scheme, and the tags are not those of it.
    """
    with reporter.counting("finding the scheme of the tags") as tick:
        found = scheme_of(config, [sentences], tick)
    tags = sentences.tag_counts
    if found.scheme is not None and (foreign := sorted(tag for tag in tags if not found.scheme.has(tag))):
        what = f"the tag {foreign[0][:40]!r} is not of the scheme {found.scheme.name}"
        raise ConfigError(what, where="tagging.scheme", hint="remove the setting: the scheme is detected")
    reporter.facts({"scheme": found.text})
    return updated(config, {"tagging": {"scheme": found.setting}})


def scheme_of(
    config: TaggerConfig, tables: Sequence[SentenceTable], tick: Tick = lambda rows: None
) -> FoundScheme:
    """Returns the scheme of the settings, or that of the tags if the settings have none."""
    name = config.tagging.scheme
    if name == "auto":
        tags = {tag for table in tables for tag in table.tag_counts}
        sequences = chain.from_iterable(table.tag_sequences() for table in tables)
        return find_scheme(counted(sequences, tick), tags)
    return FoundScheme(SCHEMES.get(name))


def open_part(
    name: str, path: Path, assets: TaggerAssets, config: TaggerConfig, reporter: Reporter
) -> TaggedPart:
    """Opens a whole tagged file with the vocabulary and the tags of an existing model.

    Raises:
        DataError: the file can't be used, or has a tag that the model lacks.
    """
    source = detect_sentences(path, config.data, config.tagging)
    part = numbered(name, str(path), _read(source, reporter), assets, config)
    reporter.facts({name: f"{path}, {len(part):,} sentences of {len(part.tags):,} words"})
    foreign = int((part.tags == IGNORED).sum())
    if foreign:
        reporter.warn(f"{path}: {foreign:,} words have tags that training lacks: they count as wrong")
    return part


def numbered(
    name: str,
    where: str,
    sentences: Sequence[Sentence],
    assets: TaggerAssets,
    config: TaggerConfig,
    *,
    tagged: bool = True,
    tick: Tick = lambda rows: None,
) -> TaggedPart:
    """Converts sentences, with their tags if ``tagged``, to ids; ``tick`` is called with their number.

    Raises:
        DataError: a tag is not in the labels, and ``tagging.unknown_tags`` is ``refuse``.
    """
    table = table_of(sentences)
    own = table.own_forms(tick)
    form_of = np.zeros(len(table.forms) + 1, np.int64)
    form_of[own] = np.arange(1, len(own) + 1)
    words, spellings = assets.vocabulary.word_number, assets.vocabulary.character_numbers
    texts = [table.forms[number - 1] for number in own.tolist()]
    forms = Forms([words(form) for form in texts], [spellings(form) for form in texts])
    tags, tag_of = None, None
    if tagged:
        tags, tag_of = table.tags, _tag_ids(table, where, assets.labels, config.tagging.unknown_tags)
    numbers = TaggedSentences(table.examples, forms, tags, table.rows, form_of, tag_of)
    return TaggedPart(name, where, table, numbers)


def check_settings(config: TaggerConfig) -> None:
    """Checks for settings that have no effect on a tagger.

    Raises:
        ConfigError: there is such a setting.
    """
    used = {"encoding", "skip_bad_rows", "valid_fraction", "valid_rows", "split_seed"}
    what = "is not a setting of taggers"
    for name, value in config.data.model_dump().items():
        if name not in used and value != getattr(DataConfig(), name):
            hint = "remove it: tagging.format and tagging.column describe the file (or --task classify)"
            raise ConfigError(what, where=f"data.{name}", hint=hint)
    if config.model.pooling != ModelConfig().pooling:
        raise ConfigError(what, where="model.pooling", hint="remove it")
    if config.train.class_weight != "none":
        raise ConfigError("tags have no class weights", where="train.class_weight", hint="remove it")
    if config.train.pretrained_layers:
        what = "the layers of a tagger have the character layer as input and can't be pretrained"
        hint = "use the pretrained embedding only"
        raise ConfigError(what, where="train.pretrained_layers", hint=hint)


def _read(source: SentenceSource, reporter: Reporter) -> SentenceTable:
    skipped = Skipped()
    with reporter.counting("reading the sentences") as tick:
        sentences = cached_sentences(source, skipped, tick)
    report_skipped(skipped, source.path, reporter)
    return sentences


def _tag_ids(sentences: SentenceTable, where: str, labels: Labels, unknown: str) -> NDArray[np.int64]:
    """The id of each tag of a table."""
    index = {name: number for number, name in enumerate(labels.names)}
    if unknown == "refuse" and not index.keys() >= sentences.tag_counts.keys():
        row, word, tag = next(
            (sentence.row, word, tag)
            for sentence in sentences
            for word, tag in zip(sentence.words, sentence.tags or (), strict=True)
            if tag not in index
        )
        tagged = f"{word[:40]!r} tagged {tag[:40]!r}"
        what = f"the sentence has {tagged}, which is not among the {len(index)} tags of training"
        hint = "fix it, or pass --set tagging.unknown_tags=wrong to count such words as wrong"
        raise DataError(what, where=where, row=row, hint=hint)
    return np.array([index.get(tag, IGNORED) for tag in sentences.names], np.int64)


def _shorten(names: Sequence[str], count: int = 20) -> str:
    more = f", ... ({len(names)} in total)" if len(names) > count else ""
    return ", ".join(names[:count]) + more
