"""ONNX Runtime: one LSTM, GRU or RNN node, after a Gather for tokens; forward alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.kernels.peers.terms import Arrays, Prepared, Task
from benchmarks.kernels.weights import reordered

# Ours i, f, g, o and r, z, n; ONNX's i, o, f, c and z, r, h.
_NODES = {"simple_rnn": ("RNN", (0,)), "lstm": ("LSTM", (0, 3, 1, 2)), "gru": ("GRU", (1, 0, 2))}


def model(task: Task) -> bytes:
    """Time first, ``X (T, B, E)`` or words ``(T, B)`` to ``Y (T, D, B, H)``: no transposition is timed."""
    case = task.case
    operator, order = _NODES[case.cell]
    directions = [_constants(task.weights, suffix, order) for suffix in case.suffixes]
    constants = {name: np.stack([found[name] for found in directions]) for name in directions[0]}
    given = helper.make_tensor_value_info("X", TensorProto.FLOAT, [case.T, case.B, case.E])
    nodes = []
    if case.has_tokens:
        given = helper.make_tensor_value_info("words", TensorProto.INT64, [case.T, case.B])
        constants["table"] = task.table
        nodes.append(helper.make_node("Gather", ["table", "words"], ["X"]))
    options: dict[str, Any] = {"linear_before_reset": 1} if case.cell == "gru" else {}
    if case.directions == 2:
        options["direction"] = "bidirectional"
    nodes.append(helper.make_node(operator, ["X", "W", "R", "B"], ["Y"], hidden_size=case.H, **options))
    graph = helper.make_graph(
        nodes,
        "layer",
        [given],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [case.T, case.directions, case.B, case.H])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    # the operators as of 2021, so that any ONNX Runtime reads them
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return made.SerializeToString()


def _constants(weights: Arrays, suffix: str, order: tuple[int, ...]) -> Arrays:
    """The weights of one direction."""
    bias_ih = weights[f"bias_ih_{suffix}"]
    bias_hh = weights.get(f"bias_hh_{suffix}", np.zeros_like(bias_ih))
    return {
        "W": reordered(weights[f"weight_ih_{suffix}"], order),
        "R": reordered(weights[f"weight_hh_{suffix}"], order),
        "B": np.concatenate([reordered(bias_ih, order), reordered(bias_hh, order)]),
    }


def prepare(task: Task) -> Prepared:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.inter_op_num_threads = 1
    # its threads may spin while it runs, but not while another is being timed
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(model(task), options, providers=["CPUExecutionProvider"])
    name, array = ("words", task.index) if task.case.has_tokens else ("X", task.x)
    given = {name: np.ascontiguousarray(array.swapaxes(0, 1))}

    def named(result: list[np.ndarray]) -> Arrays:
        (outputs,) = result  # (T, D, B, H)
        return {"outputs": outputs.transpose(2, 0, 1, 3).reshape(task.case.B, task.case.T, -1)}

    return Prepared(lambda: session.run(["Y"], given), named)
