"""The words that a saved model holds nearest to a word: `recurra inspect MODEL words WORD`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recurra import store
from recurra.errors import DataError
from recurra.io.tokenizer import SPECIALS, spellings
from recurra.measure.neighbours import nearest
from recurra.tasks.reporter import Reporter
from recurra.tasks.transfer import embedding_of

__all__ = ["words"]

COUNT = 10


def words(model: Path, word: str, reporter: Reporter, *, count: int = COUNT) -> dict[str, Any]:
    """The nearest words by the cosine of their vectors; ``word`` is looked for by its `spellings`.

    Raises:
        BundleError: there is no model.
        DataError: ``word`` is not in the model's vocabulary, or the model has no words.
    """
    bundle = store.load(model)
    known = bundle.words()
    if not known:
        raise DataError(f"a model of task {bundle.task} has no words", where=model)
    places = {name: id for id, name in enumerate(known) if name and name not in SPECIALS}
    place = next((places[one] for one in spellings(word.strip()) if one in places), None)
    if place is None:
        what = "is not one word" if len(word.split()) != 1 else "is not in the vocabulary"
        raise DataError(f"{word!r} {what}", where=model, hint="give one word of the training texts")
    table = embedding_of(bundle.model).weight.detach().numpy()
    candidates = np.array(sorted(places.values()), np.int64)
    answers = [(known[id], cosine) for id, cosine in nearest(table, place, candidates, count)]
    reporter.table(
        "", (f"nearest to {word}", "cosine"), [(name, f"{cosine:.3f}") for name, cosine in answers]
    )
    return {"word": word, "nearest": [{"word": name, "cosine": cosine} for name, cosine in answers]}
