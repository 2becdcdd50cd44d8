"""The body of a request: read within limits of size and time, decompressed, and taken apart."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request

from recurra.serve.limits import Limits
from recurra.serve.refusals import AskError, parse_json
from recurra.tasks.registry import task_info

__all__ = ["Question", "options_of", "parse_question", "read_body"]

_WINDOWS = {"gzip": 31, "deflate": 15}  # of zlib: with the header of gzip, and with its own
_KINDS: dict[str, type | tuple[type, ...]] = {
    "next": int,
    "generate": int,
    "top_k": int,
    "seed": int,
    "temperature": (int, float),
    "abstain": (int, float),
    "tokens": bool,
    "all": bool,
    "all_classes": bool,
    "probabilities": bool,
}
_KIND_NAMES = {int: "a whole number", bool: "true or false", (int, float): "a number"}


async def read_body(request: Request, limits: Limits) -> bytes:
    """Returns the body of a request, decompressed.

    Raises:
        AskError: it is too large (413), comes too slowly (408), breaks off or is not what its encoding says.
    """
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:18]) > limits.body:
        raise _too_large(limits)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", *_WINDOWS):
        raise AskError(415, f"content-encoding {encoding!r} is not read; use gzip or deflate")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.timeout):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.body:
                    raise _too_large(limits)
                chunks.append(chunk)
    except TimeoutError:
        raise AskError(408, f"the body did not come within {limits.timeout:g} s") from None
    except ClientDisconnect:
        raise AskError(400, "the body breaks off") from None
    raw = b"".join(chunks)
    return raw if encoding == "identity" else _decompressed(raw, encoding, limits)


def _decompressed(raw: bytes, encoding: str, limits: Limits) -> bytes:
    """Returns decompressed bytes; a small body that becomes a huge one is refused before it does."""
    stream = zlib.decompressobj(_WINDOWS[encoding])
    try:
        value = stream.decompress(raw, limits.body + 1)
    except zlib.error:
        raise AskError(400, f"the body is not {encoding}") from None
    if len(value) > limits.body:
        raise _too_large(limits)
    if not stream.eof:
        raise AskError(400, "the body breaks off")
    return value


def _too_large(limits: Limits) -> AskError:
    return AskError(413, f"the body has more than {limits.body:,} bytes")


@dataclass(frozen=True)
class Question:
    """What a request asks.

    Attributes:
        texts: the texts; empty for a forecast.
        table: the rows of a series, for a forecast: CSV text, or columns by name.
        single: whether one text was given, not a list.
        parameters: further values by name.
        stream: whether the answer is to come in parts.
    """

    texts: list[str]
    table: str | dict[str, list[Any]] | None = None
    single: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    stream: bool = False


def parse_question(raw: bytes, task: str, limits: Limits) -> Question:
    """Returns what the body of ``POST /predict`` asks a model of a task.

    Raises:
        AskError: the body is not JSON of that form (400), or has too many texts (413).
    """
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise AskError(400, f"the body is {_kind(value)}; give an object such as {_example(task)}")
    unknown = sorted(value.keys() - {"inputs", "parameters", "options", "stream"})
    if unknown:
        raise AskError(400, f"the body has no field {unknown[0]!r}; it has inputs and parameters")
    if "inputs" not in value:
        raise AskError(400, f"inputs are missing; give {_example(task)}")
    parameters, stream = value.get("parameters"), value.get("stream", False)
    if not isinstance(parameters, dict | None):
        raise AskError(400, f"parameters is {_kind(parameters)}, not an object")
    if not isinstance(stream, bool):
        raise AskError(400, f"stream is {_kind(stream)}, not true or false")
    chosen = {name: given for name, given in (parameters or {}).items() if given is not None}
    inputs = value["inputs"]
    if task == "forecast":
        return Question([], table_of(inputs), True, chosen, stream)
    single = isinstance(inputs, str)
    return Question(texts_of([inputs] if single else inputs, limits), None, single, chosen, stream)


def texts_of(inputs: Any, limits: Limits) -> list[str]:
    """Returns a list of texts.

    Raises:
        AskError: it is not one, is empty (400), or has too many (413).
    """
    if not isinstance(inputs, list):
        raise AskError(400, f"inputs is {_kind(inputs)}; give a text or a list of texts")
    if not inputs:
        raise AskError(400, "inputs is empty; give at least one text")
    if len(inputs) > limits.texts:
        raise AskError(413, f"inputs has {len(inputs):,} texts; give {limits.texts:,} at most")
    for place, text in enumerate(inputs):
        if not isinstance(text, str):
            raise AskError(400, f"inputs[{place}] is {_kind(text)}, not a text")
    return inputs


def table_of(inputs: Any) -> str | dict[str, list[Any]]:
    """Returns the rows of a series: CSV text, or lists of numbers, texts and nulls by column.

    Raises:
        AskError: it is neither.
    """
    if isinstance(inputs, list) and len(inputs) == 1:
        inputs = inputs[0]
    if isinstance(inputs, str):
        return inputs
    if not isinstance(inputs, dict) or not inputs:
        raise AskError(400, f"inputs is {_kind(inputs)}; give CSV text, or an object with a list by column")
    columns: dict[str, list[Any]] = {}
    for name, cells in inputs.items():
        if not isinstance(cells, list):
            raise AskError(400, f"inputs[{name!r}] is {_kind(cells)}, not a list of cells")
        for place, cell in enumerate(cells):
            if isinstance(cell, list | dict):
                raise AskError(400, f"inputs[{name!r}][{place}] is {_kind(cell)}, not a number or a text")
        columns[name] = [_cell(cell) for cell in cells]
        if len({isinstance(cell, str) for cell in columns[name] if cell is not None}) > 1:
            columns[name] = [None if cell is None else str(cell) for cell in columns[name]]
    return columns


def _cell(cell: Any) -> Any:
    """A cell of a column; whole numbers as Python's floats, of which Arrow takes every size."""
    if isinstance(cell, bool) or not isinstance(cell, int):
        return cell
    try:
        return float(cell)
    except OverflowError:
        raise AskError(400, "a number of the table is too large") from None


def options_of(task: str, parameters: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Returns the options of ``recurra predict`` among the parameters of a request.

    Raises:
        AskError: a parameter is unknown, of a wrong type, or beyond a limit.
    """
    known = task_info(task).options
    for name, value in parameters.items():
        if name not in known:
            has = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise AskError(400, f"a model of task {task} has no parameter {name!r}; {has}")
        kind = _KINDS.get(name)
        truth = isinstance(value, bool) and kind is not bool  # which Python counts as a number
        wrong = kind is not None and (not isinstance(value, kind) or truth)
        if wrong or not isinstance(value, str | int | float | bool):
            needed = _KIND_NAMES.get(kind, "a plain value") if kind is not None else "a plain value"
            raise AskError(400, f"parameter {name} is {_kind(value)}, not {needed}")
        if name in ("generate", "next") and isinstance(value, int) and value > limits.generate:
            raise AskError(400, f"parameter {name} is {value:,}; give {limits.generate:,} at most")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise AskError(400, f"parameter {name} is out of range")
    return dict(parameters)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "a boolean", dict: "an object", list: "a list", str: "a text"}
    return kinds.get(type(value), "a number")


def _example(task: str) -> str:
    return '{"inputs": "time,value\\n..."}' if task == "forecast" else '{"inputs": ["a text"]}'
