"""Texts as inputs of an exported model: the tokenizer's file and description, and texts to compare on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.io.tokenizer import SPECIALS, TextTokenizer

__all__ = ["padded", "probe_texts", "tokenizer_file", "tokenizer_signature"]

_LONGEST = 300
_SIZES = (1, 3, 8)


def padded(rows: Sequence[NDArray[np.integer[Any]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns rows of ids as one array ``(B, T)``, padded at the end with 0, and their lengths ``(B,)``.

    Example:
        >>> ids, lengths = padded([np.array([1, 5, 6]), np.array([1])])
        >>> ids.tolist(), lengths.tolist()
        ([[1, 5, 6], [1, 0, 0]], [3, 1])
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((len(rows), int(lengths.max(initial=1))), np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return ids, lengths


def tokenizer_file(tokenizer: TextTokenizer) -> str:
    """Returns ``tokenizer.json`` for other programs.

    It has no added tokens: texts that have the letters ``<pad>`` are read as these letters, as in recurra,
    which is a setting that the file can't hold.
    """
    description = json.loads(tokenizer.to_json())
    description["added_tokens"] = []
    return json.dumps(description, ensure_ascii=False, indent=1) + "\n"


def tokenizer_signature(tokenizer: TextTokenizer) -> dict[str, Any]:
    """Returns what a client must do besides ``tokenizer.json``."""
    config = tokenizer.config
    return {
        "file": "tokenizer.json",
        "level": config.level,
        "start_id": tokenizer.start_id if config.start_token else None,
        "unknown_id": tokenizer.unknown_id,
        "max_tokens": config.max_tokens,
        "cut": config.cut,
        "lowercase": config.lowercase and config.level != "whitespace",
        "strip_html": config.strip_html and config.level != "whitespace",
        "segment_chinese": config.chinese == "words" and config.level in ("word", "subword"),
    }


def probe_texts(
    tokenizer: TextTokenizer, phrases: Sequence[str], random: np.random.Generator
) -> Iterator[list[str]]:
    """Yields 1, 3 and 8 texts of different lengths: of known words, of phrases, unknown and empty."""
    words = [
        tokenizer.word(number).removeprefix("▁")
        for number in random.integers(len(SPECIALS), tokenizer.vocab_size, 200)
        if tokenizer.vocab_size > len(SPECIALS)
    ]
    pool = [word for word in (*words, *phrases) if word.strip()] or ["a"]
    longest = min(_LONGEST, tokenizer.config.max_tokens + 20)
    for size in _SIZES:
        lengths = random.integers(1, longest, size)
        texts = [" ".join(random.choice(pool, length)) for length in lengths.tolist()]
        if size == _SIZES[-1]:
            texts[:4] = ["", "qzxv jjqx", pool[0], f"<br/>{' '.join(pool[:7])}! &amp; {pool[-1].upper()}"]
        yield texts
