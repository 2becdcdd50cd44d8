"""The check of texts for a language model: sizes, vocabulary, unknown tokens, repeated texts, languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.io.detect import detect
from recurra.io.figures import Faults, Figures, leaks, repeats
from recurra.io.formats import Source, format_named
from recurra.io.text import LANGUAGES
from recurra.io.tokenizer import UNKNOWN, TextTokenizer
from recurra.tasks.checks import broken_in_words, many, report_findings
from recurra.tasks.language.prepare import check_settings, hold_out
from recurra.tasks.language.settings import LanguageModelConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import numbered_groups

__all__ = ["LanguageCheck", "PartCheck", "check_files"]

_QUANTILES = (50, 95, 100)
_FEW_TOKENS = 50_000
_MARKED_ROWS = 1_000


class PartCheck(BaseModel, frozen=True):
    """The counts of one file.

    Attributes:
        tokens: number of tokens, without start and end tokens.
        lengths: quantiles of the tokens of a text, by percent; "100" is the longest.
        empty: number of texts without a visible character.
        duplicates: number of texts that repeat an earlier one, without empty ones.
        also_in_train: number of texts that training has too.
        languages: share of texts in each language, from a sample.
        broken: number of broken rows, and ``broken_rows``, the first of them with what is wrong.
    """

    file: str
    texts: int
    characters: int
    tokens: int
    lengths: dict[str, int]
    empty: int
    duplicates: int
    also_in_train: int
    languages: dict[str, float]
    broken: int
    broken_rows: list[str]


class LanguageCheck(BaseModel, frozen=True):
    """The check of a training file and of its validation and test files.

    Attributes:
        parts: the counts by "train", "valid" and "test".
        vocabulary: number of tokens of the vocabulary, learned from the training part.
        held_out: the texts on which ``unknown`` is measured.
        unknown: the share of their tokens that are not in the vocabulary; None if there are none.
        warnings: one sentence each, with what to do.
    """

    parts: dict[str, PartCheck]
    vocabulary: int
    held_out: str
    unknown: float | None
    warnings: list[str]


@dataclass
class _Survey:
    """One pass over a file: the characters and the group of each text, and the texts with ``<unk>``."""

    sizes: np.ndarray[Any, np.dtype[np.int64]]
    groups: list[str]
    marked: int


def check_files(
    data: Path,
    config: LanguageModelConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> dict[str, Any]:
    """Reports what to know about files of texts before training; see `Task.check`.

    Raises:
        DataError: a file is missing or has no whole row.
        ConfigError: a setting is not supported by language models.
    """
    check_settings(config)
    reporter.step("Data check")
    first = detect(data, config.data, labelled=False)
    reporter.facts(first.describe())
    sources = {"train": first}
    for name, path in (("valid", valid), ("test", test)):
        if path is not None:
            sources[name] = detect(path, config.data, labelled=False, like=first)
    survey = _surveyed(first)
    count = len(survey.sizes)
    alone = len(sources) == 1 and count > 1
    held = np.zeros(count, bool)
    if alone:
        in_order = format_named(first.format).is_running_text
        groups = numbered_groups(survey.groups)
        held[hold_out(survey.sizes, config, groups, in_order=in_order)[1]] = True
    tokenizer = TextTokenizer.train(_training_texts(first, held), config.tokenizer)
    figures, characters = {}, {}
    for name, source in sources.items():
        figures[name], characters[name] = _counted(source, tokenizer, held if name == "train" else None)
    parts = {
        name: _part(sources[name], each, characters[name], tokenizer, figures["train"])
        for name, each in figures.items()
    }
    held_out = next((name for name in ("test", "valid") if name in parts), "train")
    measured = figures[held_out]
    unknown = measured.held_out_unknown / measured.held_out_tokens if measured.held_out_tokens else None
    report = LanguageCheck(
        parts=parts,
        vocabulary=tokenizer.vocab_size,
        held_out=held_out if len(parts) > 1 else many(int(held.sum()), "text held out", "texts held out"),
        unknown=unknown,
        warnings=_warnings(parts, figures, config, survey, unknown),
    )
    report_findings(reporter, _table(report), report.warnings, ["fit", str(data), "--task", "lm"])
    return report.model_dump(mode="json")


def _surveyed(source: Source) -> _Survey:
    faults, marked = Faults(), 0
    sizes: list[int] = []
    groups: list[str] = []
    for rows in faults.rows(source):
        if len(sizes) < _MARKED_ROWS:
            marked += sum(UNKNOWN in text for text in rows.texts)
        sizes += [len(text) for text in rows.texts]
        groups += rows.groups or []
    if not sizes:
        what = faults.examples[0] if faults.examples else "give a file of texts"
        raise faults.end or DataError("there is no whole row", where=source.path, hint=what)
    return _Survey(np.array(sizes, np.int64), groups, marked)


def _training_texts(source: Source, held: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[str]:
    position = 0
    for rows in Faults().rows(source):
        for text in rows.texts:
            if not held[position]:
                yield text
            position += 1


def _counted(
    source: Source, tokenizer: TextTokenizer, held: np.ndarray[Any, np.dtype[np.bool_]] | None
) -> tuple[Figures, int]:
    """The counts of a file and its characters; without ``held``, all of it is held out."""
    figures, characters, position = Figures(), 0, 0
    for rows in figures.faults.rows(source):
        encoded = tokenizer.encode(rows.texts)
        inside = np.ones(len(rows), bool) if held is None else held[position : position + len(rows)]
        figures.add(rows, encoded.full_lengths - 1, encoded.unknown, inside, {})
        characters += sum(map(len, rows.texts))
        position += len(rows)
    if not figures.rows:
        raise figures.faults.end or DataError("there is no whole row", where=source.path)
    return figures, characters


def _part(
    source: Source, figures: Figures, characters: int, tokenizer: TextTokenizer, train: Figures
) -> PartCheck:
    lengths = np.asarray(figures.lengths)
    quantiles = np.percentile(lengths, _QUANTILES, method="nearest").astype(int).tolist()
    sampled = sum(figures.languages.values())
    seen = 0 if figures is train else leaks(figures.exact, figures.numbers, train.exact, train.numbers).count
    empty = max(0, figures.empty - 1)  # repeated empty texts are counted as empty
    return PartCheck(
        file=str(source.path),
        texts=figures.rows,
        characters=characters,
        tokens=int(lengths.sum()),
        lengths={str(percent): length for percent, length in zip(_QUANTILES, quantiles, strict=True)},
        empty=figures.empty,
        duplicates=max(0, repeats(figures.exact, figures.numbers).count - empty),
        also_in_train=seen,
        languages={name: count / sampled for name, count in figures.languages.most_common()},
        broken=figures.faults.broken,
        broken_rows=figures.faults.examples,
    )


def _table(report: LanguageCheck) -> tuple[list[str], list[list[str]]]:
    names, parts = list(report.parts), list(report.parts.values())
    rows = [
        ["texts", *(f"{part.texts:,}" for part in parts)],
        ["characters", *(f"{part.characters:,}" for part in parts)],
        ["tokens", *(f"{part.tokens:,}" for part in parts)],
    ]
    if any(part.broken for part in parts):
        rows.append(["broken rows", *(f"{part.broken:,}" for part in parts)])
    for percent, name in {"50": "median", "95": "95%", "100": "longest"}.items():
        rows.append([f"tokens a text, {name}", *(f"{part.lengths[percent]:,}" for part in parts)])
    rows += [
        ["empty texts", *(f"{part.empty:,}" for part in parts)],
        ["repeated texts", *(f"{part.duplicates:,}" for part in parts)],
    ]
    if len(parts) > 1:
        rows.append(["also in train", "", *(f"{part.also_in_train:,}" for part in parts[1:])])
    rows.append(["language", *(_languages(part) for part in parts)])
    blank = [""] * (len(parts) - 1)
    rows.append(["vocabulary", f"{report.vocabulary:,}", *blank])
    if report.unknown is not None:
        share = f"{report.unknown:.1%}"
        if report.held_out in names:
            rows.append(["unknown tokens", *(share if name == report.held_out else "" for name in names)])
        else:
            rows.append(["unknown tokens", f"{share} (of {report.held_out})", *blank])
    return ["", *names], rows


def _languages(part: PartCheck) -> str:
    return ", ".join(f"{LANGUAGES[k]} {share:.0%}" for k, share in part.languages.items() if share >= 0.005)


def _warnings(
    parts: Mapping[str, PartCheck],
    figures: Mapping[str, Figures],
    config: LanguageModelConfig,
    survey: _Survey,
    unknown: float | None,
) -> list[str]:
    warnings: list[str] = []
    for name, part in parts.items():
        warnings += broken_in_words(name, part.broken, part.broken_rows)
        if (end := figures[name].faults.end) is not None:
            warnings.append(f"{name}: {end}; what comes before is checked")
        if part.duplicates > 0.1 * part.texts and part.texts >= 20:
            warnings.append(f"{name}: {part.duplicates / part.texts:.0%} of the texts repeat an earlier one; "
                            "remove them")  # fmt: skip
        if part.also_in_train > 0.1 * part.texts:
            texts = many(part.also_in_train, "text is", "texts are")
            warnings.append(f"{name}: {texts} also in train; remove them, or the perplexity is too low")
    train = parts["train"]
    if survey.marked and config.tokenizer.level != "whitespace":
        warnings.append(
            f"train: {survey.marked:,} of the first texts contain {UNKNOWN}: if the text is already "
            "tokenized, pass --set tokenizer.level=whitespace"
        )
    if len(survey.sizes) < 2:
        warnings.append(
            "train: there is only one text, so none can be held out; put its sentences or paragraphs on "
            "separate lines, or pass --valid"
        )
    if train.tokens < _FEW_TOKENS:
        warnings.append(
            f"train: {train.tokens:,} tokens are few for a language model; below {_FEW_TOKENS:,} the n-grams "
            "often lead"
        )
    if unknown is not None and unknown > 0.1:
        warnings.append(
            f"{unknown:.0%} of the held-out tokens are unknown; raise tokenizer.vocab_size, or try "
            "--set tokenizer.level=subword"
        )
    return warnings
