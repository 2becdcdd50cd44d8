"""Sentences as numbers, and their padded batches in which each distinct word is spelled once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.io.batcher import Batch, Batches
from recurra.io.examples import Examples

__all__ = ["IGNORED", "Forms", "TaggedBatch", "TaggedBatches", "TaggedSentences"]

IGNORED = -100
"""The tag where there is none: padding, or a tag that the model does not know."""


class Forms:
    """The distinct words of some sentences, as they stand: number in the vocabulary, and spelling.

    Forms count from 1; form 0 is padding, of no characters.

    Args:
        words: ``F`` numbers, of forms 1 to F.
        spellings: ``F`` arrays ``(n,)`` of character numbers, none empty.
    """

    def __init__(self, words: Sequence[int], spellings: Sequence[NDArray[np.integer[Any]]]) -> None:
        if len(words) != len(spellings):
            raise ValueError(f"{len(words)} words, but {len(spellings)} spellings")
        self.words = np.array([0, *words], np.int64)
        self._flat = np.concatenate([np.zeros(0, np.int32), *spellings]).astype(np.int32)
        self._lengths = np.array([0, *map(len, spellings)], np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths

    def __len__(self) -> int:
        """``F``, padding not counted."""
        return len(self.words) - 1

    def spell(self, forms: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``(W, C)`` characters of ``(W,)`` forms, padded with 0, and ``(W,)`` how many each has."""
        lengths = self._lengths[forms]
        steps = np.arange(max(1, int(lengths.max(initial=0))))
        there = steps < lengths[:, None]
        characters = np.zeros(there.shape, np.int64)
        characters[there] = self._flat[(self._starts[forms][:, None] + steps)[there]]
        return characters, lengths


@dataclass(frozen=True)
class TaggedSentences:
    """N sentences as numbers.

    Attributes:
        examples: the form of each word, and each sentence's place in its file.
        forms: what these forms are.
        tags: ``(words,)`` int64 the tag of each word, sentence after sentence, `IGNORED` for one that is not
            known; None where there are no tags.
    """

    examples: Examples
    forms: Forms
    tags: NDArray[np.int64] | None

    def __post_init__(self) -> None:
        if self.tags is not None and len(self.tags) != len(self.examples.flat):
            raise ValueError(f"{len(self.examples.flat)} words, but {len(self.tags)} tags")

    def __len__(self) -> int:
        return len(self.examples)

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """``(n,)`` where the words of some sentences stand in the flat arrays, sentence after sentence."""
        lengths = self.examples.lengths[rows].astype(np.int64)
        shift = self.examples.offsets[rows] - (np.cumsum(lengths) - lengths)
        found: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(shift, lengths)
        return found


@dataclass(frozen=True)
class TaggedBatch:
    """Sentences of similar length, padded at their end to the longest of them.

    Attributes:
        words: ``(B, T)`` int64 numbers in the vocabulary, 0 for padding.
        lengths: ``(B,)`` int64 true words of each sentence.
        spelled: ``(B, T)`` int64 which of the spellings is the word's.
        characters: ``(W, C)`` int64 spellings of the batch's distinct words, padded with 0.
        character_lengths: ``(W,)`` int64 true characters of each.
        tags: ``(B, T)`` int64, `IGNORED` where there is none; or None.
        rows: ``(B,)`` int64, which of the sentences these are.
    """

    words: torch.Tensor
    lengths: torch.Tensor
    spelled: torch.Tensor
    characters: torch.Tensor
    character_lengths: torch.Tensor
    tags: torch.Tensor | None
    rows: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Words: the mean loss is over them."""
        return int(self.lengths.sum())

    @property
    def steps(self) -> int:
        """Words too."""
        return self.size


class TaggedBatches:
    """Every chosen sentence once an epoch, in batches of similar length; order and arguments as of `Batches`.

    Example:
        >>> forms = Forms([7, 8], [np.array([2, 5, 3]), np.array([2, 3])])
        >>> two = Examples.from_arrays([np.array([1, 2, 1]), np.array([2])])
        >>> batch = next(TaggedBatches(TaggedSentences(two, forms, None), None, 2).epoch(0))
        >>> batch.words.tolist(), batch.spelled.tolist(), batch.characters.tolist()
        ([[8, 0, 0], [7, 8, 7]], [[2, 0, 0], [1, 2, 1]], [[0, 0, 0], [2, 5, 3], [2, 3, 0]])
    """

    def __init__(
        self,
        sentences: TaggedSentences,
        rows: NDArray[np.int64] | None,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.sentences = sentences
        self._batches = Batches(sentences.examples, rows, batch_size, shuffle=shuffle, seed=seed)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The chosen sentences."""
        return self._batches.rows

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TaggedBatch]:
        """The batches of one epoch from batch ``start`` on.

        ``list(epoch(e, k))`` equals ``list(epoch(e))[k:]``.
        """
        return map(self._spell, self._batches.epoch(epoch, start))

    def _spell(self, batch: Batch) -> TaggedBatch:
        forms = self.sentences.forms
        tokens = batch.tokens.numpy()
        distinct, spelled = np.unique(tokens, return_inverse=True)
        characters, lengths = forms.spell(distinct)
        tags = None
        if self.sentences.tags is not None:
            tags = np.full(tokens.shape, IGNORED, np.int64)
            # Row by row, so that they come in the order of the flat tags.
            tags[np.arange(tokens.shape[1]) < batch.lengths.numpy()[:, None]] = self.sentences.tags[
                self.sentences.places(batch.rows)
            ]
        return TaggedBatch(
            words=torch.from_numpy(forms.words[tokens]),
            lengths=batch.lengths,
            spelled=torch.from_numpy(spelled.reshape(tokens.shape)),
            characters=torch.from_numpy(characters),
            character_lengths=torch.from_numpy(lengths),
            tags=None if tags is None else torch.from_numpy(tags),
            rows=batch.rows,
        )
