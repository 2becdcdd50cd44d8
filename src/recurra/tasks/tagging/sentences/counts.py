"""How often each training word had which tag: what is known of words without any network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recurra.errors import BundleError, DataError
from recurra.tasks.tagging.sentences.source import Sentence

__all__ = ["TagCounts"]


@dataclass(frozen=True)
class TagCounts:
    """How often each word, as it stands, had each tag.

    Example:
        >>> found = TagCounts.learn([Sentence(("the", "run", "run"), ("DET", "NOUN", "VERB"), 1)])
        >>> found.tags, found.words["run"], found.frequencies()
        (('DET', 'NOUN', 'VERB'), {'NOUN': 1, 'VERB': 1}, {'the': 1, 'run': 2})
    """

    words: Mapping[str, Mapping[str, int]]

    @classmethod
    def learn(cls, sentences: Iterable[Sentence]) -> TagCounts:
        """The counts of tagged sentences.

        Raises:
            DataError: a sentence has no tags.
        """
        found: dict[str, Counter[str]] = {}
        for sentence in sentences:
            if sentence.tags is None:
                raise DataError("the sentence has no tags", row=sentence.row)
            for word, tag in zip(sentence.words, sentence.tags, strict=True):
                found.setdefault(word, Counter())[tag] += 1
        return cls({word: dict(counts) for word, counts in found.items()})

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags, sorted."""
        return tuple(sorted({tag for counts in self.words.values() for tag in counts}))

    def frequencies(self) -> dict[str, int]:
        """How often each word occurred."""
        return {word: sum(counts.values()) for word, counts in self.words.items()}

    def to_json(self) -> str:
        """The counts as JSON."""
        return json.dumps(self.words, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> TagCounts:
        """The counts that `to_json` wrote.

        Raises:
            BundleError: the text is something else.
        """
        try:
            words = json.loads(text)
            counts = [count for tags in words.values() for count in tags.values()]
        except (ValueError, AttributeError, RecursionError) as error:
            raise BundleError(f"the saved counts of words can't be read ({error})") from error
        if not all(type(count) is int and count > 0 for count in counts):
            raise BundleError("the saved counts of words are damaged")
        return cls(words)
