"""A folder for each class with one text a file, such as aclImdb."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from recurra.errors import DataError
from recurra.io.files import Lines, read_file
from recurra.io.formats.spec import Format, Record, Refuse, Source, Start

__all__ = ["FOLDER"]

_UNLABELLED = frozenset({"unsup", "unsupervised", "unlabeled", "unlabelled"})
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet", ".gz")
_FILE = re.compile(r"(\d+)_\d+\.txt")
_FILM = re.compile(r"tt\d+")


def _layout(start: Start) -> Source:
    """The source with its classes as columns. Of a folder with ``train/`` and ``test/``, ``train/`` is read.

    The only groups are films, which aclImdb lists beside its folders, under whatever name they are asked for.
    """
    path, labelled = start.source.path, start.request.labelled
    notes = []
    if (path / "train").is_dir() and (path / "test").is_dir() and _classes(path / "train"):
        notes.append(f"{path.name}/train is read; test/ beside it is for --test")
        path = path / "train"
    if not labelled and _texts(path):
        return replace(start.source, path=path)
    classes = _classes(path)
    left_out = [name for name in classes if name.lower() in _UNLABELLED]
    if labelled:
        classes = [name for name in classes if name not in left_out]
    if len(classes) < 2 and (labelled or not classes):
        raise _no_classes(path, classes)
    if left_out and labelled:
        count = sum(len(_texts(path / name)) for name in left_out)
        notes.append(f"{', '.join(left_out)}/ is left out ({count:,} texts without labels)")
    group = start.request.group if labelled else None
    if group is not None and not all(_urls(path, name) for name in classes):
        raise DataError("a folder a class has no groups", where=path, hint="leave --group out")
    return replace(
        start.source,
        path=path,
        group=group,
        columns=tuple(classes),
        text=("text",),
        label="folder" if labelled else None,
        notes=tuple(notes),
    )


def _records(source: Source, refuse: Refuse, lines: Lines | None) -> Iterator[Record]:
    """A record for each file, class by class, files sorted by name."""
    del lines  # a folder cannot be streamed
    number = 0
    for name in source.columns or ("",):
        folder = source.path / name
        labels = (name,) if source.label is not None else None
        films = _urls(source.path, name) if source.group is not None else []
        for file in _texts(folder):
            number += 1
            match = _FILE.fullmatch(file)
            film = films[int(match[1])] if match and int(match[1]) < len(films) else ""
            try:
                text = read_file(folder / file, source.encoding)
            except DataError as error:
                refuse(number, error)
            else:
                yield Record(number, text, labels, film if source.group is not None else None)


def _urls(path: Path, name: str) -> list[str]:
    """The films of a class in aclImdb; the names of its text files begin with an index into this list."""
    file = path / f"urls_{name}.txt"
    if not file.is_file():
        return []
    matches = (_FILM.search(line) for line in read_file(file, "utf-8").splitlines())
    return [match[0] if match else "" for match in matches]


def _classes(path: Path) -> list[str]:
    """Subfolders with texts directly in them; text files beside data files are notes."""
    names = _names(path, lambda entry: entry.is_dir() and not entry.name.startswith("."))
    return [name for name in names if _texts(path / name) and not _names(path / name, _is_table)]


def _texts(path: Path) -> list[str]:
    """The text files of a folder, sorted: ``.txt``, or without a suffix as in 20 Newsgroups."""

    def is_text(entry: os.DirEntry[str]) -> bool:
        name = entry.name
        return not name.startswith(".") and Path(name).suffix in (".txt", "") and entry.is_file()

    return _names(path, is_text)


def _is_table(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(_TABLES) and entry.is_file()


def _names(path: Path, accept: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    """The names of the entries of a folder that are accepted, sorted."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if accept(entry))
    except OSError as error:
        raise DataError(f"can't be read ({error.strerror})", where=path) from error


def _no_classes(path: Path, classes: list[str]) -> DataError:
    what = "the folder has no folders of .txt files, one a class"
    if classes:
        what = f"the folder has one class only ({classes[0]})"
    files = _names(path, lambda entry: entry.is_file() and entry.name.endswith((*_TABLES, ".txt")))
    inside = [n for n in files if "train" in n] or files
    hint = "lay the texts out as FOLDER/CLASS/*.txt"
    if inside and not classes:
        hint = f"give a file, for example {path / inside[0]}"
    return DataError(what, where=path, hint=hint)


FOLDER = Format("folder", "a folder a class", _layout, lambda start: True, records=_records, is_folder=True)
