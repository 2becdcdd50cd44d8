"""The built-in sample: short generated reviews, English and Chinese, in which the order of words decides."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

from recurra.errors import ConfigError
from recurra.files import replacing
from recurra.io.sample.grammar import PARTS, Grammar, Part, SampleRow

__all__ = ["PARTS", "Language", "SampleRow", "sample_rows", "write_sample"]

Language = Literal["en", "zh", "both"]
_FILES = {"en": ["english"], "zh": ["chinese"], "both": ["english", "chinese"]}


def sample_rows(
    language: Language = "en", *, seed: int = 0, train: int = 4000, valid: int = 500, test: int = 1000
) -> dict[Part, list[SampleRow]]:
    """Returns the rows of each part, shuffled, with equal numbers of ``pos`` and ``neg`` (within one).

    No two rows have the same text, and no combination of a frame with words of praise and blame is in two
    parts. The rows of a part do not depend on the sizes of the others. With ``both``, half the rows are in
    each language.

    Raises:
        ConfigError: the language is unknown, or a size is below 2 or more than the grammar can fill.

    Example:
        >>> rows = sample_rows("en", train=4, valid=2, test=2)
        >>> {part: sorted(row.label for row in rows[part]) for part in ("train", "test")}
        {'train': ['neg', 'neg', 'pos', 'pos'], 'test': ['neg', 'pos']}
    """
    if language not in _FILES:
        raise ConfigError(f"there is no sample in language {language!r}", hint="use en, zh or both")
    grammars = [Grammar.load(name) for name in _FILES[language]]
    sizes: dict[Part, int] = {"train": train, "valid": valid, "test": test}
    for part, size in sizes.items():
        if size < 2:
            raise ConfigError(f"the sample's {part} part can't have {size} rows", hint="ask for 2 or more")
    return {part: Grammar.draw(grammars, part, size, seed) for part, size in sizes.items()}


def write_sample(
    folder: Path,
    language: Language = "en",
    *,
    seed: int = 0,
    train: int = 4000,
    valid: int = 500,
    test: int = 1000,
) -> Path:
    """Writes ``train.csv``, ``valid.csv`` and ``test.csv`` (columns ``text,label``) into ``folder``.

    Each file is complete or absent; an existing one is replaced. Returns ``folder``.

    Raises:
        ConfigError: as `sample_rows`.
        OutputError: the folder or a file can't be written.
    """
    parts = sample_rows(language, seed=seed, train=train, valid=valid, test=test)
    folder = Path(folder)
    for part, rows in parts.items():
        path = folder / f"{part}.csv"
        with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("text", "label"))
            writer.writerows((row.text, row.label) for row in rows)
    return folder
