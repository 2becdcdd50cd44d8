"""ONNX files: written, run by ONNX Runtime, and with weights of 8 bits."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

from recurra.errors import ConfigError, OutputError
from recurra.export.graph import TABLE
from recurra.export.plan import Arrays, Plan, Run

__all__ = ["session", "write_int8", "write_onnx"]

_ERRORS_ONLY = 3


def write_onnx(plan: Plan, signature: Mapping[str, Any], path: Path) -> Run:
    """Writes a model, with its signature inside as the property ``recurra``; returns what runs the file.

    Raises:
        OutputError: it is too large, or ONNX Runtime can't load it.
    """
    metadata = {"recurra": json.dumps(signature, ensure_ascii=False)}
    path.write_bytes(plan.graph().model(metadata).SerializeToString())
    return session(path)


def write_int8(source: Path, path: Path) -> Run:
    """Writes a model whose matrix products have weights of 8 bits; returns what runs the file.

    Raises:
        ConfigError: it has no such products, as n-grams alone.
        OutputError: ONNX Runtime can't quantize it, or can't load the result.
    """
    nodes = _quantized(onnx.load(source))
    if not nodes:  # the library takes an empty list for all nodes
        raise ConfigError("the model has no network whose weights 8 bits could hold", hint="leave out --int8")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # advice to preprocess, which needs static shapes
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            draft = Path(folder) / path.name
            quantize_dynamic(source, draft, weight_type=QuantType.QInt8, nodes_to_quantize=nodes)
            draft.replace(path)
    except Exception as error:  # the library raises nothing narrower
        raise OutputError(f"ONNX Runtime can't quantize the model ({error})") from error
    finally:
        root.setLevel(level)
    return session(path)


def _quantized(model: onnx.ModelProto) -> list[str]:
    """Returns the nodes that get weights of 8 bits: products with weights, LSTM, and tables of vectors.

    The weights of n-grams stay as they are: a text has few of them, and they are most of its answer.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "LSTM"
        or (node.op_type == "MatMul" and node.input[1] in constants)
        or node.name.startswith(TABLE)
    ]


def session(path: Path) -> Run:
    """Returns a function that runs a model in ONNX Runtime on the CPU.

    Raises:
        OutputError: ONNX Runtime can't load it.
    """
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        loaded: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises nothing narrower
        raise OutputError(f"ONNX Runtime can't load the model ({error})") from error
    names = [output.name for output in loaded.get_outputs()]

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(names, loaded.run(names, inputs), strict=True))

    return run
