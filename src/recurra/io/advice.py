"""What to do about what the data check counted: a sentence for each thing worth a thought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from recurra.config import TextSettings
from recurra.io.formats.columns import Column
from recurra.io.formats.reading import cells
from recurra.io.formats.table import refuser
from recurra.io.language import NAMES
from recurra.io.source import Source

if TYPE_CHECKING:
    from recurra.io.check import Leak, PartCheck

__all__ = ["find_groups", "part_warnings", "whole_warnings"]

_GROUP_ROWS = 20_000


def find_groups(source: Source, classes: int) -> list[str]:
    """Columns whose values come again and may tie rows together: a film, an author, a document."""
    if source.format in ("folder", "fasttext", "lines"):
        return []
    others = [name for name in source.columns if name not in (*source.text, source.label)]
    if not others:
        return []
    columns = [Column(name, limit=_GROUP_ROWS) for name in others]
    for _, row in islice(cells(source, others, refuser(source, None)), _GROUP_ROWS):
        for column, value in zip(columns, row, strict=True):
            column.add(value)
    return [column.name for column in columns if _ties(column, classes)]


def _ties(column: Column, classes: int) -> bool:
    values = len(column.values)
    numeric = sum(value.replace(".", "", 1).lstrip("-").isdigit() for value in column.values)
    return (
        column.can_be_text
        and not column.is_prose
        and values >= max(30, 3 * classes)
        and values <= 0.7 * column.count
        and numeric < 0.9 * values
        and column.length <= 100
    )


def part_warnings(name: str, part: PartCheck, config: TextSettings, groups: Sequence[str]) -> list[str]:
    """What to do about one file."""
    warnings = []
    if part.skipped:
        rows = _many(part.skipped, "broken row is", "broken rows are")
        warnings.append(f"{name}: {rows} left out, the first: {part.skipped_rows[0]}")
    if part.empty:
        texts = _many(part.empty, "text is", "texts are")
        warnings.append(f"{name}: {texts} empty (first: row {part.empty_rows[0]:,}); remove them")
    if part.duplicates:
        row, earlier = part.duplicate_rows[0]
        hint = "they count more than once in every figure"
        if name == "train":
            hint = "remove them, or a random split puts copies on both sides"
            if groups:
                hint = f"remove them, or keep copies on one side of the split with --group {groups[0]}"
        rows = _many(part.duplicates, "row repeats", "rows repeat")
        first = f"first: row {row:,} repeats row {earlier:,}"
        warnings.append(f"{name}: {rows} the text of an earlier one ({first}); {hint}")
    if part.conflicts:
        row, earlier = part.conflict_rows[0]
        texts = _many(part.conflicts, "text stands", "texts stand")
        first = f"first: rows {earlier:,} and {row:,}"
        warnings.append(f"{name}: {texts} there with different labels ({first}); look and keep one")
    return warnings + (_training_warnings(part, config) if name == "train" else [])


def _training_warnings(part: PartCheck, config: TextSettings) -> list[str]:
    warnings = []
    if part.sorted_by_class:
        warnings.append(
            "train: the rows are sorted by class; training shuffles them, but never take the head of "
            "the file as a sample"
        )
    if part.truncated > 0.1:
        most, cut = config.tokenizer.max_tokens, config.tokenizer.cut
        warnings.append(
            f"train: {part.truncated:.0%} of the texts are longer than {most:,} tokens and lose their {cut}; "
            f"95% fit in --set tokenizer.max_tokens={part.tokens['95']}"
        )
    if len(part.classes) < 2:
        return [*warnings, "train: there is one class only; training needs at least two"]
    rare = min(part.classes, key=part.classes.__getitem__)
    common = max(part.classes, key=part.classes.__getitem__)
    least, most = part.classes[rare], part.classes[common]
    if most >= 4 * least and config.train.class_weight == "none":
        warnings.append(
            f"train: {common} has {most / least:.0f} times the rows of {rare}; look at macro-F1 more than at "
            "accuracy, and try --set train.class_weight=balanced"
        )
    few = [label for label, count in part.classes.items() if count < 10]
    if few and part.rows >= 50:
        warnings.append(
            f"train: classes of fewer than 10 rows: {_some(few)}; find more rows or merge classes"
        )
    return warnings


def whole_warnings(
    parts: Mapping[str, PartCheck], leaks: Sequence[Leak], unknown: float, groups: Sequence[str]
) -> list[str]:
    """What to do about the files together."""
    warnings = []
    for leak in leaks:
        if leak.rows or leak.rows_loose:
            texts = _many(leak.rows or leak.rows_loose, "text is", "texts are")
            how = "" if leak.rows else " (but for case and space)"
            if leak.rows:
                how = f" (first: row {leak.first[0][0]:,} is row {leak.first[0][1]:,} there)"
            warnings.append(
                f"{leak.part}: {texts} also in {leak.seen_in}{how}; remove them from {leak.seen_in}, or give "
                "figures with and without them"
            )
    known = parts["train"].classes
    for name, part in parts.items():
        strange = [label for label in part.classes if label not in known]
        if strange:
            hint = "remove those rows or map the labels"
            warnings.append(f"{name}: labels that train lacks: {_some(strange)}; {hint}")
    if unknown > 0.1:
        warnings.append(
            f"{unknown:.0%} of the held-out tokens are unknown; raise tokenizer.vocab_size, or try "
            "--set tokenizer.level=subword"
        )
    spoken = [k for k, share in parts["train"].languages.items() if share >= 0.1 and k != "other"]
    if len(spoken) > 1 and parts["train"].rows >= 100:  # the guess at a single short text is weak
        names = " and ".join(NAMES[language] for language in spoken)
        warnings.append(f"train: texts are in {names}; if that is not meant, look where they come from")
    warnings += [
        f"column {name!r}: its values come again and may tie rows together; keep them on one side of the "
        f"validation split with --group {name}"
        for name in groups
    ]
    return warnings


def _many(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
