"""A folder a class, one text a file: aclImdb as unpacked, or any other of that form."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.files import read_file
from recurra.io.formats.table import Record, Refuse
from recurra.io.source import Source

__all__ = ["find", "records"]

_UNLABELLED = frozenset({"unsup", "unsupervised", "unlabeled", "unlabelled"})
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".gz")
_FILE = re.compile(r"(\d+)_\d+\.txt")
_MOVIE = re.compile(r"tt\d+")


def find(path: Path, config: DataConfig, labelled: bool) -> Source:
    """What the folder holds. A folder with ``train/`` and ``test/`` stands for its ``train/``.

    Any group that is asked for is the film, which aclImdb lists beside its folders.

    Raises:
        DataError: it has no folders of texts, or only one.
    """
    notes = []
    if (path / "train").is_dir() and (path / "test").is_dir() and _classes(path / "train"):
        notes.append(f"{path.name}/train is read; test/ beside it is for --test")
        path = path / "train"
    if not labelled and _texts(path):
        return Source(path, "folder", encoding=config.encoding, skip_bad_rows=config.skip_bad_rows)
    classes = _classes(path)
    left_out = [name for name in classes if name.lower() in _UNLABELLED]
    if labelled:
        classes = [name for name in classes if name not in left_out]
    if len(classes) < 2 and (labelled or not classes):
        raise _no_classes(path, classes)
    if left_out and labelled:
        count = sum(len(_texts(path / name)) for name in left_out)
        notes.append(f"{', '.join(left_out)}/ is left out ({count:,} texts without labels)")
    if config.group is not None and labelled and not all(_urls(path, name) for name in classes):
        raise DataError("a folder a class has no groups", where=path, hint="leave --group out")
    return Source(
        path,
        "folder",
        encoding=config.encoding,
        group=config.group if labelled else None,
        columns=tuple(classes),
        text=("text",),
        label="folder" if labelled else None,
        skip_bad_rows=config.skip_bad_rows,
        notes=tuple(notes),
    )


def records(source: Source, refuse: Refuse) -> Iterator[Record]:
    """A record a file, class after class, files sorted by name."""
    number = 0
    for name in source.columns or ("",):
        folder = source.path / name
        labels = (name,) if source.label is not None else None
        movies = _urls(source.path, name) if source.group is not None else []
        for file in _texts(folder):
            number += 1
            group = _movie(file, movies) if source.group is not None else None
            try:
                text = read_file(folder / file, source.encoding)
            except DataError as error:
                refuse(number, error)
            else:
                yield Record(number, text, labels, group)


def _urls(path: Path, name: str) -> list[str]:
    """The films of a class in aclImdb, by the number its files' names begin with."""
    file = path / f"urls_{name}.txt"
    if not file.is_file():
        return []
    found = (_MOVIE.search(line) for line in read_file(file, "utf-8").splitlines())
    return [movie[0] if movie else "" for movie in found]


def _movie(file: str, movies: list[str]) -> str:
    number = _FILE.fullmatch(file)
    return movies[int(number[1])] if number and int(number[1]) < len(movies) else ""


def _classes(path: Path) -> list[str]:
    """Subfolders with texts directly in them."""
    with _listing(path) as entries:
        names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    return [name for name in names if _texts(path / name) and not _tables(path / name)]


def _texts(path: Path) -> list[str]:
    """The text files of a folder, sorted: ``.txt``, or without an ending as in 20 Newsgroups."""
    with _listing(path) as entries:
        return sorted(
            e.name
            for e in entries
            if not e.name.startswith(".") and Path(e.name).suffix in (".txt", "") and e.is_file()
        )


def _tables(path: Path) -> list[str]:
    """Data files in a folder: where there are some, the texts beside them are notes, not data."""
    with _listing(path) as entries:
        return [e.name for e in entries if e.name.endswith(_TABLES) and e.is_file()]


def _listing(path: Path) -> os._ScandirIterator[str]:
    try:
        return os.scandir(path)
    except OSError as error:
        raise DataError(f"can't be read ({error.strerror})", where=path) from error


def _no_classes(path: Path, classes: list[str]) -> DataError:
    what = "the folder has no folders of .txt files, one a class"
    if classes:
        what = f"the folder has one class only ({classes[0]})"
    with _listing(path) as entries:
        files = sorted(e.name for e in entries if e.is_file() and e.name.endswith((*_TABLES, ".txt")))
    inside = [n for n in files if "train" in n] or files
    hint = "lay the texts out as FOLDER/CLASS/*.txt"
    if inside and not classes:
        hint = f"give a file, for example {path / inside[0]}"
    return DataError(what, where=path, hint=hint)
