"""A public data set from its authors' address: resumed if interrupted, checked, and unpacked safely."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from recurra.errors import ConfigError, DataError, OutputError

__all__ = ["DATA_SETS", "PAUSE", "DataSet", "Progress", "fetch", "fetch_set"]

Progress = Callable[[str, int, int], None]
"""Called with "download", "check" or "unpack", the number of bytes done and their total."""

PAUSE = 2.0
"""Seconds before the second try; twice as many before each further one."""

_TRIES = 4
_TIMEOUT = 30.0
_BLOCK = 1 << 16
_ELSEWHERE = "download it elsewhere and pass --local FILE, or pass another address with --url"
_LONGEST_NAME = 100
_MOST_MEMBERS = 1_000_000
_DISK_BLOCK = 4_096


@dataclass(frozen=True)
class DataSet:
    """An archive: its address, its size in bytes, its checksum in hexadecimal, and the folder inside.

    It is refused if its contents take more than ``unpacked`` bytes on disk.
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
    """Downloads a data set by name and unpacks it under ``target_folder``.

    Args:
        name: "imdb".
        target_folder: created if it does not exist.
        url: another address of the same archive.
        local: a copy of the archive on this machine, used instead of a download.
        progress: called as the work proceeds.

    Returns:
        The unpacked folder. If it exists already, nothing is done.

    Raises:
        ConfigError: there is no data set of that name.
        DataError: the address can't be reached, or the file is not the archive.
        OutputError: the target can't be written, or is full.
    """
    if name not in DATA_SETS:
        raise ConfigError(f"there is no data set {name!r}", hint=f"there are {', '.join(DATA_SETS)}")
    data_set = replace(DATA_SETS[name], url=url or DATA_SETS[name].url)
    return fetch_set(data_set, target_folder, local=local, progress=progress)


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
    with _writing(target_folder):
        target_folder.mkdir(parents=True, exist_ok=True)
    part = target_folder / f"{Path(data_set.url).name[-_LONGEST_NAME:]}.part"
    needed = data_set.unpacked + (0 if local else data_set.size - _size(part))
    free = shutil.disk_usage(target_folder).free
    if free < needed:
        what = f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        hint = "give another folder"
        raise OutputError(f"there is not enough room: {what}", where=target_folder, hint=hint)
    if local is not None:
        _check(Path(local), data_set, report)
        _unpack(Path(local), data_set, final, report)
        return final
    _download(data_set.url, part, data_set.size, lambda done: report("download", done, data_set.size))
    try:
        _check(part, data_set, report)
    except DataError:
        part.unlink()  # otherwise the next run would resume from damaged data
        raise
    _unpack(part, data_set, final, report)
    part.unlink()
    return final


def _check(archive: Path, data_set: DataSet, report: Progress) -> None:
    """Refuses a file that is not the archive."""
    hint = "download it again"
    try:
        size = archive.stat().st_size
        if size != data_set.size:
            raise DataError(f"has {size:,} bytes instead of {data_set.size:,}", where=archive, hint=hint)
        with archive.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"can't be read ({error.strerror})", where=archive) from error
    if md5 != data_set.md5:
        what = f"is not the archive that was published (MD5 {md5} instead of {data_set.md5})"
        raise DataError(what, where=archive, hint=hint)
    report("check", size, size)


def _unpack(archive: Path, data_set: DataSet, final: Path, report: Progress) -> None:
    with (
        _writing(final),
        tempfile.TemporaryDirectory(
            prefix=f".{final.name}-", dir=final.parent, ignore_cleanup_errors=True
        ) as draft,
    ):
        _extract(archive, Path(draft), data_set.unpacked, lambda done: report("unpack", done, data_set.size))
        unpacked = Path(draft, data_set.folder)
        if not unpacked.is_dir():
            raise DataError(f"has no folder {data_set.folder} inside", where=archive)
        unpacked.replace(final)


class _BrokeOffError(Exception):
    """The connection ended early; the bytes received so far are kept."""


def _download(url: str, part: Path, size: int, progress: Callable[[int], None]) -> None:
    """Downloads ``size`` bytes from ``url`` into ``part``, after those that it has already."""
    try:
        address = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise DataError(f"is no address ({error})", where=url, hint=_ELSEWHERE) from error
    if address.scheme not in ("http", "https"):
        raise DataError("is not an http or https address", where=url, hint="pass a file with --local FILE")
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            return _resume(url, part, size, progress)
        except _BrokeOffError as error:
            reason = str(error)
    what = f"broke off at {_size(part):,} of {size:,} bytes, {_TRIES} times ({reason})"
    raise DataError(what, where=url, hint=f"run the same command again to resume, or {_ELSEWHERE}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _resume(url: str, part: Path, size: int, progress: Callable[[int], None]) -> None:
    have = _size(part)
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    headers = {"User-Agent": "recurra", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http(s) only, checked above
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            _save(answer, part, have, size, progress, url)
    except urllib.error.HTTPError as error:
        with error:
            what = f"the server answers {error.code} {error.reason}"
            if error.code == 416 and have:  # the bytes so far are of another file
                part.unlink()
                raise _BrokeOffError("the server has a shorter file") from error
            if error.code >= 500 or error.code == 429:
                raise _BrokeOffError(what) from error
            raise DataError(what, where=url, hint=_ELSEWHERE) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError | ConnectionResetError):
            raise _BrokeOffError(str(error.reason) or "no answer") from error
        what = f"can't be reached ({error.reason})"
        raise DataError(what, where=url, hint=f"check the network, or {_ELSEWHERE}") from error
    except (http.client.InvalidURL, ValueError) as error:
        raise DataError(f"is no address ({error})", where=url, hint=_ELSEWHERE) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _BrokeOffError(str(error) or type(error).__name__) from error


def _save(
    answer: http.client.HTTPResponse,
    part: Path,
    have: int,
    size: int,
    progress: Callable[[int], None],
    url: str,
) -> None:
    """Writes the answer to ``part``, after its ``have`` bytes if the server continues there."""
    if answer.status != 206:
        have = 0  # the server sends the whole file again
    elif have and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        raise _BrokeOffError("the server sends another part than the one asked for")
    with _writing(part):
        file = part.open("ab" if have else "wb")
    with file:
        while block := answer.read(_BLOCK):
            have += len(block)
            if have > size:
                what = f"sends more than the {size:,} bytes of the archive"
                raise DataError(what, where=url, hint=_ELSEWHERE)
            with _writing(part):
                file.write(block)
            progress(have)
    if have < size:
        raise _BrokeOffError("the connection was closed")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """A context in which a failed write becomes an `OutputError` about ``path``."""
    try:
        yield
    except OSError as error:
        what = f"can't be written ({error.strerror or error})"
        raise OutputError(what, where=path, hint="give another folder") from error


def _extract(archive: Path, target: Path, limit: int, progress: Callable[[int], None]) -> None:
    """Unpacks a gzipped tar archive; only files and folders inside ``target`` are written.

    The contents may take ``limit`` bytes on disk. ``progress`` is called with the number of bytes read.
    """
    count = taken = 0

    def accept(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        nonlocal count, taken
        path = PurePosixPath(member.name.replace("\\", "/"))
        what = None
        if path.is_absolute() or ".." in path.parts or ":" in member.name:
            what = f"has a member outside its folder ({member.name!r})"
        elif not (member.isfile() or member.isdir()):
            what = f"has a link or device inside ({member.name!r})"
        if what:
            raise DataError(what, where=archive, hint="it is not the published archive: download it again")
        count += 1
        taken += -(-member.size // _DISK_BLOCK) * _DISK_BLOCK
        if taken > limit or count > _MOST_MEMBERS:
            raise DataError("has more contents than the published archive", where=archive)
        if count % 256 == 0:
            progress(file.tell())
        return tarfile.data_filter(member, folder).replace(mode=None, mtime=None, deep=False)  # type: ignore[arg-type]

    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
            tar.extractall(target, filter=accept)  # noqa: S202 - `accept` refuses members outside
            progress(file.tell())
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"is not a whole tar.gz archive ({error})", where=archive) from error
