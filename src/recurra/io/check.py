"""What is to know of a data set before training on it: `recurra data check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from recurra.config import TextSettings
from recurra.errors import DataError
from recurra.io.advice import find_groups, part_warnings, whole_warnings
from recurra.io.figures import LOOSE, Figures, Pair, conflicts, leaks, repeats
from recurra.io.formats import detect, read
from recurra.io.language import NAMES
from recurra.io.source import Skipped, Source
from recurra.io.tokenizer import TextTokenizer

__all__ = ["DataCheck", "Leak", "PartCheck", "check", "table"]

QUANTILES = (5, 25, 50, 75, 95, 99, 100)
_CLASSES = 12  # more are counted, not listed
_HELD_OUT = 10  # where nothing is held out, every tenth row stands in for it


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class PartCheck(_Model):
    """What was counted in one file.

    Attributes:
        classes: rows with each label.
        tokens: quantiles of the number of tokens before the cut, by percent; "100" is the longest.
        empty: texts without a visible character.
        duplicates: rows whose exact text stood in an earlier row; ``duplicates_loose`` takes case
            and white space as equal. ``duplicate_rows`` are the first of them, each with the earlier row.
        conflicts: texts that stand there with different labels, and ``conflict_rows`` as above.
        truncated: share of texts longer than ``tokenizer.max_tokens``.
        unknown: share of tokens that are not in the vocabulary of the training part.
        languages: share of texts, from a sample.
        sorted_by_class: labels change far more rarely than in shuffled rows.
        skipped: broken rows left out, and ``skipped_rows``, the first complaints.
    """

    file: str
    rows: int
    classes: dict[str, int]
    tokens: dict[str, int]
    empty: int
    empty_rows: list[int]
    duplicates: int
    duplicates_loose: int
    duplicate_rows: list[Pair]
    conflicts: int
    conflict_rows: list[Pair]
    truncated: float
    unknown: float
    languages: dict[str, float]
    sorted_by_class: bool
    skipped: int
    skipped_rows: list[str]


class Leak(_Model):
    """Texts of one part that stand in another.

    Attributes:
        part: the part that should be unseen; ``seen_in`` is the one that gives it away.
        rows: rows of ``part`` whose exact text is in ``seen_in``; ``rows_loose`` as in `PartCheck`.
        first: the first of them: row in ``part``, row in ``seen_in``.
    """

    part: str
    seen_in: str
    rows: int
    rows_loose: int
    first: list[Pair]


class DataCheck(_Model):
    """The check of a training file and of what was given beside it.

    Attributes:
        parts: by "train", "valid", "test".
        held_out: where ``unknown`` was measured on texts the vocabulary was not made of.
        unknown: share of unknown tokens there.
        groups: columns whose values come again, so that rows of one value may belong together.
        warnings: one sentence each: what, and what to do.
    """

    parts: dict[str, PartCheck]
    leaks: list[Leak]
    held_out: str
    unknown: float
    groups: list[str]
    warnings: list[str]


def check(
    train: Source | Path, valid: Source | Path | None, test: Source | Path | None, config: TextSettings
) -> DataCheck:
    """Count what may go wrong in a training file, and between it and the files held out.

    Reads each file once and the training file twice (the vocabulary first); holds some 40 bytes a row.

    Raises:
        DataError: a file can't be used.
    """
    sources = {"train": _source(train, config, None)}
    for name, given in (("valid", valid), ("test", test)):
        if given is not None:
            sources[name] = _source(given, config, sources["train"])
    alone = len(sources) == 1
    tokenizer = TextTokenizer.train(_vocabulary_texts(sources["train"], alone), config.tokenizer)
    codes: dict[tuple[str, ...], int] = {}
    figures = {name: _count(source, tokenizer, codes, alone) for name, source in sources.items()}
    parts = {name: _part(sources[name], found, codes) for name, found in figures.items()}
    found_leaks = [
        _leak(part, seen, figures)
        for part, seen in (("valid", "train"), ("test", "train"), ("test", "valid"))
        if part in figures and seen in figures
    ]
    held_out = "test" if "test" in figures else "valid" if "valid" in figures else ""
    source = figures[held_out or "train"]
    unknown = source.held_out_unknown / max(1, source.held_out_tokens)
    groups = find_groups(sources["train"], len(parts["train"].classes))
    warnings = [
        warning for name, part in parts.items() for warning in part_warnings(name, part, config, groups)
    ]
    warnings += whole_warnings(parts, found_leaks, unknown, groups if config.data.group is None else [])
    return DataCheck(
        parts=parts,
        leaks=found_leaks,
        held_out=held_out or f"every {_HELD_OUT}th row of train",
        unknown=unknown,
        groups=groups,
        warnings=warnings,
    )


def table(found: DataCheck) -> tuple[list[str], list[list[str]]]:
    """The check as a table to print: its header, and a row for each fact, a column for each part."""
    parts = found.parts
    labels = list(dict.fromkeys(label for part in parts.values() for label in part.classes))
    rows = [["rows", *(f"{part.rows:,}" for part in parts.values())]]
    if any(part.skipped for part in parts.values()):
        rows.append(["broken rows left out", *(f"{part.skipped:,}" for part in parts.values())])
    for label in labels[:_CLASSES]:
        counts = [(part.classes.get(label, 0), max(1, part.rows)) for part in parts.values()]
        rows.append([f"class {label}", *(f"{count:,} ({count / total:.1%})" for count, total in counts)])
    if len(labels) > _CLASSES:
        rows.append([f"... {len(labels) - _CLASSES:,} more classes", *([""] * len(parts))])
    for percent in ("5", "25", "50", "75", "95", "99", "100"):
        name = {"50": "tokens, median", "100": "tokens, longest"}.get(percent, f"tokens, {percent}%")
        rows.append([name, *(f"{part.tokens[percent]:,}" for part in parts.values())])
    rows += [
        ["cut short", *(f"{part.truncated:.1%}" for part in parts.values())],
        ["language", *(_languages(part) for part in parts.values())],
        ["empty texts", *(f"{part.empty:,}" for part in parts.values())],
        ["duplicates", *(_counted(part.duplicates, part.duplicates_loose) for part in parts.values())],
        ["label conflicts", *(f"{part.conflicts:,}" for part in parts.values())],
    ]
    for seen_in in dict.fromkeys(leak.seen_in for leak in found.leaks):
        leaks = {
            leak.part: _counted(leak.rows, leak.rows_loose) for leak in found.leaks if leak.seen_in == seen_in
        }
        rows.append([f"also in {seen_in}", *(leaks.get(name, "") for name in parts)])
    where = found.held_out if found.held_out in parts else next(iter(parts))
    unknown = f"{found.unknown:.1%}" + ("" if found.held_out in parts else f" (in {found.held_out})")
    rows.append(["unknown tokens", *(unknown if name == where else "" for name in parts)])
    return ["", *parts], rows


def _languages(part: PartCheck) -> str:
    return ", ".join(f"{NAMES[k]} {v:.0%}" for k, v in part.languages.items() if v >= 0.005)


def _counted(exact: int, loose: int) -> str:
    """A count, and the larger one that takes case and space as equal."""
    return f"{exact:,}" if loose == exact else f"{exact:,} ({loose:,} but for case, space)"


def _source(given: Source | Path, config: TextSettings, like: Source | None) -> Source:
    return given if isinstance(given, Source) else detect(given, config.data, like=like)


def _vocabulary_texts(source: Source, alone: bool) -> Iterator[str]:
    for rows in read(source, Skipped()):
        for number, text in zip(rows.numbers, rows.texts, strict=True):
            if not (alone and number % _HELD_OUT == 0):
                yield text


def _count(
    source: Source, tokenizer: TextTokenizer, codes: dict[tuple[str, ...], int], alone: bool
) -> Figures:
    found = Figures()
    for rows in read(source, found.skipped):
        encoded = tokenizer.encode(rows.texts)
        held_out = [not alone or number % _HELD_OUT == 0 for number in rows.numbers]
        found.add(rows, encoded.full_lengths, encoded.unknown, np.array(held_out), codes)
    if not found.rows:
        raise DataError("there are no rows", where=source.path, hint="give a file with rows")
    max_tokens = tokenizer.config.max_tokens
    found.truncated = int(np.count_nonzero(found.lengths_array() > max_tokens))
    return found


def _part(source: Source, found: Figures, codes: dict[tuple[str, ...], int]) -> PartCheck:
    exact, numbers = found.hashes_array(), found.numbers_array()
    label_codes = found.codes_array()
    again = repeats(exact, numbers)
    differing = conflicts(exact, label_codes, numbers)
    lengths = found.lengths_array()
    quantiles = np.percentile(lengths, QUANTILES, method="nearest").astype(int)
    classes: Counter[str] = Counter()
    if source.label is not None:
        names = list(codes)
        for code, count in enumerate(np.bincount(label_codes, minlength=len(codes))):
            classes.update(dict.fromkeys(names[code], int(count)))
    sampled = sum(found.languages.values())
    return PartCheck(
        file=str(source.path),
        rows=found.rows,
        classes={name: classes[name] for name in sorted(classes) if classes[name]},
        tokens={str(p): int(q) for p, q in zip(QUANTILES, quantiles, strict=True)},
        empty=found.empty,
        empty_rows=found.empty_rows,
        duplicates=again.count,
        duplicates_loose=repeats(found.hashes_array(LOOSE), numbers).count,
        duplicate_rows=again.first,
        conflicts=differing.count,
        conflict_rows=differing.first,
        truncated=found.truncated / found.rows,
        unknown=found.unknown / max(1, found.tokens),
        languages={name: count / sampled for name, count in found.languages.most_common()},
        sorted_by_class=_is_sorted(label_codes),
        skipped=found.skipped.count,
        skipped_rows=found.skipped.examples,
    )


def _leak(part: str, seen: str, figures: dict[str, Figures]) -> Leak:
    unseen, given = figures[part], figures[seen]
    exact = leaks(unseen.hashes_array(), unseen.numbers_array(), given.hashes_array(), given.numbers_array())
    loose = leaks(
        unseen.hashes_array(LOOSE), unseen.numbers_array(), given.hashes_array(LOOSE), given.numbers_array()
    )
    return Leak(part=part, seen_in=seen, rows=exact.count, rows_loose=loose.count, first=exact.first)


def _is_sorted(codes: npt.NDArray[np.int32]) -> bool:
    """Whether neighbours differ at less than a fifth of the places where shuffled rows would."""
    if len(codes) < 20:
        return False
    shares = np.bincount(codes) / len(codes)
    expected = (len(codes) - 1) * (1 - float(np.sum(shares**2)))
    changes = int(np.count_nonzero(codes[1:] != codes[:-1]))
    return expected > 2 and changes < 0.2 * expected
