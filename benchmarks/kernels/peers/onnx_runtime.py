"""ONNX Runtime: one LSTM, GRU or RNN node, forward alone."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.kernels.peers.terms import Arrays, Prepared, Task
from benchmarks.kernels.weights import reordered

# Ours i, f, g, o and r, z, n; ONNX's i, o, f, c and z, r, h.
_NODES = {"simple_rnn": ("RNN", (0,)), "lstm": ("LSTM", (0, 3, 1, 2)), "gru": ("GRU", (1, 0, 2))}


def model(task: Task) -> bytes:
    """Time first, ``X (T, B, E)`` to ``Y (T, 1, B, H)``: no transposition is timed."""
    case = task.case
    operator, order = _NODES[case.cell]
    bias_ih = task.weights["bias_ih_l0"]
    bias_hh = task.weights.get("bias_hh_l0", np.zeros_like(bias_ih))
    constants = {
        "W": reordered(task.weights["weight_ih_l0"], order),
        "R": reordered(task.weights["weight_hh_l0"], order),
        "B": np.concatenate([reordered(bias_ih, order), reordered(bias_hh, order)]),
    }
    options = {"linear_before_reset": 1} if case.cell == "gru" else {}
    graph = helper.make_graph(
        [helper.make_node(operator, ["X", "W", "R", "B"], ["Y"], hidden_size=case.H, **options)],
        "layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [case.T, case.B, case.E])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [case.T, 1, case.B, case.H])],
        [numpy_helper.from_array(array[None], name) for name, array in constants.items()],
    )
    # the operators as of 2021, so that any ONNX Runtime reads them
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return made.SerializeToString()


def prepare(task: Task) -> Prepared:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.inter_op_num_threads = 1
    # its threads may spin while it runs, but not while another is being timed
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(model(task), options, providers=["CPUExecutionProvider"])
    given = {"X": np.ascontiguousarray(task.x.swapaxes(0, 1))}

    def named(result: list[np.ndarray]) -> Arrays:
        return {"outputs": result[0][:, 0].swapaxes(0, 1)}

    return Prepared(lambda: session.run(["Y"], given), named)
