"""The check of tagged sentences: tags, lengths, unknown words, the scheme, repeated and broken sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.io.formats import Skipped
from recurra.tasks.checks import broken_in_words, listed, many, report_findings
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.tagging.prepare import MANY_TAGS, check_settings, held_out, scheme_of
from recurra.tasks.tagging.schemes import FoundScheme
from recurra.tasks.tagging.sentences import SentenceTable, cached_sentences, detect_sentences
from recurra.tasks.tagging.sentences.reading import is_sentences
from recurra.tasks.tagging.settings import TaggerConfig

__all__ = ["PartCheck", "TaggingCheck", "check_files"]

_TAGS = 20  # more are counted, not listed
_QUANTILES = (50, 95, 100)
_FEW = 10
_LONG = 5  # words; shorter sentences occur in several files by chance


class PartCheck(BaseModel, frozen=True):
    """The counts of one file.

    Attributes:
        tags: number of words of each tag, the most frequent first.
        lengths: quantiles of the words of a sentence, by percent; "100" is the longest.
        different: number of different words.
        ambiguous: share of the words that have several tags in this file.
        duplicates: number of sentences that repeat an earlier one.
        conflicts: number of them with other tags.
        also_in_train: number of sentences of five words or more that training has too.
        broken: number of broken sentences, and ``broken_sentences``, the first of them with what is wrong.
    """

    file: str
    sentences: int
    words: int
    tags: dict[str, int]
    lengths: dict[str, int]
    different: int
    ambiguous: float
    duplicates: int
    conflicts: int
    also_in_train: int
    broken: int
    broken_sentences: list[str]


class TaggingCheck(BaseModel, frozen=True):
    """The check of a training file and of its validation and test files.

    Attributes:
        parts: the counts by "train", "valid" and "test".
        scheme: the value of ``tagging.scheme``, ``none`` if tags mark no spans.
        scheme_text: the same in words.
        held_out: the sentences on which ``unknown`` is measured.
        unknown: the share of their words that do not occur in the others; None if there are none.
        warnings: one sentence each, with what to do.
    """

    parts: dict[str, PartCheck]
    scheme: str
    scheme_text: str
    held_out: str
    unknown: float | None
    warnings: list[str]


@dataclass(frozen=True)
class _File:
    path: Path
    sentences: SentenceTable
    skipped: Skipped


def check_files(
    data: Path,
    config: TaggerConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> dict[str, Any]:
    """Reports what to know about files of tagged sentences before training; see `Task.check`.

    Raises:
        DataError: a file is missing, or none of its sentences is whole.
        ConfigError: a setting is not supported by taggers.
    """
    check_settings(config)
    reporter.step("Data check")
    given = {"train": data, "valid": valid, "test": test}
    files: dict[str, _File] = {}
    for name, path in given.items():
        if path is not None:
            files[name] = _read(path, config, reporter, shown=name == "train")
    with reporter.counting("finding the scheme of the tags") as tick:
        found = scheme_of(config, [file.sentences for file in files.values()], tick)
    reporter.facts({"scheme": found.text})
    keys: dict[str, NDArray[np.uint64]] = {}
    for name, file in files.items():
        with reporter.counting(f"checking {file.path.name}", len(file.sentences)) as tick:
            keys[name] = _keys(file.sentences, tick)
    parts: dict[str, PartCheck] = {}
    for name, file in files.items():
        with reporter.counting("counting the words", len(file.sentences)) as tick:
            parts[name] = _counted(file, keys[name], None if name == "train" else keys["train"], tick)
    with reporter.counting("looking for unknown words", len(files["train"].sentences)) as tick:
        held, unknown = _unknown(files, config, tick)
    report = TaggingCheck(
        parts=parts,
        scheme=found.setting,
        scheme_text=found.text,
        held_out=held,
        unknown=unknown,
        warnings=_warnings(parts, found, held, unknown),
    )
    task = [] if is_sentences(data) else ["--task", "tag"]
    report_findings(reporter, _table(report), report.warnings, ["fit", str(data), *task])
    return report.model_dump(mode="json")


def _read(path: Path, config: TaggerConfig, reporter: Reporter, *, shown: bool) -> _File:
    source = replace(detect_sentences(path, config.data, config.tagging), skip_bad_rows=True)
    if shown:
        reporter.facts(source.describe())
    skipped = Skipped()
    try:
        with reporter.counting(f"reading {path.name}") as tick:
            sentences = cached_sentences(source, skipped, tick)
    except DataError as error:
        if not skipped.examples:
            raise
        raise DataError("there is no whole sentence", where=path, hint=skipped.examples[0]) from error
    return _File(path, sentences, skipped)


def _keys(sentences: SentenceTable, tick: Tick) -> NDArray[np.uint64]:
    """A key of the words and one of the tags of each sentence, of shape (N, 2): 64 bits of a digest.

    Of 10 million sentences, two different ones have the same key with a probability of 3 in a million.
    """
    keys = np.zeros((len(sentences), 2), np.uint64)
    for row, sentence in enumerate(sentences):
        for column, texts in enumerate((sentence.words, sentence.tags or ())):
            digest = blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            keys[row, column] = int.from_bytes(digest, "little")
        if row % 1_000 == 999:
            tick(1_000)
    return keys


def _counted(
    file: _File, keys: NDArray[np.uint64], train: NDArray[np.uint64] | None, tick: Tick
) -> PartCheck:
    """The counts of a file with the `_keys` of its sentences and, of a held-out file, those of training."""
    words, tags = keys.T
    _, first, which = np.unique(words, return_index=True, return_inverse=True)
    earlier = first[which]  # of each sentence, the first with its words
    repeated = earlier < np.arange(len(words))
    lengths = file.sentences.lengths
    seen = np.zeros(len(words), bool) if train is None else np.isin(words, train[:, 0])
    by_word = file.sentences.counts(tick)
    quantiles = np.percentile(lengths, _QUANTILES, method="nearest").astype(int).tolist()
    several = sum(sum(counts.values()) for counts in by_word.values() if len(counts) > 1)
    return PartCheck(
        file=str(file.path),
        sentences=len(lengths),
        words=int(lengths.sum()),
        tags=dict(Counter(file.sentences.tag_counts).most_common()),
        lengths={str(percent): length for percent, length in zip(_QUANTILES, quantiles, strict=True)},
        different=len(by_word),
        ambiguous=several / int(lengths.sum()),
        duplicates=int(repeated.sum()),
        conflicts=int((repeated & (tags != tags[earlier])).sum()),
        also_in_train=int((seen & (lengths >= _LONG)).sum()),
        broken=file.skipped.count,
        broken_sentences=file.skipped.examples,
    )


def _unknown(files: Mapping[str, _File], config: TaggerConfig, tick: Tick) -> tuple[str, float | None]:
    """The held-out sentences by name, and the share of their words that do not occur in the training ones."""
    train = files["train"].sentences
    name = next((name for name in ("test", "valid") if name in files), "")
    if name:
        held = files[name].sentences
    elif len(train) < 2:
        return "nothing", None
    else:
        train, held = held_out(train, config, files["train"].path)
    known = {train.forms[number - 1] for number in train.own_forms(tick).tolist()}
    unknown = float((~held.words.among(known)).mean())
    return name or f"{len(held):,} sentences held out", unknown


def _table(report: TaggingCheck) -> tuple[list[str], list[list[str]]]:
    names, parts = list(report.parts), list(report.parts.values())
    rows = [
        ["sentences", *(f"{part.sentences:,}" for part in parts)],
        ["words", *(f"{part.words:,}" for part in parts)],
        ["different words", *(f"{part.different:,}" for part in parts)],
    ]
    if any(part.broken for part in parts):
        rows.append(["broken sentences", *(f"{part.broken:,}" for part in parts)])
    tags = list(dict.fromkeys(tag for part in parts for tag in part.tags))
    for tag in tags[:_TAGS]:
        counts = [(part.tags.get(tag, 0), part.words) for part in parts]
        rows.append([f"tag {tag}", *(f"{count:,} ({count / words:.1%})" for count, words in counts)])
    if len(tags) > _TAGS:
        rows.append([f"... {len(tags) - _TAGS:,} more tags", *([""] * len(parts))])
    for percent, name in {"50": "median", "95": "95%", "100": "longest"}.items():
        rows.append([f"words a sentence, {name}", *(f"{part.lengths[percent]:,}" for part in parts)])
    rows += [
        ["words of several tags", *(f"{part.ambiguous:.1%}" for part in parts)],
        ["repeated sentences", *(f"{part.duplicates:,}" for part in parts)],
    ]
    if len(parts) > 1:
        rows.append(["also in train", "", *(f"{part.also_in_train:,}" for part in parts[1:])])
    if report.unknown is not None:
        share = f"{report.unknown:.1%}"
        if report.held_out in names:
            cells = [share if name == report.held_out else "" for name in names]
        else:
            cells = [f"{share} (of {report.held_out})"]
        rows.append(["unknown words", *cells])
    return ["", *names], rows


def _warnings(
    parts: Mapping[str, PartCheck], found: FoundScheme, held: str, unknown: float | None
) -> list[str]:
    warnings: list[str] = []
    train = parts["train"]
    for name, part in parts.items():
        warnings += broken_in_words(name, part.broken, part.broken_sentences, "sentence")
        if part.conflicts:
            sentences = many(part.conflicts, "repeated sentence has", "repeated sentences have")
            warnings.append(f"{name}: {sentences} other tags than before; check them")
        if part.also_in_train:
            sentences = many(part.also_in_train, "sentence", "sentences")
            warnings.append(
                f"{name}: {sentences} of {_LONG} words or more also in train; remove them from train, or the "
                "figures are too high"
            )
        others = [tag for tag in part.tags if tag not in train.tags]
        if others:
            words = sum(part.tags[tag] for tag in others)
            warnings.append(
                f"{name}: {many(words, 'word has', 'words have')} tags that are not in train "
                f"({listed(others)}); pass --set tagging.unknown_tags=wrong to count them as wrong"
            )
    if found.broken:
        warnings.append(
            f"{found.broken:,} of {found.sentences:,} sentences do not follow the scheme "
            f"{found.scheme.name if found.scheme else ''}; check their tags"
        )
    if len(train.tags) < 2:
        warnings.append("train: there is one tag only; training needs at least two")
    elif len(train.tags) > MANY_TAGS and len(train.tags) > train.words / 5:
        warnings.append(
            f"train: {len(train.tags):,} different tags of {train.words:,} words: the last column does not "
            "seem to hold tags; write the word first and its tag last"
        )
    else:
        common, count = next(iter(train.tags.items()))
        if count > 0.8 * train.words:
            warnings.append(
                f"train: {count / train.words:.0%} of the words have the tag {common}; prefer the figures of "
                "spans and tags to accuracy"
            )
        few = [tag for tag, count in train.tags.items() if count < _FEW]
        if few and train.words >= 500:
            warnings.append(f"train: tags of fewer than {_FEW} words: {listed(few)}; add sentences with them")
    if train.sentences == 1:
        warnings.append("train: there is one sentence only; a blank line must part sentences")
    if unknown is not None and unknown > 0.2:
        warnings.append(
            f"{unknown:.0%} of the words of {held} do not occur in training; more sentences or pretrained "
            "vectors (--pretrained) help"
        )
    return warnings
