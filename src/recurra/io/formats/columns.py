"""Which columns hold the text and the label: by their names, otherwise by their cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from recurra.io.formats.reading import MISSING, as_labels, as_text, parse_list

__all__ = [
    "Column",
    "find_label",
    "find_other_texts",
    "find_separator",
    "find_text",
    "is_known_name",
    "study",
]

_LABELS = (  # the first that occurs is chosen
    *("label", "labels", "target", "class", "classes", "category", "categories", "sentiment"),
    *("class_index", "class_name", "label_text", "polarity", "topic", "topics", "intent", "emotion"),
    *("tag", "tags", "gold", "gold_label", "y", "stars", "rating", "score", "cat"),
)
_TEXTS = (
    *("text", "texts", "review", "reviews", "sentence", "content", "comment", "comments", "comment_text"),
    *("review_text", "reviewtext", "reviewbody", "review_body", "tweet", "message", "document"),
    *("body", "description", "utterance", "question", "query", "post", "abstract", "article", "news"),
)
_TITLES = ("title", "headline", "subject", "summary", "heading")
_OTHERS = ("id", "idx", "index", "split", "date", "user", "name")
_CHINESE = {"标签": "label", "类别": "class", "分类": "class", "评论": "review", "文本": "text"}
_CHINESE |= {"内容": "content", "标题": "title", "情感": "sentiment"}
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_DAY = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})"
_TIME = re.compile(_DAY + r"(?:[T ]\d{1,2}:\d{2}.{0,20})?")
_CODE = re.compile(
    r"(?:https?://|www\.)\S+|\S+@\S+\.\w+|[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
)
_NUMBER = re.compile(r"\s*[-+]?\.?\d[\d ,.']*(?:[eE][-+]?\d+)?%?\s*")


def plain_name(name: str) -> str:
    """Returns a column's name for comparison: in lower case, words joined by ``_``."""
    name = name.strip().lstrip("\ufeff")
    return _CHINESE.get(name) or _NOT_WORD.sub("_", name.lower()).strip("_")


def is_known_name(name: str) -> bool:
    """Whether a cell is a usual name of a column."""
    return plain_name(name) in {*_LABELS, *_TEXTS, *_TITLES, *_OTHERS}


@dataclass
class Column:
    """Counts over the cells of a column, row by row, in bounded memory.

    Attributes:
        count: the number of cells that are not empty.
        characters: the number of their characters.
        words: the number of words of the first 1,000 cells.
        numbers: the number of cells that are numbers.
        codes: the number of cells that are dates, addresses of the web or of mail, or UUIDs.
        lists: the number of cells that are lists.
        foreign: the number of cells that are neither text, number nor list.
        values: the number of occurrences of each value, of at most ``limit`` different ones.
    """

    name: str
    limit: int
    count: int = 0
    characters: int = 0
    words: int = 0
    numbers: int = 0
    codes: int = 0
    lists: int = 0
    foreign: int = 0
    values: Counter[str] = field(default_factory=Counter)

    def add(self, value: Any) -> None:
        """Counts one cell, unless it is empty."""
        if value is None or value is MISSING or value == "":
            return
        self.count += 1
        if isinstance(value, list | tuple):
            self.lists += 1
        elif isinstance(value, dict):
            self.foreign += 1
            return
        if isinstance(value, bool | int | float | Decimal):
            self.numbers += 1
        labels = as_labels(value, None)
        text = "\x00".join(labels or ()) if isinstance(value, list | tuple) else as_text(value)
        if text is None:
            self.foreign += 1
            return
        if isinstance(value, str) and _NUMBER.fullmatch(text):
            self.numbers += 1
        elif len(text) <= 300 and (_TIME.fullmatch(text) or _CODE.fullmatch(text.strip())):
            self.codes += 1
        self.characters += len(text)
        if self.count <= 1_000:
            self.words += len(text[:10_000].split())
        key = text if len(text) <= 200 else f"{text[:180]}{hash(text)}"
        if key in self.values or len(self.values) < self.limit:
            self.values[key] += 1

    @property
    def length(self) -> float:
        """The mean number of characters."""
        return self.characters / self.count if self.count else 0.0

    @property
    def variety(self) -> float:
        """The share of distinct values, from 0 to 1."""
        return len(self.values) / min(self.count, self.limit) if self.count else 0.0

    @property
    def can_be_text(self) -> bool:
        """Whether cells are words rather than numbers, dates, addresses, lists or objects."""
        words = self.count > self.numbers and 2 * (self.foreign + self.codes) < self.count
        return words and not self.lists

    @property
    def can_be_label(self) -> bool:
        """Whether there are few distinct values, each of them often."""
        many = self.count // 2 if self.count <= 40 else max(20, min(200, self.count // 20))
        few = len(self.values) <= max(2, many)
        return self.count > 0 and not self.foreign and few and self.length <= 100

    @property
    def is_prose(self) -> bool:
        """Whether cells are phrases: several words, or many characters of a language without spaces."""
        words = self.words / min(self.count, 1_000) if self.count else 0.0
        return self.can_be_text and self.variety > 0.5 and (words >= 2.5 or self._is_unspaced)

    @property
    def _is_unspaced(self) -> bool:
        sample = list(self.values)[:50]
        wide = sum(1 for value in sample for c in value if c > "\u2e7f")
        return wide > 0.3 * sum(map(len, sample)) and self.length >= 4


def study(names: Sequence[str], rows: Iterable[Sequence[Any]], limit: int = 2_000) -> list[Column]:
    """Returns the counts of the columns over ``rows``, of at most ``limit`` different values each."""
    columns = [Column(name, limit) for name in names]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.add(value)
    return columns


def find_text(columns: Sequence[Column], header: bool, taken: set[str]) -> tuple[str, ...]:
    """Returns the text columns that are not ``taken``, a title before its text; () if there are none."""
    free = [c for c in columns if c.name not in taken and c.can_be_text]
    if not free:
        return ()
    longest = max(free, key=lambda c: c.length * (0.05 + c.variety))
    if not header:
        prose = tuple(c.name for c in free if c.is_prose)
        return prose if longest.name in prose else (longest.name,)
    named = _by_name(free, _TEXTS, taken)
    if named is not None and named.length * named.variety >= 0.2 * longest.length * longest.variety:
        longest = named
    titles = [c.name for c in free if plain_name(c.name) in _TITLES and c.is_prose and c is not longest]
    return (*titles, longest.name)


def find_other_texts(columns: Sequence[Column], taken: set[str]) -> tuple[str, ...]:
    """Returns the columns that are not ``taken`` and hold phrases in most rows, but for names and dates."""
    most = max((c.count for c in columns), default=0)
    free = (c for c in columns if c.name not in taken and c.is_prose and 2 * c.count > most)
    return tuple(c.name for c in free if plain_name(c.name) not in _OTHERS)


def find_label(columns: Sequence[Column], taken: set[str], header: bool) -> str | None:
    """Returns the label column that is not ``taken``: by its name, otherwise the one of the fewest values."""
    free = [c for c in columns if c.name not in taken and c.count]
    if header and (named := _by_name(free, _LABELS, taken)) is not None:
        return named.name
    few = [c for c in free if c.can_be_label and plain_name(c.name) not in _OTHERS]
    # A column of one value comes last: it may be the label at the head of a file sorted by class.
    few.sort(key=lambda c: (len(c.values) < 2, len(c.values)))
    return few[0].name if few else None


def find_separator(column: Column) -> str | None:
    """Returns what separates several labels in a cell: a character, "json" for lists, or None.

    A separator is accepted if the parts occur again in other cells, so that "Food, Drinks" can be the name
    of one class.

    Example:
        >>> find_separator(study(["x"], [["a|b"], ["b"], ["a"], ["c|a"]])[0])
        '|'
        >>> find_separator(study(["x"], [["Food, Drinks"], ["Books"], ["Books"]])[0])
    """
    if column.lists:
        return "json"
    cells = list(column.values)
    if any(len(cell) > 1 and cell[0] == "[" and parse_list(cell) is not None for cell in cells):
        return "json"
    for separator in ("|", ";", ","):
        split = [[part.strip() for part in cell.split(separator)] for cell in cells]
        several = [parts for parts in split if len(parts) > 1]
        atoms = Counter(part for parts in split for part in set(parts))
        parts = {part for parts in several for part in parts}
        if several and "" not in parts and len(atoms) < len(cells):
            again = sum(atoms[part] > 1 for part in parts)
            if again > 0.5 * len(parts) and max(map(len, parts)) <= 60:
                return separator
    return None


def _by_name(columns: Sequence[Column], known: Sequence[str], taken: set[str]) -> Column | None:
    by_name = {plain_name(column.name): column for column in reversed(columns) if column.name not in taken}
    return next((by_name[name] for name in known if name in by_name), None)
