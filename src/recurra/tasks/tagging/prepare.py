"""Files of tagged sentences made ready for training: read, split, words and characters and tags numbered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig, ModelConfig
from recurra.errors import ConfigError, DataError
from recurra.io.cache import content_key
from recurra.io.examples import Examples
from recurra.io.formats import Skipped
from recurra.io.labels import Labels
from recurra.io.splits import split
from recurra.tasks.base import Prepared
from recurra.tasks.reporter import Reporter
from recurra.tasks.tagging.batches import IGNORED, Forms, TaggedSentences
from recurra.tasks.tagging.bundle import TaggerAssets
from recurra.tasks.tagging.sentences import (
    Sentence,
    SentenceSource,
    TagCounts,
    WordVocabulary,
    detect_sentences,
    read_sentences,
)
from recurra.tasks.tagging.settings import TaggerConfig
from recurra.tasks.texts import report_skipped

__all__ = ["TaggedPart", "TaggerData", "check_settings", "learn", "numbered", "open_part", "prepare"]

_FEW_TAGS = 1_000  # treebanks with many features have more, but then a word has each many times


@dataclass(frozen=True)
class TaggedPart:
    """Some tagged sentences, as they stand and as numbers.

    Attributes:
        name: what to call it: ``training``, ``validation`` or ``test``.
        where: the file they came from, for messages.
        sentences: words and tags.
        numbers: the same for the network.
    """

    name: str
    where: str
    sentences: list[Sentence]
    numbers: TaggedSentences

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def tags(self) -> NDArray[np.int64]:
        """``(words,)`` the true tags, `IGNORED` for one that the model does not know."""
        if self.numbers.tags is None:
            raise DataError("the sentences have no tags", where=self.where)
        return self.numbers.tags

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(sentences,)`` words of each."""
        return self.numbers.examples.lengths.astype(np.int64)

    @property
    def words(self) -> list[str]:
        """All words, sentence after sentence."""
        return [word for sentence in self.sentences for word in sentence.words]


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
    """Read, split and number; words are learned from the training sentences alone.

    Raises:
        DataError: a file can't be used; the message says which line and how to fix it.
        ConfigError: a setting that no tagger can have.
    """
    check_settings(config)
    reporter.step("Reading")
    source = detect_sentences(data, config.data, config.tagging)
    reporter.facts(source.describe())
    sentences = _read(source, reporter)
    rows = np.arange(len(sentences))
    held: NDArray[np.int64] = rows[:0]
    if valid is None:
        if len(sentences) < 2:
            raise DataError(
                "one sentence can't be split into training and validation",
                where=data,
                hint="give more, or a validation file",
            )
        settings = config.data
        rows, held = split(np.zeros(len(sentences), np.int64), settings.valid_fraction, settings.split_seed)
    training = [sentences[row] for row in rows.tolist()]
    labels, counts, vocabulary = learn(sentences, training, config, data)
    words = sum(len(sentence.words) for sentence in sentences)
    reporter.facts({"sentences": f"{len(sentences):,} of {words:,} words", "tags": _shorten(labels.names)})

    def part(name: str, some: list[Sentence]) -> TaggedPart:
        return numbered(name, str(data), some, vocabulary, labels, config)

    if valid is None:
        reporter.facts({"validation": f"{len(held):,} sentences held out at random"})
        valid_part = part("validation", [sentences[row] for row in held.tolist()])
    else:
        valid_part = open_part("validation", valid, config, labels, vocabulary, reporter)
    test_part = None if test is None else open_part("test", test, config, labels, vocabulary, reporter)
    reporter.facts(
        {
            "vocabulary": f"{len(vocabulary.words):,} words and {len(vocabulary.characters):,} characters, "
            "from the training sentences only",
            "unknown": _unknown(test_part or valid_part, counts),
        }
    )
    key = content_key(
        [data] if valid is None else [data, valid],
        json.dumps([config.data.valid_fraction, config.data.split_seed, config.data.skip_bad_rows]),
        vocabulary.to_json(),
        labels.to_json(),
    )
    assets = TaggerAssets(vocabulary, labels, counts, source)
    return Prepared(config, assets, part("training", training), valid_part, test_part, key)


def learn(
    sentences: Sequence[Sentence], training: Sequence[Sentence], config: TaggerConfig, where: Path | None
) -> tuple[Labels, TagCounts, WordVocabulary]:
    """The tags of all sentences, and what the training ones say of words.

    Raises:
        DataError: there is one tag only, or so many that they can't be tags.
    """
    counts = TagCounts.learn(training)
    names = TagCounts.learn(sentences).tags
    words = sum(len(sentence.words) for sentence in sentences)
    if len(names) < 2:
        raise DataError(f"there is one tag only ({names[0]!r})", where=where, hint="a tagger needs two")
    if len(names) > _FEW_TAGS and len(names) > words / 5:
        raise DataError(
            f"{len(names):,} different tags of {words:,} words: the last column holds no tags",
            where=where,
            hint="write the word first and its tag last",
        )
    return Labels(names, "multiclass"), counts, WordVocabulary.learn(counts.frequencies(), config.tagging)


def open_part(
    name: str,
    path: Path,
    config: TaggerConfig,
    labels: Labels,
    vocabulary: WordVocabulary,
    reporter: Reporter,
) -> TaggedPart:
    """A whole tagged file, numbered for a model that exists already.

    Raises:
        DataError: the file can't be used, or has a tag that the model does not know.
    """
    source = detect_sentences(path, config.data, config.tagging)
    found = numbered(name, str(path), _read(source, reporter), vocabulary, labels, config)
    reporter.facts({name: f"{path}, {len(found):,} sentences of {len(found.tags):,} words"})
    foreign = int((found.tags == IGNORED).sum())
    if foreign:
        reporter.warn(f"{path}: {foreign:,} words have tags that training has not: they count as wrong")
    return found


def numbered(
    name: str,
    where: str,
    sentences: list[Sentence],
    vocabulary: WordVocabulary,
    labels: Labels | None,
    config: TaggerConfig,
) -> TaggedPart:
    """Sentences with their numbers; of tags none, where ``labels`` is None.

    Raises:
        DataError: a tag is not among ``labels`` and ``tagging.unknown_tags`` refuses it.
    """
    forms: dict[str, int] = {}
    ids = [
        np.array([forms.setdefault(word, len(forms) + 1) for word in sentence.words], np.int32)
        for sentence in sentences
    ]
    examples = Examples.from_arrays(ids, numbers=np.array([one.row for one in sentences], np.int64))
    table = Forms(
        [vocabulary.word_number(form) for form in forms],
        [vocabulary.character_numbers(form) for form in forms],
    )
    tags = None if labels is None else _tags(sentences, where, labels, config.tagging.unknown_tags)
    return TaggedPart(name, where, sentences, TaggedSentences(examples, table, tags))


def check_settings(config: TaggerConfig) -> None:
    """Refuses what would have no effect on a tagger.

    Raises:
        ConfigError: there is such a setting.
    """
    ours = {"encoding", "skip_bad_rows", "valid_fraction", "split_seed"}
    sections: list[tuple[str, Any, Any, set[str]]] = [
        ("data", config.data, DataConfig(), set(DataConfig.model_fields) - ours),
        ("model", config.model, ModelConfig(), {"pooling"}),
    ]
    for section, mine, plain, names in sections:
        for name in sorted(names):
            if getattr(mine, name) != getattr(plain, name):
                hint = "leave it out: tagging.format and tagging.column say how the file is laid out"
                raise ConfigError(
                    "is not a tagger's setting",
                    where=f"{section}.{name}",
                    hint=hint if section == "data" else "leave it out",
                )
    if config.train.class_weight != "none":
        raise ConfigError("tags have no weights", where="train.class_weight", hint="leave it out")
    if config.train.pretrained_layers:
        raise ConfigError(
            "a tagger's layers read characters too, and begin from none other's",
            where="train.pretrained_layers",
            hint="take the embedding alone",
        )


def _read(source: SentenceSource, reporter: Reporter) -> list[Sentence]:
    skipped = Skipped()
    found = list(read_sentences(source, skipped))
    report_skipped(skipped, source.path, reporter)
    return found


def _tags(sentences: list[Sentence], where: str, labels: Labels, unknown: str) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(labels.names)}
    found = [index.get(tag, IGNORED) for sentence in sentences for tag in sentence.tags or ()]
    if unknown == "refuse" and IGNORED in found:
        for sentence in sentences:
            for word, tag in zip(sentence.words, sentence.tags or (), strict=True):
                if tag not in index:
                    raise DataError(
                        f"the sentence has {word[:40]!r} tagged {tag[:40]!r}, which is not among the "
                        f"{len(index)} tags of training",
                        where=where,
                        row=sentence.row,
                        hint="fix it, or pass --set tagging.unknown_tags=wrong to count such words as wrong",
                    )
    return np.array(found, np.int64)


def _unknown(part: TaggedPart, counts: TagCounts) -> str:
    words = part.words
    share = sum(word not in counts.words for word in words) / len(words)
    return f"{100 * share:.1f}% of the {part.name} words are not among the training words as they stand"


def _shorten(names: Sequence[str], most: int = 20) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
