"""The check of labelled texts: their problems, counted before training, with advice on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from recurra.config import TextConfig
from recurra.errors import DataError
from recurra.io.detect import detect
from recurra.io.figures import Faults, Figures, Leak, PartCheck, leak_of, part_of
from recurra.io.formats import Source, format_named
from recurra.io.formats.columns import Column, study
from recurra.io.formats.reading import cells_of, refuser
from recurra.io.text import LANGUAGES
from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.checks import broken_in_words, listed, many, report_findings
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Counting, Reporter
from recurra.tasks.texts import counted_rows, official_test

__all__ = ["DataCheck", "check", "check_files", "table"]

_CLASSES = 12  # more are counted, not listed
_HELD_OUT = 10  # without a held-out file, every tenth row takes its place
_GROUP_ROWS = 20_000
_SILENT = Reporter().counting


class DataCheck(BaseModel, frozen=True):
    """The check of a training file and of its validation and test files.

    Attributes:
        parts: the counts by "train", "valid" and "test".
        held_out: the texts on which ``unknown`` is measured, which the vocabulary was not learned from.
        unknown: the share of unknown tokens in these texts.
        groups: columns with repeated values, whose rows may belong together.
        warnings: one sentence each, with what to do.
    """

    parts: dict[str, PartCheck]
    leaks: list[Leak]
    held_out: str
    unknown: float
    groups: list[str]
    warnings: list[str]


def check_files(
    data: Path,
    config: ClassifierConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> dict[str, Any]:
    """Reports what to know about files of labelled texts before training; see `Task.check`.

    Raises:
        DataError: a file is missing, or no text is found in it.
        ConfigError: a setting names a missing column.
    """
    reporter.step("Data check")
    data, test = official_test(data, test)
    source, problem = _detected(data, config)
    reporter.facts(source.describe())
    report = check(source, valid, test, config, reporter.counting)
    if problem:
        report = DataCheck.model_validate({**dict(report), "warnings": [problem, *report.warnings]})
    report_findings(reporter, table(report), report.warnings)
    return report.model_dump(mode="json")


def _detected(data: Path, config: TextConfig) -> tuple[Source, str]:
    """Returns the format and the columns of a training file; without a label column, its texts and why."""
    try:
        return detect(data, config.data), ""
    except DataError as error:
        if config.data.label is not None:
            raise
        try:
            return detect(data, config.data, labelled=False), f"train: {error.what}; {error.hint}"
        except DataError:
            raise error from None


def check(
    train: Source | Path,
    valid: Source | Path | None,
    test: Source | Path | None,
    config: TextConfig,
    counting: Counting = _SILENT,
) -> DataCheck:
    """Counts the problems of a training file, and of the held-out files against it.

    Each file is read once, and the training file twice, first for the vocabulary. About 40 bytes a row are
    kept in memory. Broken rows and rows without a label are counted and left out; a held-out file that can't
    be used is named in the warnings. ``counting`` shows the progress.

    Raises:
        DataError: the training file can't be used, or a file is missing.
    """
    first = train if isinstance(train, Source) else detect(train, config.data)
    sources, unusable = {"train": first}, []
    for name, given in (("valid", valid), ("test", test)):
        if given is None:
            continue
        path = given.path if isinstance(given, Source) else given
        try:
            source = given if isinstance(given, Source) else detect(path, config.data, like=first)
            if next(Faults().rows(source), None) is None:
                raise DataError("there is no whole row", where=path)
            sources[name] = source
        except DataError as error:
            if not path.exists():
                raise
            unusable.append(f"{name}: {error}; it is not checked")
    alone = len(sources) == 1
    with counting("learning the vocabulary", None) as tick:
        texts = (
            text
            for rows in counted_rows(Faults().rows(sources["train"]), tick)
            for number, text in zip(rows.numbers, rows.texts, strict=True)
            if not (alone and number % _HELD_OUT == 0)
        )
        tokenizer = TextTokenizer.train(texts, config.tokenizer)
    codes: dict[tuple[str, ...], int] = {}
    figures = {name: _count(source, tokenizer, codes, alone, counting) for name, source in sources.items()}
    max_tokens = config.tokenizer.max_tokens
    with counting(
        "looking for repeated texts", 3 * sum(counted.rows for counted in figures.values())
    ) as tick:
        parts = {
            name: part_of(sources[name], counted, codes, max_tokens, tick)
            for name, counted in figures.items()
        }
    leaks = [
        leak_of(part, seen, figures)
        for part, seen in (("valid", "train"), ("test", "train"), ("test", "valid"))
        if part in figures and seen in figures
    ]
    held_out = next((name for name in ("test", "valid") if name in figures), "")
    measured = figures[held_out or "train"]
    unknown = measured.held_out_unknown / max(1, measured.held_out_tokens)
    groups = _find_groups(sources["train"], len(parts["train"].classes))
    warnings = [
        warning for name, part in parts.items() for warning in _part_warnings(name, part, config, groups)
    ]
    warnings += _whole_warnings(parts, leaks, unknown, groups if config.data.group is None else [])
    warnings = unusable + _fault_warnings(sources, figures) + warnings
    return DataCheck(
        parts=parts,
        leaks=leaks,
        held_out=held_out or f"every {_HELD_OUT}th row of train",
        unknown=unknown,
        groups=groups,
        warnings=warnings,
    )


def table(report: DataCheck) -> tuple[list[str], list[list[str]]]:
    """Returns the check as a table to print: its header and its rows, with a column for each part."""
    names, parts = list(report.parts), list(report.parts.values())
    labels = list(dict.fromkeys(label for part in parts for label in part.classes))
    rows = [["rows", *(f"{part.rows:,}" for part in parts)]]
    if any(part.skipped for part in parts):
        rows.append(["broken rows", *(f"{part.skipped:,}" for part in parts)])
    if any(part.unlabelled for part in parts):
        rows.append(["rows without a label", *(f"{part.unlabelled:,}" for part in parts)])
    for label in labels[:_CLASSES]:
        counts = [(part.classes.get(label, 0), max(1, part.rows)) for part in parts]
        rows.append([f"class {label}", *(f"{count:,} ({count / total:.1%})" for count, total in counts)])
    if len(labels) > _CLASSES:
        rows.append([f"... {len(labels) - _CLASSES:,} more classes", *([""] * len(parts))])
    for percent in parts[0].tokens:
        name = {"50": "tokens, median", "100": "tokens, longest"}.get(percent, f"tokens, {percent}%")
        rows.append([name, *(f"{part.tokens[percent]:,}" for part in parts)])
    rows += [
        ["cut short", *(f"{part.truncated:.1%}" for part in parts)],
        ["language", *(_languages(part) for part in parts)],
        ["empty texts", *(f"{part.empty:,}" for part in parts)],
        ["duplicates", *(_counted(part.duplicates, part.duplicates_loose) for part in parts)],
        ["label conflicts", *(f"{part.conflicts:,}" for part in parts)],
    ]
    for seen_in in dict.fromkeys(leak.seen_in for leak in report.leaks):
        leaks = {leak.part: leak for leak in report.leaks if leak.seen_in == seen_in}
        counted = (
            _counted(leak.rows, leak.rows_loose) if (leak := leaks.get(name)) else "" for name in names
        )
        rows.append([f"also in {seen_in}", *counted])
    unknown = f"{report.unknown:.1%}"
    if report.held_out in names:
        rows.append(["unknown tokens", *(unknown if name == report.held_out else "" for name in names)])
    else:
        rows.append(["unknown tokens", f"{unknown} (in {report.held_out})", *([""] * (len(names) - 1))])
    return ["", *names], rows


def _languages(part: PartCheck) -> str:
    return ", ".join(f"{LANGUAGES[k]} {v:.0%}" for k, v in part.languages.items() if v >= 0.005)


def _counted(exact: int, loose: int) -> str:
    """A count, and the larger one that ignores case and white space."""
    return f"{exact:,}" if loose == exact else f"{exact:,} ({loose:,} but for case, space)"


def _count(
    source: Source,
    tokenizer: TextTokenizer,
    codes: dict[tuple[str, ...], int],
    alone: bool,
    counting: Counting,
) -> Figures:
    figures = Figures()
    with counting(f"checking {source.path.name}", None) as tick:
        for rows in counted_rows(figures.faults.rows(source), tick):
            encoded = tokenizer.encode(rows.texts)
            held_out = [not alone or number % _HELD_OUT == 0 for number in rows.numbers]
            figures.add(rows, encoded.full_lengths, encoded.unknown, np.array(held_out), codes)
    if not figures.rows:
        what = figures.faults.examples[0] if figures.faults.examples else "give a file with rows"
        raise figures.faults.end or DataError("there is no whole row", where=source.path, hint=what)
    return figures


def _find_groups(source: Source, classes: int) -> list[str]:
    """Columns with repeated values, such as a film or an author, whose rows may belong together."""
    if format_named(source.format).cells is None:
        return []
    others = [name for name in source.columns if name not in (*source.text, source.label)]
    if not others:
        return []
    lenient = replace(source, skip_bad_rows=True)
    rows = (row for _, row in islice(cells_of(lenient, others, refuser(lenient, None)), _GROUP_ROWS))
    return [column.name for column in study(others, rows, _GROUP_ROWS) if _is_group(column, classes)]


def _is_group(column: Column, classes: int) -> bool:
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


def _fault_warnings(sources: Mapping[str, Source], figures: Mapping[str, Figures]) -> list[str]:
    """What is wrong with rows that can't be used, and the way to train without them."""
    warnings = []
    for name, source in sources.items():
        faults = figures[name].faults
        if faults.unlabelled:
            rows = many(faults.unlabelled, "row has", "rows have")
            first = _rows_in_words(source, faults.unlabelled_rows)
            skip = "or pass --skip-bad-rows to fit"
            warnings.append(f"{name}: {rows} no label (first: {first}); label them, {skip}")
        if faults.encoding:
            warnings.append(f"{name}: not all rows are {source.encoding.upper()}; {faults.encoding}")
        warnings += broken_in_words(name, faults.broken, faults.examples)
        if faults.end is not None:
            warnings.append(f"{name}: {faults.end}; what comes before is checked")
    return warnings


def _rows_in_words(source: Source, numbers: Sequence[int]) -> str:
    """Row numbers, and if a header precedes the rows, those that a spreadsheet shows."""
    rows = f"row {numbers[0]:,}" if len(numbers) == 1 else f"rows {', '.join(f'{n:,}' for n in numbers)}"
    if not source.header:
        return rows
    return f"{rows}, in a spreadsheet {', '.join(f'{n + 1:,}' for n in numbers)}"


def _part_warnings(name: str, part: PartCheck, config: TextConfig, groups: Sequence[str]) -> list[str]:
    """Advice on one file."""
    warnings = []
    if part.empty:
        texts = many(part.empty, "text is", "texts are")
        warnings.append(f"{name}: {texts} empty (first: row {part.empty_rows[0]:,}); remove them")
    if part.duplicates:
        row, earlier = part.duplicate_rows[0]
        hint = "they count more than once in every figure"
        if name == "train":
            hint = "remove them, or a random split puts copies on both sides"
            if groups:
                hint = f"remove them, or keep copies on one side of the split with --group {groups[0]}"
        rows = many(part.duplicates, "row repeats", "rows repeat")
        first = f"first: row {row:,} repeats row {earlier:,}"
        warnings.append(f"{name}: {rows} the text of an earlier one ({first}); {hint}")
    if part.conflicts:
        row, earlier = part.conflict_rows[0]
        texts = many(part.conflicts, "text has", "texts have")
        first = f"first: rows {earlier:,} and {row:,}"
        warnings.append(f"{name}: {texts} different labels ({first}); check them and keep one")
    return warnings + (_training_warnings(part, config) if name == "train" else [])


def _training_warnings(part: PartCheck, config: TextConfig) -> list[str]:
    warnings = []
    if part.sorted_by_class:
        warnings.append(
            "train: the rows are sorted by class; training shuffles them, but the head of the file is not a "
            "sample of it"
        )
    if part.truncated > 0.1:
        most, cut = config.tokenizer.max_tokens, config.tokenizer.cut
        warnings.append(
            f"train: {part.truncated:.0%} of the texts are longer than {most:,} tokens and lose their {cut}; "
            f"95% fit in --set tokenizer.max_tokens={part.tokens['95']}"
        )
    if not part.classes:
        return warnings  # there is no label column
    if len(part.classes) < 2:
        return [*warnings, "train: there is one class only; training needs at least two"]
    rare = min(part.classes, key=part.classes.__getitem__)
    common = max(part.classes, key=part.classes.__getitem__)
    least, most = part.classes[rare], part.classes[common]
    if most >= 4 * least and config.train.class_weight == "none":
        warnings.append(
            f"train: {common} has {most / least:.0f} times the rows of {rare}; prefer macro-F1 to "
            "accuracy, and try --set train.class_weight=balanced"
        )
    few = [label for label, count in part.classes.items() if count < 10]
    if few and part.rows >= 50:
        warnings.append(f"train: classes of fewer than 10 rows: {listed(few)}; add rows or merge classes")
    return warnings


def _whole_warnings(
    parts: Mapping[str, PartCheck], leaks: Sequence[Leak], unknown: float, groups: Sequence[str]
) -> list[str]:
    """Advice on the files together."""
    warnings = []
    for leak in leaks:
        if leak.rows or leak.rows_loose:
            texts = many(leak.rows or leak.rows_loose, "text is", "texts are")
            how = " (but for case and white space)"
            if leak.rows:
                how = f" (first: row {leak.first[0][0]:,} is row {leak.first[0][1]:,} there)"
            warnings.append(
                f"{leak.part}: {texts} also in {leak.seen_in}{how}; remove them from {leak.seen_in}, or "
                "report figures with and without them"
            )
    for name, part in parts.items():
        others = [label for label in part.classes if label not in parts["train"].classes]
        if others:
            hint = "remove those rows or map the labels"
            warnings.append(f"{name}: labels that are not in train: {listed(others)}; {hint}")
    if unknown > 0.1:
        warnings.append(
            f"{unknown:.0%} of the held-out tokens are unknown; raise tokenizer.vocab_size, or try "
            "--set tokenizer.level=subword"
        )
    languages = [k for k, share in parts["train"].languages.items() if share >= 0.1 and k != "other"]
    if len(languages) > 1 and parts["train"].rows >= 100:  # the guess at a single short text is uncertain
        names = " and ".join(LANGUAGES[language] for language in languages)
        warnings.append(f"train: texts are in {names}; if this is not intended, check their origin")
    warnings += [
        f"column {name!r}: its values are repeated, so that rows may belong together; keep them on one side "
        f"of the validation split with --group {name}"
        for name in groups
    ]
    return warnings
