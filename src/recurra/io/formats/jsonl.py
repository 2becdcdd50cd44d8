"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from recurra.errors import DataError
from recurra.io.files import FileLines, Lines
from recurra.io.formats.table import MISSING, Refuse
from recurra.io.source import Source

__all__ = ["cells", "objects"]


def objects(lines: Lines) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    """Row numbers and objects, blank lines left out; a `DataError` for a broken line."""
    for line in lines:
        fault = lines.take_fault()
        if line.isspace() and not fault:
            continue
        yield lines.row, fault or _object(line, lines)
        lines.row += 1


def _object(line: str, lines: Lines) -> dict[str, Any] | DataError:
    hint = "fix the row, or pass --skip-bad-rows"
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg} at character {error.colno}"
    except (ValueError, RecursionError) as error:
        what = f"is not JSON that can be read: {error}"
    else:
        if isinstance(found, dict):
            return found
        what = f"is a JSON {type(found).__name__}, not an object"
        if isinstance(found, list) and lines.row == 1:
            hint = "write one object a line, for example with jq -c '.[]'"
    return DataError(what, where=lines.where, row=lines.row, hint=hint)


def cells(
    source: Source, columns: Sequence[str], refuse: Refuse, lines: Lines | None = None
) -> Iterator[tuple[int, list[Any]]]:
    """Row numbers and the values of ``columns``, `MISSING` where an object lacks one."""
    if lines is None:
        lines = FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    for number, found in objects(lines):
        if isinstance(found, DataError):
            refuse(number, found)
        else:
            yield number, [found.get(name, MISSING) for name in columns]
