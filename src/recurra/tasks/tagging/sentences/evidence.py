"""What the first lines of a file show: its columns, whether it can only be tagged sentences, parse trees."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from recurra.tasks.tagging.schemes import find_scheme

__all__ = [
    "CONLLU_COLUMNS",
    "DOCUMENT",
    "are_trees",
    "cells",
    "certain_brown",
    "certain_columns",
    "certain_conllu",
    "find_columns",
    "mostly",
    "slashed",
]

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
DOCUMENT = "-DOCSTART-"
_MOST = 0.98
"""The share of lines or words that must have a form; a few may be broken."""
_MOST_TAGS = 200
_LONGEST_TAG = 30
_LONGEST_BLOCK = 200
"""Of a file of sentences, the largest mean length."""
_SPACE = " \t\r\n"
_SPACES = re.compile(f"[{_SPACE}]+")
_LEAF = re.compile(r"\((\S+) ([^\s()]+)\)")

Pair = tuple[str, str]
"""A word and its tag."""


def _blocks(lines: Iterable[str]) -> list[list[str]]:
    """Returns the lines between blank ones.

    Example:
        >>> _blocks(["a", "b", "", " ", "c"])
        [['a', 'b'], ['c']]
    """
    groups = groupby(lines, key=lambda line: bool(line.strip()))
    return [list(group) for filled, group in groups if filled]


def _are_sentences(sizes: Sequence[int]) -> bool:
    """Returns whether blocks of lines have the sizes of sentences of a word a line."""
    return len(sizes) >= 2 and 2 * len(sizes) <= sum(sizes) <= _LONGEST_BLOCK * len(sizes)


def slashed(line: str) -> list[Pair]:
    """Returns the words of a line whose last slash is followed by a tag.

    Example:
        >>> slashed("The/at 1/2/cd a/ b")
        [('The', 'at'), ('1/2', 'cd')]
    """
    parts = (token.rpartition("/") for token in line.split())
    return [(word, tag) for word, _, tag in parts if word and tag]


def mostly(some: int, of: int) -> bool:
    """Returns whether a form was found so often that it is that of the file."""
    return of > 0 and some >= _MOST * of


def tags_are_names(sentences: Sequence[Sequence[Pair]]) -> bool:
    """Returns whether what may be the tags of words is nothing else: a small set of short names.

    Tags are fewer than the different words, mostly have letters, and are not words of the sentences, unless
    they mark spans in a known scheme.

    Example:
        >>> tags_are_names([[("The", "at"), ("dog", "nn")], [("the", "at"), ("cat", "nn")]])
        True
        >>> tags_are_names([[("to", "be"), ("or", "not")], [("to", "be"), ("that", "is")]])
        False
    """
    tags = [tag for sentence in sentences for _, tag in sentence]
    distinct = set(tags)
    if not 2 <= len(distinct) <= min(_MOST_TAGS, len(tags) // 2):
        return False
    if any(len(tag) > _LONGEST_TAG or re.search(r"\s|\w,\w", tag) for tag in distinct):
        return False
    if find_scheme([tag for _, tag in sentence] for sentence in sentences).scheme is not None:
        return True
    words = {word for sentence in sentences for word, _ in sentence}
    if len(words) <= len(distinct):
        return False
    named = {tag for tag in distinct if re.search(r"[^\W\d_]", tag)}
    return len(named) >= 2 and 2 * len(named) >= len(distinct) and 3 * len(named & words) <= len(named)


def find_columns(lines: Sequence[str], least: int = 2) -> tuple[int, bool]:
    """Returns the number of columns of most lines, and whether tabs separate them.

    With tabs, it is at least ``least``.
    """
    filled = [line for line in lines if line.strip() and not line.startswith(DOCUMENT)]
    tabs = sum("\t" in line for line in filled) > len(filled) / 2
    counts = Counter(len(cells(line, tabs, least)) for line in filled)
    return (counts.most_common(1)[0][0] if counts else 0), tabs


def cells(line: str, tabs: bool, least: int) -> list[str]:
    """Returns the columns of a line: separated by tabs, or by spaces; other white space may be in a word.

    Empty cells at the end, beyond the first ``least``, are no columns: some tools end each line with a tab.
    """
    if not tabs:
        return _SPACES.split(line.strip(_SPACE))
    found = [cell.strip() for cell in line.split("\t")]
    while len(found) > least and not found[-1]:
        found.pop()
    return found


def certain_conllu(lines: Sequence[str]) -> bool:
    """Returns whether lines have ten columns, and the words of sentences are numbered from 1."""
    found = _blocks(line for line in lines if not line.startswith("#"))
    rows = [[cells(line, True, len(CONLLU_COLUMNS)) for line in block] for block in found]
    wide = sum(len(row) == len(CONLLU_COLUMNS) for block in rows for row in block)
    first = sum(re.fullmatch(r"1(-\d+)?", block[0][0]) is not None for block in rows)
    return len(rows) >= 2 and mostly(wide, sum(map(len, rows))) and mostly(first, len(rows))


def certain_columns(lines: Sequence[str]) -> bool:
    """Returns whether lines have a word and its tag, with blank lines between sentences."""
    columns, tabs = find_columns(lines)
    filled = (line for line in lines if not line.startswith((DOCUMENT, "# ")))
    found = [[cells(line, tabs, columns) for line in block] for block in _blocks(filled)]
    rows = [row for block in found for row in block]
    alike = sum(len(row) == columns and " " not in row[0] for row in rows)
    if columns < 2 or not _are_sentences(list(map(len, found))) or not mostly(alike, len(rows)):
        return False
    return tags_are_names([[(row[0], row[-1]) for row in block] for block in found])


def certain_brown(lines: Sequence[str]) -> bool:
    """Returns whether all words have a tag after a slash, and the tags are certain."""
    filled = [line for line in lines if line.strip()]
    found = [slashed(line) for line in filled]
    tokens = sum(len(line.split()) for line in filled)
    several = len(filled) >= 2 and tokens >= 2 * len(filled)
    return several and mostly(sum(map(len, found)), tokens) and tags_are_names(found)


def are_trees(lines: Sequence[str]) -> bool:
    """Returns whether the beginning of a file has parse trees in the brackets of the Penn Treebank.

    Example:
        >>> are_trees(["( (S (NP (DT The) (NN dog))", "    (VP (VBZ barks)) (. .)) )"])
        True
        >>> are_trees(["(a) the first (see 1)", "(b) the second"])
        False
    """
    text = "\n".join(lines).strip()
    if not text.startswith("("):
        return False
    leaves = _LEAF.findall(text)
    inside = sum(len(tag) + len(word) for tag, word in leaves)
    tagged = sum(tag.isupper() or not tag.isalnum() for tag, _ in leaves)
    return len(leaves) >= 2 and mostly(tagged, len(leaves)) and 4 * inside >= len("".join(text.split()))
