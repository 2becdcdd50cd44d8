"""Known data sets as texts, labels and token ids in memory, in the form of Keras's ``datasets``.

A set is read from a local copy or, if its authors' archive is known, downloaded. The token ids are those of
Keras: 0 is padding, 1 the start of a text, 2 an unknown word; words follow, the most frequent first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recurra.config import DataConfig, TokenizerConfig
from recurra.errors import ConfigError, DataError
from recurra.io.detect import detect
from recurra.io.fetch import DATA_SETS, fetch
from recurra.io.formats import read
from recurra.io.sample import sample_rows
from recurra.io.tokenizer import TextTokenizer
from recurra.runtime import user_cache

__all__ = [
    "DataSet",
    "Split",
    "load_ag_news",
    "load_chnsenticorp",
    "load_files",
    "load_imdb",
    "load_sample",
    "load_sst2",
    "pad_sequences",
]

_LONGEST = 1_000_000  # tokens; a text is not truncated before pad_sequences


@dataclass(frozen=True)
class Split:
    """One part of a data set, of ``N`` rows.

    Attributes:
        texts: the raw texts.
        y: ``(N,)`` int64 numbers of the classes.
        x: the token ids of each text, the start token first.
    """

    texts: list[str]
    y: NDArray[np.int64]
    x: list[list[int]] = field(repr=False)


@dataclass(frozen=True)
class DataSet:
    """Training and test part, classes and vocabulary; it unpacks as Keras's pairs do.

    Attributes:
        train: the training part.
        test: the test part.
        classes: names of the classes, in the order of their numbers.
        tokenizer: the vocabulary, learned from the training part.

    Example:
        >>> data = load_sample()
        >>> (x_train, y_train), (x_test, y_test) = data
        >>> data.decode(data.encode("The film was great"))
        'the film was great'
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    tokenizer: TextTokenizer = field(repr=False)

    def __iter__(self) -> Iterator[tuple[list[list[int]], NDArray[np.int64]]]:
        yield self.train.x, self.train.y
        yield self.test.x, self.test.y

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of a text, the start token first; 2 for a word that is not known."""
        return [int(id) for id in self.tokenizer.encode([text]).ids[0]]

    def decode(self, ids: Iterable[int]) -> str:
        """Returns token ids as a text, without padding and start; an unknown word is ``<unk>``."""
        return self.tokenizer.decode(ids)


def load_imdb(
    num_words: int = 10_000,
    *,
    folder: str | Path | None = None,
    seed: int | None = 113,
    download: bool = True,
) -> DataSet:
    """Returns the Large Movie Review Dataset: 25,000 reviews to train on and 25,000 to test on.

    Maas et al. (2011), "Learning Word Vectors for Sentiment Analysis". The classes are ``neg`` (0) and
    ``pos`` (1). The words are split and counted by recurra, so the ids differ from those of Keras's file.

    Args:
        num_words: size of the vocabulary, with padding, start and the unknown word.
        folder: the folder of the set, with ``train`` and ``test`` inside, as folders or files. If None, it is
            sought in ``$RECURRA_DATA/imdb`` and in the cache of the user.
        seed: of the order of the training rows, which the files sort by class; None keeps the files' order.
        download: whether to download the archive (84 MB) into the cache if there is no copy.

    Raises:
        DataError: there is no copy and it can't be downloaded, or a file can't be read.
    """
    return _known("imdb", num_words, folder, seed, download)


def load_sst2(
    num_words: int = 10_000, *, folder: str | Path | None = None, seed: int | None = 113
) -> DataSet:
    """Returns the Stanford Sentiment Treebank, two classes, from a local copy; arguments as `load_imdb`.

    Raises:
        DataError: there is no copy, or a file can't be read.
    """
    return _known("sst2", num_words, folder, seed)


def load_ag_news(
    num_words: int = 10_000, *, folder: str | Path | None = None, seed: int | None = 113
) -> DataSet:
    """Returns AG News, four classes, from a local copy; arguments as `load_imdb`.

    Raises:
        DataError: there is no copy, or a file can't be read.
    """
    return _known("ag_news", num_words, folder, seed)


def load_chnsenticorp(
    num_words: int = 10_000, *, folder: str | Path | None = None, seed: int | None = 113
) -> DataSet:
    """Returns ChnSentiCorp, Chinese reviews of two classes, from a local copy; arguments as `load_imdb`.

    Raises:
        DataError: there is no copy, or a file can't be read.
    """
    return _known("chnsenticorp", num_words, folder, seed)


def load_sample(
    language: Literal["en", "zh"] = "en", num_words: int = 10_000, *, seed: int | None = 113
) -> DataSet:
    """Returns the built-in sample of short reviews, which needs no download; arguments as `load_imdb`.

    Example:
        >>> load_sample().classes
        ('neg', 'pos')
    """
    rows = sample_rows(language)
    train: list[tuple[str, str]] = [(row.text, row.label) for row in rows["train"]]
    return _data_set(train, [(row.text, row.label) for row in rows["test"]], num_words, seed)


def load_files(
    train: str | Path, test: str | Path, num_words: int = 10_000, *, seed: int | None = 113
) -> DataSet:
    """Returns files of labelled texts in any format of ``recurra fit``; arguments as `load_imdb`.

    Raises:
        DataError: a file can't be read, a row has not exactly one label, or the test file has a new class.
    """
    source = detect(Path(train), DataConfig())
    other = detect(Path(test), DataConfig(), like=source)
    return _data_set(_labelled(source), _labelled(other), num_words, seed)


def pad_sequences(
    sequences: Sequence[Sequence[int]],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: Literal["pre", "post"] = "pre",
    truncating: Literal["pre", "post"] = "pre",
    value: float = 0,
) -> NDArray[Any]:
    """Returns sequences of different lengths as one array, padded and truncated as in Keras.

    Recurra's networks take sequences of different lengths and do not read padding; the array is for other
    programs, and to see what padding is.

    Args:
        sequences: ``N`` sequences of numbers.
        maxlen: ``T``; the longest length if None.
        dtype: of the result.
        padding: the side that is padded.
        truncating: the side at which a long sequence is truncated.
        value: of the padding.

    Returns:
        An array of shape ``(N, T)``.

    Raises:
        ConfigError: ``maxlen`` is less than 1, or a side is neither ``"pre"`` nor ``"post"``.

    Example:
        >>> pad_sequences([[1, 4], [1, 5, 6, 7]], maxlen=3).tolist()
        [[0, 1, 4], [5, 6, 7]]
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ConfigError(f"{name} is {side!r}", hint="use pre or post")
    if maxlen is not None and maxlen < 1:
        raise ConfigError(f"maxlen is {maxlen}", hint="give 1 or more")
    length = max(map(len, sequences), default=0) if maxlen is None else maxlen
    padded = np.full((len(sequences), length), value, dtype=dtype)
    for row, sequence in zip(padded, sequences, strict=True):
        kept = sequence[-length:] if truncating == "pre" else sequence[:length]
        if len(kept):
            row[(slice(length - len(kept), None) if padding == "pre" else slice(len(kept)))] = kept
    return padded


def _known(
    name: str, num_words: int, folder: str | Path | None, seed: int | None, download: bool = False
) -> DataSet:
    """The set of a name, from the first place that has it."""
    cache = user_cache()
    data = os.environ.get("RECURRA_DATA")
    places = [Path(data) / name] if data else []
    if cache is not None:
        inside = DATA_SETS[name].folder if name in DATA_SETS else name
        places.append(cache / "datasets" / inside)
    places = [Path(folder)] if folder is not None else places
    for place in places:
        train, test = _inside(place, "train"), _inside(place, "test")
        if train is not None and test is not None:
            return load_files(train, test, num_words, seed=seed)
    if download and folder is None and cache is not None and name in DATA_SETS:
        place = fetch(name, cache / "datasets")
        return load_files(place / "train", place / "test", num_words, seed=seed)
    raise DataError(
        f"the data set {name} is in none of {', '.join(map(str, places)) or 'the known folders'}",
        hint="give folder=..., a folder with a training and a test file, such as train.tsv and test.tsv",
    )


def _inside(place: Path, part: str) -> Path | None:
    """The folder or file of a part in the folder of a set, such as ``train`` or ``train.tsv``."""
    found = sorted(place.glob(f"{part}*")) if place.is_dir() else []
    return found[0] if found else None


def _labelled(source: Any) -> list[tuple[str, str]]:
    """The texts of a file with their labels."""
    pairs: list[tuple[str, str]] = []
    for rows in read(source):
        for number, text, labels in zip(rows.numbers, rows.texts, rows.labels or [], strict=True):
            if len(labels) != 1:
                raise DataError(f"row {number} has {len(labels)} labels, not one", where=source.path)
            pairs.append((text, labels[0]))
    return pairs


def _data_set(
    train: list[tuple[str, str]], test: list[tuple[str, str]], num_words: int, seed: int | None
) -> DataSet:
    """The set of labelled texts; the training rows are shuffled."""
    if seed is not None:
        train = [train[row] for row in np.random.default_rng(seed).permutation(len(train))]
    classes = sorted({label for _, label in train})
    new = sorted({label for _, label in test} - set(classes))
    if new:
        raise DataError(f"the test part has the class {new[0]!r}, which the training part has not")
    config = TokenizerConfig(vocab_size=num_words, punctuation="drop", max_tokens=_LONGEST)
    tokenizer = TextTokenizer.train((text for text, _ in train), config)

    def split(rows: list[tuple[str, str]]) -> Split:
        texts = [text for text, _ in rows]
        y = np.array([classes.index(label) for _, label in rows], np.int64)
        return Split(texts, y, [ids.tolist() for ids in tokenizer.encode(texts).ids])

    return DataSet(split(train), split(test), tuple(classes), tokenizer)
