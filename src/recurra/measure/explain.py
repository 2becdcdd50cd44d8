"""Explanations of predicted classes by occlusion: how much the prediction changes when a word is hidden.

A word is replaced by the unknown token, the text is scored again, and the decrease of the log-odds of the
predicted class is the contribution of the word (leave-one-out). The method needs only the probabilities of
the model. It does not detect words that have an effect only together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.printable import printable

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Contribution", "Explanation", "Score", "explain", "join_words", "strongest", "to_html", "to_rich"]

Score = Callable[[list[NDArray[np.integer]]], NDArray[np.floating]]
_EDGE = 1e-12  # probabilities are kept this far from 0 and 1, so log-odds stay finite


class Contribution(BaseModel):
    """One word or group of words, and its contribution to the log-odds of the explained class."""

    text: str
    contribution: float


class Explanation(BaseModel):
    """The explanation of one prediction.

    Attributes:
        label: Explained class.
        probability: Its probability.
        parts: Contributions in the order of the text.
        group: Number of tokens in a part; 1 if each word is a part.
        note: Limits of the explanation, such as that words were hidden in groups; may be empty.
        sums: Of a model that is a sum of several: the part of each in the log-odds of the label, by name;
            they add up to the log-odds. Empty for one model alone.
        ngrams: The contribution of each different n-gram of the text, strongest first; empty without n-grams.
        network: Of each of ``parts``, the contribution of the network alone; empty without n-grams.
        true: True class; None if it is not known.
        row: Row in the data file; None if there is none.
    """

    label: str
    probability: float
    parts: list[Contribution]
    group: int = 1
    note: str = ""
    true: str | None = None
    row: int | None = None
    sums: dict[str, float] = {}
    ngrams: list[Contribution] = []
    network: list[float] = []

    def details(self, count: int = 5) -> list[str]:
        """Returns the figures in words: the sums, the strongest n-grams, the strongest words of the network.

        Example:
            >>> parts = [Contribution(text="good", contribution=2.5), Contribution(text="?", contribution=0)]
            >>> found = Explanation(label="pos", probability=0.9, parts=parts, network=[0.5, 0.0],
            ...     ngrams=[parts[0]], sums={"n-grams": 2.0, "network": 0.2})
            >>> print("\\n".join(found.details()))
            log-odds +2.20: n-grams +2.00, network +0.20
            strongest n-grams: good +2.50
            strongest words in the network: good +0.50
        """
        if not self.sums:
            return []
        total = f"log-odds {sum(self.sums.values()):+.2f}: "
        lines = [total + ", ".join(f"{name} {value:+.2f}" for name, value in self.sums.items())]
        words = [
            Contribution(text=part.text, contribution=value)
            for part, value in zip(self.parts, self.network, strict=True)
        ]
        for title, found in (
            ("strongest n-grams", self.ngrams),
            ("strongest words in the network", strongest(words, count)),
        ):
            shown = ", ".join(f"{one.text} {one.contribution:+.2f}" for one in found[:count])
            lines += [f"{title}: {shown}"] if shown else []
        return lines

    def _repr_html_(self) -> str:
        style = Markup(
            "<style>.recurra-text .for {background: rgb(28 140 70 / calc(.6 * var(--w)))}"
            ".recurra-text .against {background: rgb(200 60 40 / calc(.6 * var(--w)))}</style>"
        )
        return Markup('{}<p class="recurra-text"><b>{}</b> {}<br>{}</p>').format(
            style, self.label, f"{100 * self.probability:.1f}%", to_html(self)
        )


def strongest(parts: Iterable[Contribution], count: int) -> list[Contribution]:
    """Returns the ``count`` largest contributions that are not 0, by size, largest first."""
    return sorted((p for p in parts if p.contribution), key=lambda p: -abs(p.contribution))[:count]


def explain(
    tokens: Sequence[str],
    ids: NDArray[np.integer],
    score: Score,
    names: Sequence[str],
    *,
    unknown_id: int = 2,
    hidden_ids: frozenset[int] = frozenset({0, 1}),
    limit: int = 200,
    within: str = "",
    choose: Callable[[NDArray[np.float64]], int] | None = None,
) -> Explanation:
    """Returns the contribution of each token to the probability of the most probable class.

    Args:
        tokens: ``T`` tokens as text; may contain words whose id is the unknown token.
        ids: Token ids of shape ``(T,)``.
        score: Function from a list of ``M`` id arrays to probabilities ``(M, C)``; called at most twice.
        names: The ``C`` classes.
        unknown_id: Id that replaces a hidden token.
        hidden_ids: Ids that are no words (padding, start); they are never replaced and never shown.
        limit: Maximum number of scored variants. If there are more tokens, neighbours are hidden together in
            groups of the smallest sufficient size.
        choose: the number of the class to explain, of the probabilities (C,); None for the most probable one.
        within: for the note, what the contributions are to, if other models add theirs: ``in the network``.

    Raises:
        ValueError: If ``tokens`` and ``ids`` differ in length, or ``limit`` is below 1.
    """
    ids = np.asarray(ids)
    if len(tokens) != len(ids):
        raise ValueError(f"{len(tokens)} tokens have {len(ids)} ids")
    if limit < 1:
        raise ValueError("limit must be at least 1")
    whole = np.asarray(score([ids]), np.float64)
    target = int(whole[0].argmax()) if choose is None else choose(whole[0])
    positions = [t for t in range(len(ids)) if int(ids[t]) not in hidden_ids]
    size = max(1, -(-len(positions) // limit))
    groups = [positions[start : start + size] for start in range(0, len(positions), size)]
    # Hiding unknown tokens changes nothing: groups of only such tokens are not scored.
    scored_groups = [g for g, group in enumerate(groups) if (ids[group] != unknown_id).any()]
    contributions = np.zeros(len(groups))
    if scored_groups:
        variants = []
        for g in scored_groups:
            variant = ids.copy()
            variant[groups[g]] = unknown_id
            variants.append(variant)
        scored = np.asarray(score(variants), np.float64)
        contributions[scored_groups] = _log_odds(whole[0, target]) - _log_odds(scored[:, target])
    notes = []
    if size > 1:
        notes.append(f"the text is long, so words were hidden in groups of {size}")
    unknown = int((ids[positions] == unknown_id).sum())
    if unknown:
        words, has = ("word is", "has") if unknown == 1 else ("words are", "have")
        place = f" {within}" if within else ""
        notes.append(f"{unknown} {words} outside the vocabulary and {has} no contribution{place}")
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
    """Returns the text as HTML spans coloured by contribution; the text is escaped.

    Words with a positive contribution have the CSS class ``for``, others ``against``; the custom property
    ``--w`` (0 to 1) is the relative size. The style sheet of the report also underlines words of the second
    class, so that colour is not the only sign. ``title`` has the figure.
    """
    html = Markup("")
    for space, part, weight in _weighted(explanation):
        html += space
        if abs(weight) < 0.05:
            html += part.text
        else:
            html += Markup('<span class="{}" style="--w:{}" title="{}">{}</span>').format(
                "for" if weight > 0 else "against",
                f"{abs(weight):.2f}",
                f"{part.contribution:+.2f}",
                part.text,
            )
    return html


def to_rich(explanation: Explanation) -> Text:
    """Returns the text for a terminal: positive contributions green, negative ones red, large ones bold."""
    from rich.text import Text

    line = Text()
    for space, part, weight in _weighted(explanation):
        style = "" if abs(weight) < 0.1 else "green" if weight > 0 else "red underline"
        line.append(space)
        line.append(printable(part.text), f"{style} bold" if style and abs(weight) >= 0.5 else style)
    return line


def _weighted(explanation: Explanation) -> Iterator[tuple[str, Contribution, float]]:
    """Yields the space before each part, the part, and its contribution relative to the largest one."""
    largest = max((abs(part.contribution) for part in explanation.parts), default=0.0) or 1.0
    before = ""
    for part in explanation.parts:
        yield " " if _space_between(before, part.text) else "", part, part.contribution / largest
        before = part.text


def _log_odds(p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    q = np.clip(np.asarray(p, np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(q) - np.log1p(-q))


def join_words(words: Iterable[str]) -> str:
    """Returns the words joined by spaces, without spaces between Chinese characters or before punctuation.

    Example:
        >>> join_words(["not", "good", ",", "不", "错", "。"])
        'not good, 不错。'
    """
    line = ""
    for word in words:
        line += (" " if _space_between(line, word) else "") + word
    return line


def _space_between(before: str, after: str) -> bool:
    """Whether two neighbouring words are separated by a space."""
    if not before or not after:
        return False
    if _wide(before[-1]) and _wide(after[0]):
        return False
    return after[0] not in ".,;:!?)]}%’”，。！？；：、）》" and before[-1] not in "([{“‘（《"


def _wide(character: str) -> bool:
    """Whether the character is of a script written without spaces, or its punctuation."""
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef" or character >= "\U00020000"
