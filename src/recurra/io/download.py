"""One file over HTTP, going on where an earlier try broke off."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recurra.errors import DataError, OutputError

__all__ = ["PAUSE", "download", "writing"]

PAUSE = 2.0
"""Seconds before the second try; twice as many before each further one."""

_TRIES = 4
_TIMEOUT = 30.0
_BLOCK = 1 << 16
_ELSEWHERE = "download it elsewhere and pass --local FILE, or pass another address with --url"


class _BrokeOffError(Exception):
    """The connection ended early; what came so far is kept."""


def download(url: str, part: Path, size: int, progress: Callable[[int], None]) -> None:
    """Bring ``size`` bytes from ``url`` into ``part``; what is in it already is not sent again.

    Raises:
        DataError: the address can't be reached, refuses, or sends something longer.
        OutputError: ``part`` can't be written.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DataError("is not an http or https address", where=url, hint="pass a file with --local FILE")
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            _go_on(url, part, size, progress)
        except _BrokeOffError as error:
            reason = str(error)
        else:
            return
    have = part.stat().st_size if part.exists() else 0
    what = f"broke off at {have:,} of {size:,} bytes, {_TRIES} times ({reason})"
    raise DataError(what, where=url, hint=f"run the same again to go on, or {_ELSEWHERE}")


def _go_on(url: str, part: Path, size: int, progress: Callable[[int], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
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
            if have and not _continues(answer, have):
                have = 0  # the server sends the whole file again
            _save(answer, part, have, size, progress, url)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:  # what is there is of another file
                part.unlink()
                raise _BrokeOffError("the server has a shorter file") from error
            if error.code >= 500 or error.code == 429:
                raise _BrokeOffError(f"the server answers {error.code} {error.reason}") from error
            what = f"the server answers {error.code} {error.reason}"
            raise DataError(what, where=url, hint=_ELSEWHERE) from error
    except http.client.InvalidURL as error:
        raise DataError(f"is no address ({error})", where=url, hint=_ELSEWHERE) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError | ConnectionResetError):
            raise _BrokeOffError(str(error.reason) or "no answer") from error
        what = f"can't be reached ({error.reason})"
        raise DataError(what, where=url, hint=f"check the network, or {_ELSEWHERE}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _BrokeOffError(str(error) or type(error).__name__) from error
    except (ValueError, UnicodeError) as error:
        raise DataError(f"is no address ({error})", where=url, hint=_ELSEWHERE) from error


def _continues(answer: http.client.HTTPResponse, have: int) -> bool:
    """Whether the server sends the rest from byte ``have`` on."""
    if answer.status != 206:
        return False
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != have:
        raise _BrokeOffError("the server sends another part than the one asked for")
    return True


def _save(
    answer: http.client.HTTPResponse,
    part: Path,
    have: int,
    size: int,
    progress: Callable[[int], None],
    url: str,
) -> None:
    with writing(part):
        file = part.open("ab" if have else "wb")
    with file:
        while block := answer.read(_BLOCK):
            have += len(block)
            if have > size:
                raise DataError(
                    f"sends more than the {size:,} bytes of the archive", where=url, hint=_ELSEWHERE
                )
            with writing(part):
                file.write(block)
            progress(have)
    if have < size:
        raise _BrokeOffError("the connection was closed")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A context in which a failed write becomes an `OutputError` about ``path``."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"can't be written ({error.strerror or error})", where=path, hint="give another folder"
        ) from error
