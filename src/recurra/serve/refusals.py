"""Requests that are refused, and the strict reading of their JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from recurra.errors import RecurraError
from recurra.printable import printable, shortened

__all__ = ["AskError", "parse_json", "refusal_of"]

_LONGEST = 300  # characters of a reason, which may repeat what the request holds
_DEEPEST = 50  # lists and objects within each other


class AskError(Exception):
    """A request that is not answered.

    Args:
        status: the HTTP status, from 400 on.
        line: the reason, in one line; it is cut, and control characters are escaped.
        headers: further headers of the response.
    """

    def __init__(self, status: int, line: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.line = printable(" ".join(shortened(line, _LONGEST).split()))
        self.headers = dict(headers or {})
        super().__init__(self.line)


def refusal_of(error: RecurraError) -> AskError:
    """Returns the refusal for an error of a task, without the path of a file."""
    place = "" if error.row is None else f"row {error.row:,}: "
    return AskError(400, f"{place}{error.what}{f'; {error.hint}' if error.hint else ''}")


def parse_json(raw: bytes) -> Any:
    """Returns the value of JSON in UTF-8.

    Raises:
        AskError: it is not JSON, is nested too deeply, or has NaN, an infinite number or half of a surrogate
            pair, which JSON and UTF-8 do not have.

    Example:
        >>> parse_json(b'{"inputs": ["good"]}')
        {'inputs': ['good']}
        >>> parse_json(b'["\\\\ud800"]')
        Traceback (most recent call last):
        ...
        recurra.serve.refusals.AskError: the JSON has half of a surrogate pair, which is no character
    """
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, parse_constant=_no_number, parse_float=_number)
        _check_depth(value)
        if "\\u" in text:
            _check_characters(value)
    except UnicodeDecodeError as error:
        raise AskError(400, f"the body is not UTF-8: byte {error.start + 1:,}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise AskError(400, f"the body is not JSON: {error.msg.lower()} ({where})") from None
    except RecursionError:
        raise AskError(400, "the JSON is nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise AskError(400, f"the JSON can't be read: {error}") from None
    return value


def _check_depth(value: Any) -> None:
    """Raises AskError for JSON that is nested too deeply; Python's own limit may be set to any number."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(_DEEPEST):
        parts = (each.values() if isinstance(each, dict) else each for each in level)
        level = [part for inner in parts for part in inner if isinstance(part, list | dict)]
        if not level:
            return
    raise AskError(400, "the JSON is nested too deeply")


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise AskError(400, "the JSON has half of a surrogate pair, which is no character") from None


def _no_number(name: str) -> NoReturn:
    raise AskError(400, f"the JSON has {name}, which is no JSON number")


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise AskError(400, f"the number {digits} is too large")
    return value
