"""Sentences as ids, and padded batches in which the characters of each distinct word occur once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.io.batcher import Batch, Batches, even_parts
from recurra.io.examples import Examples

__all__ = ["IGNORED", "Forms", "TaggedBatch", "TaggedBatches", "TaggedSentences"]

IGNORED = -100
"""The tag id of padding and of tags that are not among those of the model."""


class Forms:
    """The distinct word forms of sentences: their ids in the vocabulary, and their characters.

    Forms are numbered from 1 to F; form 0 is padding, without characters. ``spellings`` are F arrays of
    character ids, of shape (n,), none empty.
    """

    def __init__(self, words: Sequence[int], spellings: Sequence[NDArray[np.integer[Any]]]) -> None:
        if len(words) != len(spellings):
            raise ValueError(f"{len(words)} words, but {len(spellings)} spellings")
        self.words = np.array([0, *words], np.int64)
        self._flat = np.concatenate([np.zeros(0, np.int32), *spellings]).astype(np.int32)
        self._lengths = np.array([0, *map(len, spellings)], np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths

    def __len__(self) -> int:
        """Number of forms, ``F``, without padding."""
        return len(self.words) - 1

    def spell(self, forms: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the characters (W, C) of forms (W,), padded with 0, and their lengths (W,)."""
        lengths = self._lengths[forms]
        steps = np.arange(max(1, int(lengths.max(initial=0))))
        mask = steps < lengths[:, None]
        characters = np.zeros(mask.shape, np.int64)
        characters[mask] = self._flat[(self._starts[forms][:, None] + steps)[mask]]
        return characters, lengths


@dataclass(frozen=True)
class TaggedSentences:
    """N sentences as ids, some of those of a file, whose arrays may be mapped from disk.

    Attributes:
        examples: the number of each word of the file, and the line of each sentence.
        forms: the different words of these sentences.
        tags: the number of the tag of each word of the file, of shape (words,); or None.
        rows: the N sentences, by their position in ``examples``; None for all.
        form_of: the form of each number in ``examples``, 0 for 0; None if the numbers are those of forms.
        tag_of: the tag id of each number in ``tags``; None if the numbers are ids. The id of a tag that the
            model lacks is `IGNORED`.
    """

    examples: Examples
    forms: Forms
    tags: NDArray[Any] | None
    rows: NDArray[np.int64] | None = None
    form_of: NDArray[np.int64] | None = None
    tag_of: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.tags is not None and len(self.tags) != len(self.examples.flat):
            raise ValueError(f"{len(self.examples.flat)} words, but {len(self.tags)} tags")

    def __len__(self) -> int:
        return len(self.examples if self.rows is None else self.rows)

    def forms_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the forms of numbers in ``examples``."""
        return numbers if self.form_of is None else self.form_of[numbers]

    def tags_of(self, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Returns the tag ids of the words of sentences ``rows``, None for all N, of shape (n,).

        Raises:
            DataError: the sentences have no tags.
        """
        if self.tags is None:
            raise DataError("the sentences have no tags")
        rows = self.rows if rows is None else rows
        numbers = self.tags if rows is None else self.tags[self.examples.places(rows)]
        return np.asarray(numbers if self.tag_of is None else self.tag_of[numbers], np.int64)


@dataclass(frozen=True)
class TaggedBatch:
    """Sentences of similar length, padded at the end to the length of the longest.

    Attributes:
        words: vocabulary ids of shape (B, T), int64, 0 for padding.
        lengths: number of words of each sentence, of shape (B,), int64.
        spelled: index of each word in ``characters``, of shape (B, T), int64.
        characters: characters of the distinct words of the batch, of shape (W, C), int64, padded with 0.
        character_lengths: number of characters of each, of shape (W,), int64.
        tags: tag ids of shape (B, T), int64, `IGNORED` if there is none; or None.
        rows: indices of the sentences, of shape (B,), int64.
    """

    words: torch.Tensor
    lengths: torch.Tensor
    spelled: torch.Tensor
    characters: torch.Tensor
    character_lengths: torch.Tensor
    tags: torch.Tensor | None
    rows: NDArray[np.int64]

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """The arguments of the network."""
        return self.words, self.lengths, self.spelled, self.characters, self.character_lengths

    @property
    def size(self) -> int:
        """Number of words with a tag, over which the loss is averaged; without tags, of all words."""
        return self.steps if self.tags is None else int((self.tags != IGNORED).sum())

    @property
    def steps(self) -> int:
        """Number of time steps: of all words."""
        return int(self.lengths.sum())

    def part(self, number: int, parts: int) -> TaggedBatch:
        """Returns one of several parts with about the same number of words; see `even_parts`.

        Its characters are those of its own words.
        """
        rows = even_parts(self.lengths.numpy(), parts)[number]
        lengths = self.lengths[rows]
        width = int(lengths.max()) if len(rows) else 0
        used, spelled = np.unique(self.spelled[rows, :width].numpy(), return_inverse=True)
        character_lengths = self.character_lengths[used]
        longest = int(character_lengths.max()) if len(used) else 0
        return TaggedBatch(
            words=self.words[rows, :width],
            lengths=lengths,
            spelled=torch.from_numpy(spelled.reshape(len(rows), width)),
            characters=self.characters[used, : max(1, longest)],
            character_lengths=character_lengths,
            tags=None if self.tags is None else self.tags[rows, :width],
            rows=self.rows[rows],
        )


class TaggedBatches:
    """Batches of sentences of similar length, each sentence once per epoch; see `Batches`.

    Example:
        >>> forms = Forms([7, 8], [np.array([2, 5, 3]), np.array([2, 3])])
        >>> examples = Examples.from_arrays([np.array([1, 2, 1]), np.array([2])])
        >>> batch = next(TaggedBatches(TaggedSentences(examples, forms, None), None, 2).epoch(0))
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
        rows = sentences.rows if rows is None else rows
        self._batches = Batches(sentences.examples, rows, batch_size, shuffle=shuffle, seed=seed)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Indices of the sentences."""
        return self._batches.rows

    @property
    def tokens_in_epoch(self) -> int:
        """Number of words of all sentences."""
        return self._batches.tokens_in_epoch

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TaggedBatch]:
        """Yields the batches of an epoch from batch ``start`` on.

        ``list(epoch(e, k))`` equals ``list(epoch(e))[k:]``.
        """
        return map(self._spell, self._batches.epoch(epoch, start))

    def _spell(self, batch: Batch) -> TaggedBatch:
        forms = self.sentences.forms
        tokens = self.sentences.forms_of(batch.tokens.numpy())
        distinct, spelled = np.unique(tokens, return_inverse=True)
        characters, lengths = forms.spell(distinct)
        tags = None
        if self.sentences.tags is not None:
            tags = np.full(tokens.shape, IGNORED, np.int64)
            # Row by row, in the order of the flat tags.
            tags[tokens > 0] = self.sentences.tags_of(batch.rows)
        return TaggedBatch(
            words=torch.from_numpy(forms.words[tokens]),
            lengths=batch.lengths,
            spelled=torch.from_numpy(spelled.reshape(tokens.shape)),
            characters=torch.from_numpy(characters),
            character_lengths=torch.from_numpy(lengths),
            tags=None if tags is None else torch.from_numpy(tags),
            rows=batch.rows,
        )
