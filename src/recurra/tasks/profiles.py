"""Figures of texts for a profile: lengths and unknown words, by a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.io.tokenizer import Encoded, TextTokenizer
from recurra.measure.shift import Profile
from recurra.tasks.counted import counted
from recurra.tasks.reporter import Tick
from recurra.tasks.texts import Part

__all__ = ["Answered", "sampled", "text_profile"]

Answered: TypeAlias = tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]
"""Figures of texts, and their answers as names, by what they are; of shape (N,) each."""
MOST = 5_000
_CHUNK = 1_024


def sampled(part: Part, tick: Tick) -> Iterator[Sequence[str]]:
    """Yields the texts of a part in chunks; of more than 5,000, those of a random sample."""
    rows = part.rows
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST, replace=False))
    texts = counted(part.texts(rows), tick)
    while chunk := list(islice(texts, _CHUNK)):
        yield chunk


def text_profile(
    chunks: Iterable[Sequence[str]],
    tokenizer: TextTokenizer,
    answer: Callable[[Sequence[str], Encoded], Answered],
) -> Profile:
    """Returns the profile of texts: their length in tokens, the share of unknown ones, and their answers."""
    rows, numbers, counts = 0, dict[str, list[NDArray[Any]]](), dict[str, dict[str, int]]()
    for texts in chunks:
        encoded = tokenizer.encode(texts)
        lengths = np.maximum(encoded.full_lengths - tokenizer.config.start_token, 0)
        found, answers = answer(texts, encoded)
        rows += len(texts)
        shares = encoded.unknown / np.maximum(lengths, 1)
        for name, values in {"length": lengths, "unknown words": shares, **found}.items():
            numbers.setdefault(name, []).append(np.asarray(values, np.float64))
        for name, values in answers.items():
            for label, count in zip(*np.unique(values, return_counts=True), strict=True):
                kind = counts.setdefault(name, {})
                kind[str(label)] = kind.get(str(label), 0) + int(count)
    return Profile.of(rows, {name: np.concatenate(values) for name, values in numbers.items()}, counts)
