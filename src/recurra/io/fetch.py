"""A public data set from its authors' address: resumed, checked, and in place whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from recurra.errors import ConfigError, DataError, OutputError
from recurra.io.download import download, writing
from recurra.io.unpack import unpack

__all__ = ["DATA_SETS", "DataSet", "Progress", "fetch", "fetch_set"]

Progress = Callable[[str, int, int], None]
"""Called with "download", "check" or "unpack", the bytes done, and the bytes in all."""


@dataclass(frozen=True)
class DataSet:
    """Where an archive is, what it must be, and what comes out of it.

    Attributes:
        url: the authors' address.
        size: bytes of the archive.
        md5: its checksum, in hexadecimal.
        folder: the one folder inside.
        unpacked: bytes on disk, roughly, after unpacking; an archive that gives more is refused.
    """

    url: str
    size: int
    md5: str
    folder: str
    unpacked: int


DATA_SETS = {
    "imdb": DataSet(
        "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
        84_125_825,
        "7c2ac02c03563afcf9b574c7e56c153a",
        "aclImdb",
        700_000_000,  # 100,000 files of 1.3 kB, each in blocks of 4 kB
    )
}


def fetch(
    name: str,
    target_folder: Path,
    *,
    url: str | None = None,
    local: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch a data set by name and unpack it under ``target_folder``.

    Args:
        name: "imdb".
        target_folder: made if it is not there.
        url: another address of the same archive.
        local: a copy of the archive on this machine; nothing is downloaded then.
        progress: told how far it is.

    Returns:
        The unpacked folder. If it is there already, nothing is done.

    Raises:
        ConfigError: there is no data set of that name.
        DataError: the address can't be reached, or what comes is not the archive.
        OutputError: the target can't be written, or is full.
    """
    if name not in DATA_SETS:
        raise ConfigError(f"there is no data set {name!r}", hint=f"there are {', '.join(DATA_SETS)}")
    found = DATA_SETS[name]
    return fetch_set(replace(found, url=url or found.url), target_folder, local=local, progress=progress)


def fetch_set(
    data_set: DataSet, target_folder: Path, *, local: Path | None = None, progress: Progress | None = None
) -> Path:
    """`fetch` for a data set described by the caller."""
    report = progress or (lambda _step, _done, _total: None)
    target_folder = Path(target_folder)
    final = target_folder / data_set.folder
    if (final / "train").is_dir():
        return final
    if final.exists():
        raise OutputError("is in the way", where=final, hint="remove it, or give another folder")
    with writing(target_folder):
        target_folder.mkdir(parents=True, exist_ok=True)
    part = target_folder / f"{Path(data_set.url).name}.part"
    to_download = 0 if local else data_set.size - (part.stat().st_size if part.exists() else 0)
    _check_room(target_folder, to_download + data_set.unpacked)
    if local is not None:
        _check(Path(local), data_set, report)
        _unpack(Path(local), data_set, final, report)
        return final
    download(data_set.url, part, data_set.size, lambda done: report("download", done, data_set.size))
    try:
        _check(part, data_set, report)
    except DataError:
        part.unlink()  # else the next run would go on from broken data
        raise
    _unpack(part, data_set, final, report)
    part.unlink()
    return final


def _check(archive: Path, data_set: DataSet, report: Progress) -> None:
    """Refuse a file that is not the archive, byte for byte."""
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    hint = "download it again"
    try:
        with archive.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                done += len(block)
                report("check", done, data_set.size)
    except OSError as error:
        raise DataError(f"can't be read ({error.strerror})", where=archive) from error
    if done != data_set.size:
        raise DataError(f"has {done:,} bytes instead of {data_set.size:,}", where=archive, hint=hint)
    if digest.hexdigest() != data_set.md5:
        what = f"is not the archive that was published (MD5 {digest.hexdigest()} instead of {data_set.md5})"
        raise DataError(what, where=archive, hint=hint)


def _unpack(archive: Path, data_set: DataSet, final: Path, report: Progress) -> None:
    with writing(final.parent):
        draft = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        unpack(archive, draft, data_set.unpacked, lambda done: report("unpack", done, data_set.size))
        if not (draft / data_set.folder).is_dir():
            raise DataError(f"has no folder {data_set.folder} inside", where=archive)
        with writing(final):
            (draft / data_set.folder).replace(final)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(draft)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"there is not enough room: {needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free",
            where=folder,
            hint="give another folder",
        )
