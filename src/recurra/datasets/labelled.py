"""Sets of labelled texts: texts, labels and token ids in memory, in the form of Keras's ``datasets``.

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
    "found",
    "load_ag_news",
    "load_chnsenticorp",
    "load_files",
    "load_imdb",
    "load_sample",
    "load_sst2",
    "load_zh_shopping",
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


def load_zh_shopping(
    num_words: int = 10_000,
    *,
    label: Literal["cat", "label"] = "cat",
    test_fraction: float = 0.1,
    folder: str | Path | None = None,
    seed: int = 113,
) -> DataSet:
    """Returns 62,774 Chinese reviews of a shop from a local copy: ``online_shopping_10_cats``.

    The set has no test part: one is drawn by ``seed``, which also orders the training rows.

    Args:
        num_words: size of the vocabulary, with padding, start and the unknown word.
        label: the column of the classes: ``cat``, ten kinds of goods, or ``label``, 0 and 1 for bad and good.
        test_fraction: share of the rows in the test part.
        folder: the folder of the set. If None, it is sought as by `load_imdb`.
        seed: of the test part and the order.

    Raises:
        ConfigError: ``label`` or ``test_fraction`` is out of its range.
        DataError: there is no copy, or the file can't be read.
    """
    if label not in ("cat", "label"):
        raise ConfigError(f"label is {label!r}", hint="use cat or label")
    if not 0 < test_fraction < 1:
        raise ConfigError(f"test_fraction is {test_fraction!r}", hint="give a number between 0 and 1")
    [path] = found("zh_shopping", folder, "online_shopping")
    # One review is empty.
    pairs = [pair for pair in _labelled(detect(path, DataConfig(text=["review"], label=label))) if pair[0]]
    order = np.random.default_rng(seed).permutation(len(pairs))
    cut = round(test_fraction * len(pairs))
    return _data_set([pairs[n] for n in order[cut:]], [pairs[n] for n in order[:cut]], num_words, None)


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
    fetchable = download and folder is None and cache is not None and name in DATA_SETS
    try:
        train, test = found(name, folder, "train", "test")
    except DataError:
        if not fetchable or cache is None:
            raise
        place = fetch(name, cache / "datasets")
        train, test = place / "train", place / "test"
    return load_files(train, test, num_words, seed=seed)


def found(name: str, folder: str | Path | None, *parts: str) -> list[Path]:
    """Returns the folders or files of the parts of a set, from the first place that has all of them.

    Args:
        name: the name of the set, and of its folder in ``$RECURRA_DATA`` and in the cache of the user.
        folder: the folder of the set; if None, these places.
        parts: how the names of the files begin, such as ``train``.

    Raises:
        DataError: no place has them.
    """
    cache, data = user_cache(), os.environ.get("RECURRA_DATA")
    places = [Path(data) / name] if data else []
    if cache is not None:
        inside = DATA_SETS[name].folder if name in DATA_SETS else name
        places.append(cache / "datasets" / inside)
    for place in [Path(folder)] if folder is not None else places:
        matches = [sorted(place.glob(f"{part}*")) for part in parts]
        if all(matches):
            return [match[0] for match in matches]
    where = folder if folder is not None else ", ".join(map(str, places)) or "the known folders"
    files = " and ".join(f"{part}..." for part in parts)
    raise DataError(
        f"the data set {name} is in none of {where}",
        hint=f"give folder=..., a folder with {files}, or set RECURRA_DATA to the folder that holds {name}",
    )


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
