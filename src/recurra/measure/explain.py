"""Why a text was given its class: what each word changes when it is hidden from the model.

Leave-one-out ("occlusion"): a word is replaced by the unknown token, the text is scored again, and the fall
in the log-odds of the predicted class is the word's contribution. It needs nothing of the model but its
probabilities, and it is exact about what it says; what it can't see is words that only count together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.measure.words import join_words, space_between

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Contribution", "Explanation", "Score", "explain", "to_html", "to_rich"]

Score = Callable[[list[NDArray[np.integer]]], NDArray[np.floating]]
_EDGE = 1e-12  # probabilities are kept this far from 0 and 1, so log-odds stay finite


class Contribution(BaseModel):
    """One word (or group of words) and by how much it raises the log-odds of the explained class."""

    text: str
    contribution: float


class Explanation(BaseModel):
    """Why one text was given its class.

    ``parts`` cover the text in its order. ``group`` is how many tokens a part holds (1: each word by itself).
    ``note`` says what a reader should know, such as that words were taken in groups; it may be empty.
    ``true`` is the true class where it is known, ``row`` the row in the data file.
    """

    label: str
    probability: float
    parts: list[Contribution]
    group: int = 1
    note: str = ""
    true: str | None = None
    row: int | None = None


def explain(
    tokens: Sequence[str],
    ids: NDArray[np.integer],
    score: Score,
    names: Sequence[str],
    *,
    unknown_id: int = 2,
    hidden_ids: frozenset[int] = frozenset({0, 1}),
    target: int | None = None,
    limit: int = 200,
) -> Explanation:
    """The contribution of each token to the probability of one class.

    Args:
        tokens: ``T`` tokens as words; may still show the word where ``ids`` has the unknown token.
        ids: ``(T,)`` their ids.
        score: gives ``(M, C)`` probabilities for a list of ``M`` id arrays; called twice at most.
        names: the ``C`` classes.
        unknown_id: what a hidden token is replaced by.
        hidden_ids: ids (padding, start) that are no words: never replaced, never shown.
        target: the class to explain; the most probable one if not given.
        limit: texts scored at most, the text itself not counted. Where there are more tokens, neighbours
            are hidden together, in groups just large enough.

    Raises:
        ValueError: ``tokens`` and ``ids`` differ in length, or ``limit`` is below 1.
    """
    ids = np.asarray(ids)
    if len(tokens) != len(ids):
        raise ValueError(f"{len(tokens)} tokens have {len(ids)} ids")
    if limit < 1:
        raise ValueError("limit must be at least 1")
    whole = np.asarray(score([ids]), np.float64)
    target = int(whole[0].argmax()) if target is None else target
    places = [t for t in range(len(ids)) if int(ids[t]) not in hidden_ids]
    size = max(1, -(-len(places) // limit))
    groups = [places[start : start + size] for start in range(0, len(places), size)]
    # Hiding what is unknown already changes nothing: such groups are not scored.
    asked = [g for g, group in enumerate(groups) if (ids[group] != unknown_id).any()]
    contributions = np.zeros(len(groups))
    if asked:
        variants = []
        for g in asked:
            variant = ids.copy()
            variant[groups[g]] = unknown_id
            variants.append(variant)
        scored = np.asarray(score(variants), np.float64)
        contributions[asked] = _log_odds(whole[0, target]) - _log_odds(scored[:, target])
    notes = []
    if size > 1:
        notes.append(f"the text is long, so words were hidden in groups of {size}")
    unknown = int((ids[places] == unknown_id).sum())
    if unknown:
        verb = "word is" if unknown == 1 else "words are"
        notes.append(f"{unknown} {verb} outside the vocabulary and can't count")
    return Explanation(
        label=str(names[target]),
        probability=float(whole[0, target]),
        parts=[
            Contribution(text=join_words([str(tokens[t]) for t in group]), contribution=float(value))
            for group, value in zip(groups, contributions, strict=True)
        ],
        group=size,
        note="; ".join(notes),
    )


def to_html(explanation: Explanation) -> Markup:
    """The text as HTML spans, coloured by contribution; whatever the text holds is escaped.

    Words for the class carry the class ``for``, words against it ``against``, and the custom property ``--w``
    (0 to 1) says how strongly; the report's style sheet gives them colour, and a line under words against,
    so that colour isn't the only sign. ``title`` holds the figure.
    """
    most = _most(explanation)
    pieces: list[Markup] = []
    before = ""
    for part in explanation.parts:
        pieces.append(escape(" " if space_between(before, part.text) else ""))
        weight = part.contribution / most
        if abs(weight) < 0.05:
            pieces.append(escape(part.text))
        else:
            pieces.append(
                Markup('<span class="{}" style="--w:{}" title="{}">{}</span>').format(
                    "for" if weight > 0 else "against",
                    f"{abs(weight):.2f}",
                    f"{part.contribution:+.2f}",
                    part.text,
                )
            )
        before = part.text
    return Markup("").join(pieces)


def to_rich(explanation: Explanation) -> Text:
    """The text for the terminal: words for the class green, words against it red, strong ones bold."""
    from rich.text import Text

    most = _most(explanation)
    line = Text()
    before = ""
    for part in explanation.parts:
        if space_between(before, part.text):
            line.append(" ")
        weight = part.contribution / most
        style = "" if abs(weight) < 0.1 else "green" if weight > 0 else "red underline"
        line.append(part.text, f"{style} bold" if style and abs(weight) >= 0.5 else style)
        before = part.text
    return line


def _log_odds(p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    q = np.clip(np.asarray(p, np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(q) - np.log1p(-q))


def _most(explanation: Explanation) -> float:
    return max((abs(part.contribution) for part in explanation.parts), default=0.0) or 1.0
