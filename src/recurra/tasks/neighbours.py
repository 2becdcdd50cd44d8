"""The words that a saved model holds nearest to a word: `recurra inspect MODEL words WORD`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recurra import bundle as bundles
from recurra.bundle import ClassifierBundle
from recurra.errors import DataError
from recurra.evaluate.neighbours import nearest
from recurra.tasks.narrate import Narrator
from recurra.text.tokenizer import SPECIALS

__all__ = ["words"]

COUNT = 10


def words(model: Path, word: str, tell: Narrator, *, count: int = COUNT) -> dict[str, Any]:
    """The nearest words by the cosine of their vectors; ``word`` is read as a text is.

    Raises:
        BundleError: there is no model.
        DataError: ``word`` is not one token of the model's vocabulary.
    """
    found = bundles.load_as(ClassifierBundle, model)
    tokenizer = found.tokenizer
    ids = tokenizer.encode([word]).ids[0][tokenizer.config.start_token :]
    if len(ids) != 1 or ids[0] < len(SPECIALS):
        what = "is not one word" if len(ids) != 1 else "is not in the vocabulary"
        raise DataError(f"{word!r} {what}", where=model, mend="give one word of the training texts")
    table = found.model.embedding.weight.detach().numpy()
    candidates = np.arange(len(SPECIALS), len(table), dtype=np.int64)
    answers = [(tokenizer.word(id), cosine) for id, cosine in nearest(table, int(ids[0]), candidates, count)]
    tell.table("", (f"nearest to {word}", "cosine"), [(name, f"{cosine:.3f}") for name, cosine in answers])
    return {"word": word, "nearest": [{"word": name, "cosine": cosine} for name, cosine in answers]}
