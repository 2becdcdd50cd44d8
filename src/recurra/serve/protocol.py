"""The Open Inference Protocol, version 2: metadata, tensors as JSON and as binary data.

https://github.com/kserve/open-inference-protocol and the binary tensor data extension of
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recurra.serve.answering import Answered
from recurra.serve.bodies import table_of, texts_of
from recurra.serve.limits import Limits
from recurra.serve.models import Model
from recurra.serve.refusals import AskError, parse_json
from recurra.tasks.answers import MOST_CLASSES

__all__ = ["HEADER_LENGTH", "Call", "model_metadata", "parse_call", "written_outputs"]

HEADER_LENGTH = "Inference-Header-Content-Length"
_DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_TEXT = "text"
_RESERVED = {"binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
_MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Call:
    """What a request of the protocol asks.

    Attributes:
        id: the identifier that the answer repeats; None without one.
        texts: the texts; empty for a forecast.
        table: the columns of a series, or CSV text; None for other tasks.
        parameters: the options of the task.
        outputs: whether each output that is asked for is to be binary; empty for all outputs.
        binary: whether outputs are binary that do not say it themselves.
    """

    id: str | None
    texts: list[str]
    table: str | dict[str, list[Any]] | None
    parameters: dict[str, Any]
    outputs: dict[str, bool] = field(default_factory=dict)
    binary: bool = False


def parse_call(raw: bytes, header_length: str | None, model: Model, limits: Limits) -> Call:
    """Returns what the body of ``/infer`` asks.

    Args:
        raw: the body: JSON, followed by binary data if there is a ``header_length``.
        header_length: the value of the header with the length of the JSON; None without it.
        model: the model that is asked.
        limits: those of the server.

    Raises:
        AskError: the body is not of the protocol, or not for the model.
    """
    head, rest = _split(raw, header_length)
    value = _object(parse_json(head), "the body")
    tensors = _tensors(value.get("inputs"), memoryview(rest))
    parameters = dict(_object(value.get("parameters") or {}, "parameters"))
    binary = parameters.get("binary_data_output", False)
    for name in _RESERVED & parameters.keys():
        if name != "binary_data_output" and parameters[name] not in (0, False, "", None):
            raise AskError(400, f"parameter {name} is not supported")
        del parameters[name]
    outputs = {}
    for output in _list(value.get("outputs") or [], "outputs"):
        name, own = _name(output, "an output"), _object(output.get("parameters") or {}, "parameters")
        if own.get("classification"):
            raise AskError(400, "the classification extension is not supported; ask for probabilities")
        outputs[name] = own.get("binary_data", binary) is True
    known = [output["name"] for output in _outputs(model)]
    for name in outputs:
        if name not in known and name != _GENERATED:
            raise AskError(400, f"the model has no output {name!r}; it has {', '.join(known)}")
    given = value.get("id")
    if not isinstance(given, str | None):
        raise AskError(400, "id is not a text")
    texts, table = _asked(tensors, model, limits)
    return Call(given, texts, table, parameters, outputs, binary is True)


def _asked(
    tensors: Mapping[str, list[Any]], model: Model, limits: Limits
) -> tuple[list[str], str | dict[str, list[Any]] | None]:
    if model.bundle.task == "forecast":
        if list(tensors) == ["table"]:
            return [], table_of(tensors["table"])
        return [], table_of({name: [_known(cell) for cell in cells] for name, cells in tensors.items()})
    if list(tensors) != [_TEXT]:
        raise AskError(400, f"the inputs are {', '.join(tensors) or 'missing'}; the model reads {_TEXT!r}")
    return texts_of(tensors[_TEXT], limits), None


def _known(cell: Any) -> Any:
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _split(raw: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return raw, b""
    if not (header_length.isascii() and header_length.isdigit() and int(header_length[:18]) <= len(raw)):
        raise AskError(400, f"{HEADER_LENGTH} is {header_length!r}, and the body has {len(raw):,} bytes")
    length = int(header_length)
    return raw[:length], raw[length:]


def _tensors(inputs: Any, rest: memoryview) -> dict[str, list[Any]]:
    """Returns the values of the input tensors, row by row, by name."""
    tensors: dict[str, list[Any]] = {}
    for tensor in _list(inputs, "inputs"):
        name = _name(tensor, "an input")
        if name in tensors:
            raise AskError(400, f"there are two inputs {name!r}")
        kind, count = tensor.get("datatype"), _count(tensor.get("shape"), name)
        if not isinstance(kind, str) or (kind != "BYTES" and kind not in _DTYPES):
            raise AskError(400, f"input {name!r} has the datatype {kind!r}, which is not of the protocol")
        size = _object(tensor.get("parameters") or {}, "parameters").get("binary_data_size")
        if size is None:
            values = _flat(tensor.get("data"), name)
        else:
            if type(size) is not int or not 0 <= size <= len(rest):
                raise AskError(
                    400,
                    f"input {name!r} has a binary_data_size of {size!r}, and {len(rest):,} bytes are left",
                )
            values, rest = _unpacked(rest[:size], kind, name), rest[size:]
        if len(values) != count:
            raise AskError(
                400, f"input {name!r} has {len(values):,} elements, and its shape is for {count:,}"
            )
        tensors[name] = values
    if len(rest):
        raise AskError(400, f"{len(rest):,} bytes after the last input belong to none")
    return tensors


def _count(shape: Any, name: str) -> int:
    sound = isinstance(shape, list) and 0 < len(shape) <= _MOST_DIMENSIONS
    if not sound or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise AskError(400, f"input {name!r} has no shape such as [1]")
    return math.prod(shape)


def _flat(data: Any, name: str) -> list[Any]:
    if not isinstance(data, list):
        raise AskError(400, f"input {name!r} has no data")
    for _ in range(_MOST_DIMENSIONS):
        if not any(isinstance(part, list) for part in data):
            break
        data = [each for part in data for each in (part if isinstance(part, list) else [part])]
    return list(data)


def _unpacked(raw: memoryview, kind: str, name: str) -> list[Any]:
    """Returns the elements of binary data: numbers, or texts with their lengths before them."""
    if kind != "BYTES":
        dtype = np.dtype(_DTYPES[kind])
        if len(raw) % dtype.itemsize:
            raise AskError(400, f"input {name!r} has {len(raw):,} bytes, not a multiple of {dtype.itemsize}")
        values: list[Any] = np.frombuffer(raw, dtype).tolist()
        return values
    texts, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        end = at + 4 + size
        if at + 4 > len(raw) or end > len(raw):
            raise AskError(400, f"input {name!r} breaks off within an element")
        try:
            texts.append(bytes(raw[at + 4 : end]).decode("utf-8"))
        except UnicodeDecodeError:
            raise AskError(400, f"element {len(texts)} of input {name!r} is not UTF-8") from None
        at = end
    return texts


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AskError(400, f"{what} is not an object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise AskError(400, f"{what} is not a list")
    return value


def _name(tensor: Any, what: str) -> str:
    name = _object(tensor, what).get("name")
    if not isinstance(name, str):
        raise AskError(400, f"{what} has no name")
    return name


# Outputs. Each is a function of the records of the texts.

_GENERATED = "generated_text"


def model_metadata(model: Model, versions: Sequence[str]) -> dict[str, Any]:
    """Returns the metadata of a model: its inputs and outputs, -1 for the number of texts."""
    task = model.bundle.task
    inputs = [{"name": _TEXT, "datatype": "BYTES", "shape": [-1]}]
    if task == "forecast":
        inputs = [{"name": "table", "datatype": "BYTES", "shape": [1]}]
    parameters: dict[str, Any] = {"task": task}
    labels = getattr(model.bundle.assets, "labels", None)
    if labels is not None:
        parameters["classes"] = list(labels.names)
    return {
        "name": model.name,
        "versions": list(versions),
        "platform": "recurra",
        "inputs": inputs,
        "outputs": [
            {key: output[key] for key in ("name", "datatype", "shape")} for output in _outputs(model)
        ],
        "parameters": parameters,
    }


def _outputs(model: Model) -> list[dict[str, Any]]:
    """Returns name, datatype, shape and source of each output of a model."""
    task = model.bundle.task
    if task == "classify":
        labels = model.bundle.assets.labels
        found = [_output("label", "BYTES", lambda of_text: _joined(of_text[0]["label"]))]
        if labels.label_kind != "multilabel":
            found.append(_output("confidence", "FP64", lambda of_text: of_text[0]["confidence"]))
        names = labels.names
        if len(names) <= MOST_CLASSES:

            def row(of_text: list[dict[str, Any]]) -> list[float]:
                return [of_text[0]["probabilities"][name] for name in names]

            found.append(_output("probabilities", "FP64", row, len(names)))
        return [*found, _answer()]
    if task == "tag":
        return [_output("tags", "BYTES", lambda of_text: " ".join(one["tag"] for one in of_text)), _answer()]
    if task == "forecast":
        target = model.bundle.assets.layout.target.name
        every = _output("forecast", "FP64", lambda of_row: [_value(one[target]) for one in of_row])
        return [every, _answer()]
    numbers = ("log2_probability", "perplexity")
    return [*(_output(name, "FP64", _first(name)) for name in numbers), _answer()]


def _first(name: str) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda of_text: of_text[0][name]


def _value(value: float | None) -> float:
    return math.nan if value is None else value


def _joined(label: str | list[str]) -> str:
    """A label as in a CSV: several are joined."""
    return label if isinstance(label, str) else "|".join(label)


def _output(name: str, datatype: str, of: Callable[[Any], Any], *more: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *more], "of": of}


def _answer() -> dict[str, Any]:
    """The output that every model has: the records of a text as the JSON lines of ``recurra predict``."""

    def lines(of_text: list[dict[str, Any]]) -> str:
        return "\n".join(json.dumps(record, ensure_ascii=False) for record in of_text)

    return _output("answer", "BYTES", lines)


def written_outputs(model: Model, call: Call, answered: Answered) -> tuple[bytes, int | None]:
    """Returns the body of the answer, and the length of its JSON if binary data follow it.

    Raises:
        AskError: an output is asked for that answers with these parameters do not have.
    """
    available = {output["name"]: output for output in _available(model, call, answered)}
    wanted = call.outputs or dict.fromkeys(available, call.binary)
    described, parts = [], []
    for name, binary in wanted.items():
        if name not in available:
            raise AskError(400, f"with these parameters there is no output {name!r}")
        output = available[name]
        values = [output["of"](of_text) for of_text in answered.records]
        if model.bundle.task == "forecast" and name == "forecast":
            values = values[0]
        shape = [len(values), *output["shape"][1:]]
        entry: dict[str, Any] = {"name": name, "datatype": output["datatype"], "shape": shape}
        flat = [cell for value in values for cell in value] if len(shape) > 1 else values
        if binary:
            part = _packed(flat, output["datatype"])
            entry["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
        else:
            entry["data"] = [_plain(cell) for cell in flat]
        described.append(entry)
    value = {"model_name": model.name, "model_version": model.version, "outputs": described}
    if call.id is not None:
        value["id"] = call.id
    head = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return b"".join([head, *parts]), len(head) if parts else None


def _available(model: Model, call: Call, answered: Answered) -> Iterator[dict[str, Any]]:
    """The outputs that the records have: with other options, they are others."""
    if model.bundle.task != "lm":
        yield from _outputs(model)
        return
    first = next((record for of_text in answered.records for record in of_text), {})
    if "text" in first:
        yield _output(_GENERATED, "BYTES", _first("text"))
    for output in _outputs(model):
        if output["name"] == "answer" or (output["name"] in first and "tokens" in first):
            yield output


def _plain(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _packed(values: Sequence[Any], datatype: str) -> bytes:
    if datatype != "BYTES":
        return np.array(values, np.dtype(_DTYPES[datatype])).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
