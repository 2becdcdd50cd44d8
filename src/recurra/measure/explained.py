"""Explanations of many predictions together: the words that push each class, and a test by deletion.

The contribution of a word is computed by hiding it from the network and, for n-grams, from their weights. The
test deletes words from the texts and predicts again: it shows whether the contributions say what happens
without a word (Samek et al., "Evaluating the Visualization of What a Deep Neural Network Has Learned", IEEE
TNNLS 28, 2017; DeYoung et al., "ERASER", ACL 2020).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.measure.explain import Explanation, join_words, to_html
from recurra.measure.report import ReportData, ReportTable, Section

__all__ = [
    "ClassWords",
    "DeletionTest",
    "Explained",
    "PushingWord",
    "deletion_test",
    "page_of",
    "words_by_class",
]

_SHOWN = 20
_MARK = "▁"  # before a piece that begins a word


class PushingWord(BaseModel):
    """A word and what it contributed to the log-odds of a class, over the rows that were predicted as it.

    Attributes:
        text: The word, in lower case.
        total: The sum of its contributions.
        rows: The number of rows that have it.
    """

    text: str
    total: float
    rows: int

    @property
    def mean(self) -> float:
        """The mean contribution in a row that has the word."""
        return self.total / self.rows


class ClassWords(BaseModel):
    """The words that push the predictions of a class, strongest first.

    Attributes:
        label: The class.
        rows: The number of rows that were predicted as it.
        towards: Words with the largest total towards the class.
        against: Words with the largest total against it.
    """

    label: str
    rows: int
    towards: list[PushingWord]
    against: list[PushingWord]


class DeletionTest(BaseModel):
    """How well contributions agree with what happens when words are deleted.

    Attributes:
        words: The number of words that were deleted, one at a time: of each row the strongest and another.
        correlation: Of the contribution and the decrease of the log-odds; None if one of them is constant.
        low: The lower end of its 95% interval.
        high: The upper end.
        strongest: The mean decrease of the log-odds without the strongest word that speaks for the label.
        random: The mean decrease without a word at random.
        flipped: The share of rows whose label is less likely than not without the strongest word, and was not
            before.
    """

    words: int
    correlation: float | None
    low: float | None
    high: float | None
    strongest: float
    random: float
    flipped: float

    def sentence(self) -> str:
        """Describes the result.

        Example:
            >>> test = DeletionTest(words=40, correlation=0.93, low=0.87, high=0.96, strongest=1.5,
            ...     random=0.1, flipped=0.25)
            >>> test.sentence().partition(". ")[2]
            'Contributions and decreases have a correlation of 0.93 (95% interval 0.87 to 0.96, 40 words).'
        """
        found = (
            "Deleting the strongest word of a text lowers the log-odds of its label by "
            f"{self.strongest:.2f}, another one, drawn at random, by {self.random:.2f}; in "
            f"{100 * self.flipped:.1f}% of the texts it then is less likely than not."
        )
        if self.correlation is None:
            return found
        interval = f"95% interval {self.low:.2f} to {self.high:.2f}, {self.words:,} words"
        return (
            f"{found} Contributions and decreases have a correlation of {self.correlation:.2f} ({interval})."
        )


class Explained(BaseModel):
    """The explanations of the rows of a file.

    Attributes:
        rows: The explanations, in the order of the file.
        of: The number of rows of the file; more than ``rows`` if not all were explained.
        classes: The words of each class.
        deletion: The test by deletion; None if no row has two words.
    """

    rows: list[Explanation]
    of: int
    classes: list[ClassWords]
    deletion: DeletionTest | None


def words_by_class(rows: Iterable[Explanation], count: int = _SHOWN) -> list[ClassWords]:
    """Returns the words that push each predicted class, classes by their number of rows.

    Words that were hidden together have an even share each of their contribution.

    Example:
        >>> from recurra.measure.explain import Contribution
        >>> parts = [Contribution(text=text, contribution=c) for text, c in (("Good", 2.0), ("dull", -0.5))]
        >>> (found,) = words_by_class([Explanation(label="pos", probability=0.8, parts=parts)])
        >>> found.label, found.towards[0].text, found.against[0].total
        ('pos', 'good', -0.5)
    """
    totals: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    predicted: dict[str, int] = defaultdict(int)
    for row in rows:
        predicted[row.label] += 1
        of_row: dict[str, float] = defaultdict(float)
        for part in row.parts:
            shown = part.text.split() if row.group > 1 else [part.text]
            for word in shown:
                of_row[word.removeprefix(_MARK).lower()] += part.contribution / len(shown)
        for word, value in of_row.items():
            if any(letter.isalnum() for letter in word):
                totals[row.label][word][0] += value
                totals[row.label][word][1] += 1
    found = []
    for label, number in sorted(predicted.items(), key=lambda pair: (-pair[1], pair[0])):
        words = [PushingWord(text=w, total=t, rows=int(n)) for w, (t, n) in totals[label].items()]
        words.sort(key=lambda word: (-word.total, word.text))
        towards = [word for word in words if word.total > 0][:count]
        against = [word for word in words[::-1] if word.total < 0][:count]
        found.append(ClassWords(label=label, rows=number, towards=towards, against=against))
    return found


def without(row: Explanation, part: int | None) -> str:
    """Returns the text of an explanation without one of its parts, or whole."""
    kept = [one.text for place, one in enumerate(row.parts) if place != part]
    if any(text.startswith(_MARK) for text in kept):
        return "".join(kept).replace(_MARK, " ").strip()
    return join_words(kept)


def deletion_test(
    rows: Sequence[Explanation],
    log_odds: Any,
    random: np.random.Generator,
) -> DeletionTest | None:
    """Returns how well contributions agree with deletions; None if no row has two parts.

    Args:
        rows: the explanations.
        log_odds: function of texts and labels that returns the log-odds of each label, (N,).
        random: chooses another word of each row.
    """
    usable = [row for row in rows if len(row.parts) > 1]
    if not usable:
        return None
    strongest = [int(np.argmax([part.contribution for part in row.parts])) for row in usable]
    chosen = [
        (best + 1 + int(random.integers(len(row.parts) - 1))) % len(row.parts)
        for best, row in zip(strongest, usable, strict=True)
    ]
    labels = [row.label for row in usable]
    whole = log_odds([without(row, None) for row in usable], labels)
    drops = []
    for places in (strongest, chosen):
        found = log_odds([without(row, place) for row, place in zip(usable, places, strict=True)], labels)
        drops.append(whole - found)
    claimed = np.array([
        row.parts[place].contribution
        for places in (strongest, chosen) for row, place in zip(usable, places, strict=True)
    ])  # fmt: skip
    correlation, low, high = _correlation(claimed, np.concatenate(drops))
    flipped = (whole > 0) & (whole - drops[0] < 0)
    return DeletionTest(
        words=len(claimed),
        correlation=correlation,
        low=low,
        high=high,
        strongest=float(drops[0].mean()),
        random=float(drops[1].mean()),
        flipped=float(flipped.mean()),
    )


def _correlation(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[float | None, float | None, float | None]:
    """Returns Pearson's correlation and its 95% interval by Fisher's transformation."""
    if len(x) < 4 or not x.std() or not y.std():
        return None, None, None
    from scipy.stats import pearsonr

    found = pearsonr(x, y)
    low, high = found.confidence_interval()
    return float(found.statistic), float(low), float(high)


def page_of(explained: Explained, title: str, created: str) -> ReportData:
    """Returns the page: the test by deletion, the words of each class, and the words of the first rows."""
    some = len(explained.rows) < explained.of
    sections = []
    if explained.deletion is not None:
        note = (
            "A contribution is the decrease of the log-odds of the label when a word is hidden; here the "
            "words were deleted from the texts instead. A correlation near 1 says that the contributions can "
            "be trusted for single words; words that count only together are not seen."
        )
        sections.append(
            Section(
                anchor="deletion",
                title="Do the contributions say what happens?",
                paragraphs=[explained.deletion.sentence()],
                notes=[note],
            )
        )
    for number, words in enumerate(explained.classes[:60]):
        tables = [
            ReportTable(
                caption=caption,
                header=["word", "total", "texts", "mean"],
                rows=[[w.text, f"{w.total:+.2f}", f"{w.rows:,}", f"{w.mean:+.2f}"] for w in found],
                folded=folded,
            )
            for caption, found, folded in (
                ("Towards the class", words.towards, False),
                ("Against it", words.against, True),
            )
            if found
        ]
        heading = f"{words.label}: {words.rows:,} texts"
        sections.append(Section(anchor=f"class-{number}", title=heading, tables=tables, half=True))
    html = Markup("")
    for row in explained.rows[:_SHOWN]:
        place = f"row {row.row:,}: " if row.row is not None else ""
        html += Markup("<p>{}<strong>{}</strong> {}<br>{}</p>").format(
            place, row.label, f"{100 * row.probability:.1f}%", to_html(row)
        )
    sections.append(
        Section(anchor="texts", title=f"The first {min(_SHOWN, len(explained.rows))} texts", html=html)
    )
    part = f"{len(explained.rows):,} of {explained.of:,} texts" if some else f"All {explained.of:,} texts"
    return ReportData(
        title=title,
        created=created,
        lead=f"{part} were explained: which words push each predicted class, summed over the file.",
        caution="Drawn at random; give --texts N for more." if some else "",
        sections=sections,
    )
