"""A tar archive unpacked without trust: files and folders inside the target, nothing else."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from recurra.errors import DataError, OutputError

__all__ = ["unpack"]

_MOST_MEMBERS = 1_000_000
_BLOCK = 4_096


def unpack(archive: Path, target: Path, limit: int, progress: Callable[[int], None]) -> None:
    """Unpack a gzipped tar into the folder ``target``.

    Args:
        archive: the file.
        target: an empty folder.
        limit: bytes on disk that the contents may take.
        progress: told how many bytes of the archive are read.

    Raises:
        DataError: the archive is damaged, too large, or has a member that is neither file nor folder
            or lies outside.
        OutputError: ``target`` can't be written.
    """
    taken = 0
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
            for count, member in enumerate(tar):
                _check(member, archive)
                taken += -(-member.size // _BLOCK) * _BLOCK
                if taken > limit or count >= _MOST_MEMBERS:
                    raise DataError("holds far more than it should", where=archive)
                _extract(tar, member, target)
                if count % 256 == 0:
                    progress(file.tell())
            progress(file.tell())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"is not a whole tar.gz archive ({error})", where=archive) from error
    except OSError as error:  # gzip.BadGzipFile too
        raise DataError(f"can't be read ({error.strerror or error})", where=archive) from error


def _check(member: tarfile.TarInfo, archive: Path) -> None:
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.name:
        raise DataError(f"has a member outside its folder ({member.name!r})", where=archive, hint=_MEND)
    if not (member.isfile() or member.isdir()):
        raise DataError(f"has a link or device inside ({member.name!r})", where=archive, hint=_MEND)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    try:
        tar.extract(member, target, set_attrs=False, filter="data")
    except (tarfile.TarError, EOFError):
        raise
    except OSError as error:
        if error.errno is None:
            raise  # the gzip data is damaged
        raise OutputError(f"can't be written ({error.strerror})", where=target) from error


_MEND = "it is not the published archive: download it again"
