"""Texts of files and from Python as parts of the data: token ids, labels, and access to the texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig, TextConfig, TokenizerConfig
from recurra.errors import DataError
from recurra.io.cache import cache_folder, cached_examples, cached_text, content_key
from recurra.io.detect import detect
from recurra.io.examples import Chunk, Examples
from recurra.io.formats import Skipped, Source, read
from recurra.io.labels import Labels
from recurra.io.tokenizer import SPECIALS, TextTokenizer, Vocabulary, trained_words
from recurra.measure.shift import Profile
from recurra.store import Assets
from recurra.tasks.base import Prepared
from recurra.tasks.corpus import Corpus, contents_of, texts_of_rows
from recurra.tasks.counted import counted, counted_rows
from recurra.tasks.reporter import Reporter, Tick

__all__ = [
    "PROFILE",
    "Part",
    "Rowset",
    "TextAssets",
    "counted",
    "counted_rows",
    "encoded_parts",
    "learned_parts",
    "numbered_groups",
    "official_test",
    "open_part",
    "report_skipped",
    "skipped_in_words",
    "text_vocabulary",
    "tokenized_parts",
]

Rowset = NDArray[np.int64]
PROFILE = "profile.json"
"""The file of `Profile`."""
_ROWS_CHUNK = 10_000
_TOKENIZER, _SOURCE = "tokenizer.json", "source.json"


@dataclass(frozen=True)
class Part:
    """A part of the data.

    Attributes:
        name: ``training``, ``validation`` or ``test``.
        where: the file of the rows, for messages.
        examples: token ids, and labels if they were read, of the whole file.
        rows: numbers of the rows of ``examples`` in this part, sorted, of shape ``(n,)``.
        texts: reads the raw texts of rows, which must be sorted.
        weights: weight of each of the ``examples`` in the loss, of shape ``(N,)``, with mean 1 over ``rows``;
            None for equal weights.
    """

    name: str
    where: str
    examples: Examples
    rows: Rowset
    texts: Callable[[Rowset], Iterator[str]]
    weights: NDArray[np.float32] | None = None

    @property
    def labels(self) -> NDArray[np.int64] | NDArray[np.float32]:
        """Class numbers of shape ``(n,)``; for multi-label zeros and ones of shape ``(n, C)``."""
        if self.examples.labels is None:
            raise DataError("the rows have no labels", where=self.where)
        return self.examples.labels[self.rows]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class TextAssets(Assets):
    """What a network of texts needs besides settings and weights.

    Attributes:
        tokenizer: the tokenizer.
        source: the format of the training file; None if the texts came from Python.
        profile: what is known of the validation rows without their labels; None if there were none.
    """

    tokenizer: TextTokenizer
    source: Source | None = None
    profile: Profile | None = field(default=None, kw_only=True, compare=False)

    def files(self) -> dict[str, str]:
        """Returns the files of the tokenizer and of the training file's format, by name."""
        source = {_SOURCE: self.source.to_json()} if self.source else {}
        profile = {PROFILE: self.profile.to_json()} if self.profile is not None else {}
        return {_TOKENIZER: self.tokenizer.to_json(), **source, **profile}

    def words(self) -> list[str]:
        """Returns the words of the tokenizer, with "" for a start token that was not trained."""
        return trained_words(self.tokenizer)

    @classmethod
    def read(cls, config: TextConfig, files: Mapping[str, str], **more: Any) -> Self:
        """Returns the assets that `files` wrote."""
        source = Source.from_json(files[_SOURCE]) if _SOURCE in files else None
        tokenizer = TextTokenizer.from_json(files[_TOKENIZER], config.tokenizer)
        profile = Profile.from_json(files[PROFILE]) if PROFILE in files else None
        return cls(tokenizer, source, profile=profile, **more)


def text_vocabulary(prepared: Prepared[Any, Any, Part]) -> Vocabulary:
    """Returns the words of a tokenizer among the assets, and their counts in the training rows."""
    tokenizer, examples = prepared.assets.tokenizer, prepared.train.examples
    inside = np.zeros(len(examples), bool)
    inside[prepared.train.rows] = True
    counts = np.zeros(tokenizer.vocab_size, np.int64)
    for first in range(0, len(examples), _ROWS_CHUNK):
        rows = slice(first, first + _ROWS_CHUNK)
        lengths = examples.lengths[rows]
        start = examples.offsets[first]
        ids = examples.flat[start : start + int(lengths.sum())]
        counts += np.bincount(ids[np.repeat(inside[rows], lengths)], minlength=len(counts))
    counts[[tokenizer.pad_id, tokenizer.start_id]] = 0
    return Vocabulary([tokenizer.word(id) for id in range(tokenizer.vocab_size)], len(SPECIALS), counts)


def learned_parts(
    texts: list[str],
    labels: NDArray[Any] | None,
    config: TokenizerConfig,
    rows: tuple[Rowset, Rowset] | None,
    validation: tuple[list[str], NDArray[Any] | None] | None,
    weights: NDArray[np.float64] | None = None,
    corpus: Corpus | None = None,
) -> tuple[TextTokenizer, Part, Part]:
    """Returns a tokenizer learned from texts given from Python, and their training and validation part.

    Labels are those of `Part.labels`. ``rows`` are the row numbers of the training and of the validation
    part; if None, all ``texts`` are for training, and ``validation`` has the texts and labels of the other.
    ``weights`` are those of the texts in the loss, of any mean; None for equal weights. The words of
    ``corpus``, texts without labels, are learned too.

    Raises:
        DataError: every training row has the weight 0.
    """
    training, held_out = (np.arange(len(texts)), np.empty(0, np.int64)) if rows is None else rows
    tokenizer = TextTokenizer.train(chain((texts[row] for row in training), corpus or ()), config)

    def part(name: str, texts: list[str], labels: NDArray[Any] | None, rows: Rowset) -> Part:
        encoded = tokenizer.encode(texts)
        examples = Examples.from_arrays(encoded.ids, labels, unknown=encoded.unknown)
        return Part(name, "", examples, rows, lambda rows: (texts[row] for row in rows))

    whole = part("training", texts, labels, training)
    weighted = whole
    if weights is not None:
        mean = weights[training].mean()
        if mean == 0:
            raise DataError("every training row has the weight 0", where="sample_weight")
        weighted = replace(whole, weights=(weights / mean).astype(np.float32))
    if validation is None:
        return tokenizer, weighted, replace(whole, name="validation", rows=held_out)
    return tokenizer, weighted, part("validation", *validation, np.arange(len(validation[0])))


def _learned_tokenizer(
    source: Source,
    contents: str,
    rows: Rowset,
    config: TokenizerConfig,
    reporter: Reporter,
    corpus: Corpus | None = None,
) -> TextTokenizer:
    """Returns a tokenizer trained on some rows only, which are sorted, from the cache if it is there.

    The texts of ``corpus`` are added to those of the rows.
    """
    more = [] if corpus is None else [corpus.key]
    rows_key = hashlib.sha256(rows.tobytes()).hexdigest()
    key = content_key([], contents, config.model_dump_json(), rows_key, *more)
    learned: list[TextTokenizer] = []

    def build() -> str:
        texts = chain(texts_of_rows(source, rows), corpus or ())
        total = len(rows) + len(corpus or ())
        with reporter.counting("learning the vocabulary", total) as tick:
            learned.append(TextTokenizer.train(counted(texts, tick), config))
        return learned[0].to_json()

    text = cached_text(cache_folder(), f"{key}.tokenizer.json", build)
    return learned[0] if learned else TextTokenizer.from_json(text, config)


def tokenized_parts(
    source: Source,
    rows: tuple[Rowset, Rowset],
    labels: Labels | None,
    config: TextConfig,
    reporter: Reporter,
    *,
    valid: Path | None,
    test: Path | None,
    corpus: Corpus | None = None,
    vocabulary: Source | None = None,
) -> tuple[TextTokenizer, tuple[Part, Part, Part | None], str]:
    """Returns a tokenizer learned from the training rows; the parts; and a fingerprint, see `Prepared.key`.

    The parts are those for training, validation and test.

    Args:
        source: the training file.
        rows: its row numbers for training and validation.
        labels: encodes the labels; None if they are not read.
        config: the settings of tokenizer and files.
        reporter: receives the size of the vocabulary, and warnings about skipped rows.
        valid: the validation file; if None, the second ``rows`` are used.
        test: the test file; None for no test part.
        corpus: texts without labels, whose words are learned too.
        vocabulary: a file of texts, from all of which the words are learned in place of the training rows.

    Raises:
        DataError: a file can't be used.
    """
    reporter.step("Tokenizing")
    contents = contents_of(source)
    if vocabulary is None:
        tokenizer = _learned_tokenizer(source, contents, rows[0], config.tokenizer, reporter, corpus)
    else:
        every = np.arange(sum(len(chunk) for chunk in read(vocabulary)))
        of_file = contents_of(vocabulary)
        tokenizer = _learned_tokenizer(vocabulary, of_file, every, config.tokenizer, reporter, corpus)
    used = "training part" if labels is None else "training rows"
    used = used if vocabulary is None else f"texts of {vocabulary.path.name}"
    used = f"{used} only" if corpus is None else f"{used} and {len(corpus):,} unlabelled texts"
    reporter.facts({"vocabulary": f"{tokenizer.vocab_size:,} entries, from the {used}"})
    return tokenizer, *encoded_parts(
        source, rows, tokenizer, labels, config, reporter, valid=valid, test=test
    )


def encoded_parts(
    source: Source,
    rows: tuple[Rowset, Rowset],
    tokenizer: TextTokenizer,
    labels: Labels | None,
    config: TextConfig,
    reporter: Reporter,
    *,
    valid: Path | None,
    test: Path | None,
) -> tuple[tuple[Part, Part, Part | None], str]:
    """Returns the parts and the fingerprint of `tokenized_parts`, whose arguments these are, by a tokenizer.

    Raises:
        DataError: a file can't be used.
    """
    contents = contents_of(source)
    with reporter.counting("tokenizing", sum(map(len, rows))) as tick:
        examples = _examples(source, contents, tokenizer, labels, Skipped(), tick)
    training, held_out = (
        Part(name, str(source.path), examples, numbers, lambda numbers: texts_of_rows(source, numbers))
        for name, numbers in zip(("training", "validation"), rows, strict=True)
    )
    if valid is not None:
        held_out = open_part("validation", valid, tokenizer, labels, config.data, reporter, like=source)
    tested = None
    if test is not None:
        tested = open_part("test", test, tokenizer, labels, config.data, reporter, like=source)
    names = [] if labels is None else [labels.to_json()]
    # Contents, not paths: the files may be moved, or be on another machine, before training is resumed.
    files = [] if valid is None else [valid]
    key = content_key(files, contents, tokenizer.fingerprint, *names, str(len(held_out)))
    return (training, held_out, tested), key


def open_part(
    name: str,
    path: Path,
    tokenizer: TextTokenizer,
    labels: Labels | None,
    data: DataConfig,
    reporter: Reporter,
    *,
    like: Source | None = None,
) -> Part:
    """Returns a whole file of texts as a part; arguments are those of `tokenized_parts`.

    Raises:
        DataError: the file can't be used, has no rows, or has a label that is not among ``labels``.
    """
    source = detect(path, data, labelled=labels is not None, like=like)
    skipped = Skipped()
    if source.skip_bad_rows:  # counted here, since the examples may be in the cache
        for _ in read(source, skipped):
            pass
    report_skipped(skipped, path, reporter)
    with reporter.counting("tokenizing") as tick:
        examples = _examples(source, contents_of(source), tokenizer, labels, Skipped(), tick)
    if not len(examples):
        raise DataError("there are no rows", where=path)
    return Part(
        name, str(path), examples, np.arange(len(examples)), lambda numbers: texts_of_rows(source, numbers)
    )


def _examples(
    source: Source,
    contents: str,
    tokenizer: TextTokenizer,
    labels: Labels | None,
    skipped: Skipped,
    tick: Tick,
) -> Examples:
    """Returns the token ids and labels of a file, from the cache if they are there."""

    def chunks() -> Iterator[Chunk]:
        for rows in read(source, skipped):
            encoded = tokenizer.encode(rows.texts)
            yield Chunk(
                ids=encoded.ids,
                labels=None if labels is None else labels.encode(rows, source.path),
                numbers=np.array(rows.numbers, np.int64),
                groups=rows.groups,
                full_lengths=encoded.full_lengths,
                unknown=encoded.unknown,
            )
            tick(len(rows))

    kind = "texts alone" if labels is None else labels.to_json()
    key = content_key([], contents, tokenizer.fingerprint, kind)
    return cached_examples(cache_folder(), key, chunks)


def numbered_groups(groups: list[str]) -> NDArray[np.int64] | None:
    """Returns a number for the name of each row's group, of shape ``(N,)``; None without groups."""
    return np.unique(groups, return_inverse=True)[1].astype(np.int64) if groups else None


def report_skipped(skipped: Skipped, path: Path, reporter: Reporter) -> None:
    """Reports the rows skipped under ``data.skip_bad_rows``."""
    for sentence in skipped_in_words(skipped):
        reporter.warn(f"{path}: {sentence}")


def skipped_in_words(skipped: Skipped) -> list[str]:
    """Returns a sentence on the rows that were skipped, if there are any."""
    if not skipped.count:
        return []
    rows = "1 broken row" if skipped.count == 1 else f"{skipped.count:,} broken rows"
    return [f"skipped {rows}: {'; '.join(skipped.examples[:3])}"]


def official_test(data: Path, test: Path | None) -> tuple[Path, Path | None]:
    """Returns training and test folder of a folder with train/ and test/ inside, such as aclImdb."""
    if (data / "train").is_dir():
        beside = data / "test"
        return data / "train", test or (beside if beside.is_dir() else None)
    return data, test
