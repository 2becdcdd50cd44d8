"""A tokenizer with the words of further texts after its own."""

from __future__ import annotations

import json
from collections.abc import Iterable

from recurra.io.tokenizer import TextTokenizer

__all__ = ["extended"]


def extended(tokenizer: TextTokenizer, texts: Iterable[str]) -> TextTokenizer:
    """Returns a tokenizer that knows the words of ``texts`` too; the ids of its own words stay.

    Of the texts, as many of the most frequent words are taken as a vocabulary of their own would have. Pieces
    of words (``level: subword``) stay as they are: any word is made of them.

    Example:
        >>> from recurra.config import TokenizerConfig
        >>> old = TextTokenizer.train(["a good film"], TokenizerConfig())
        >>> new = extended(old, ["a bad film"])
        >>> old.tokens("a bad film"), new.tokens("a bad film"), new.vocab_size - old.vocab_size
        (['<start>', 'a', '<unk>', 'film'], ['<start>', 'a', 'bad', 'film'], 1)
    """
    if tokenizer.config.level == "subword":
        return tokenizer
    new = TextTokenizer.train(texts, tokenizer.config)
    description = json.loads(tokenizer.to_json())
    vocabulary = description["model"]["vocab"]
    for word in (new.word(id) for id in range(new.vocab_size)):
        vocabulary.setdefault(word, len(vocabulary))
    return TextTokenizer.from_json(json.dumps(description), tokenizer.config)
