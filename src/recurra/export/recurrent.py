"""Recurrent layers as ONNX operators LSTM, GRU and RNN; other cells as a Scan of their own step.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``D`` directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recurra.export.graph import Graph, Value, as_array
from recurra.export.scan import scan
from recurra.layers import Recurrent

__all__ = ["State", "recurrent"]

State = list[Value]
_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}
# The blocks of ours, in the order of ONNX's: LSTM i, o, f, c of i, f, g, o; GRU z, r, h of r, z, n.
_BLOCKS = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "simple_rnn": (0,)}
_FUNCTIONS = {"tanh": "Tanh", "relu": "Relu"}


def recurrent(
    graph: Graph, stack: Recurrent, x: Value, lengths: Value, initial: Sequence[State] | None = None
) -> tuple[Value, list[State]]:
    """Adds a stack of recurrent layers.

    Args:
        graph: receives the nodes.
        stack: the layers.
        x: inputs ``(T, B, E)``, float32.
        lengths: ``(B,)`` int32, the true steps of each row, from 0 to ``T``.
        initial: the parts ``(B, H)`` of the initial state of each layer and direction; None for zeros.

    Returns:
        The outputs ``(T, B, F)``, zero at padded steps, and the last states as in ``initial``.

    Raises:
        ConfigError: the step of a cell has an operation that can't be exported.
    """
    states: list[State] = []
    for depth in range(stack.layers):
        first = len(states)
        given = None if initial is None else initial[first : first + stack.directions]
        if stack.cell in _OPERATORS and stack.activations[depth] in _FUNCTIONS:
            outputs, found = _operator(graph, stack, depth, x, lengths, given)
        else:
            outputs, found = scan(graph, stack, depth, x, lengths, given)
        x = merged(graph, stack, outputs)
        states += found
    return x, states


def last(graph: Graph, stack: Recurrent, states: Sequence[State]) -> Value:
    """Adds the last state of the last layer, both directions merged, ``(B, F)``."""
    return merged(graph, stack, [state[0] for state in states[-stack.directions :]])


def merged(graph: Graph, stack: Recurrent, outputs: Sequence[Value]) -> Value:
    """Adds the outputs ``(..., F)`` of the directions, combined as the settings say."""
    if len(outputs) == 1:
        return outputs[0]
    if stack.merge_mode == "concat":
        return graph.op("Concat", *outputs, axis=-1)
    if stack.merge_mode == "mul":
        return graph.op("Mul", *outputs)
    total = graph.op("Add", *outputs)
    return graph.op("Mul", total, graph.constant(np.float32(0.5))) if stack.merge_mode == "ave" else total


def _operator(
    graph: Graph, stack: Recurrent, depth: int, x: Value, lengths: Value, initial: Sequence[State] | None
) -> tuple[list[Value], list[State]]:
    """Adds one layer as an operator of ONNX; returns the outputs ``(T, B, H)`` of each direction."""
    kind, H = _OPERATORS[stack.cell], stack.units[depth]
    directions = [_weights(stack, suffix, H) for suffix in stack.suffixes(depth)]
    W, R, bias = (graph.constant(np.stack(arrays)) for arrays in zip(*directions, strict=True))
    parts = len(stack.spec.state)
    axis = graph.integers(0)
    start = [""] * parts
    if initial is not None:  # (D, B, H)
        start = [
            graph.op("Concat", *(graph.op("Unsqueeze", state[part], axis) for state in initial), axis=0)
            for part in range(parts)
        ]
    function = _FUNCTIONS[str(stack.activations[depth])]
    gates = {"LSTM": ["Sigmoid", function, function], "GRU": ["Sigmoid", function], "RNN": [function]}[kind]
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    outputs, *finals = graph.ops(
        kind, x, W, R, bias, lengths, *start,
        outputs=1 + parts, hidden_size=H, activations=gates * stack.directions,
        direction="bidirectional" if stack.bidirectional else "forward", **options,
    )  # fmt: skip
    each = _split(graph, outputs, stack.directions, 1)  # of (T, D, B, H)
    lasts = [_split(graph, final, stack.directions, 0) for final in finals]
    return each, [[part[direction] for part in lasts] for direction in range(stack.directions)]


def _split(graph: Graph, value: Value, directions: int, axis: int) -> list[Value]:
    """Adds the slices of the axis of directions, without it."""
    return [
        graph.op("Gather", value, graph.constant(np.int64(direction)), axis=axis)
        for direction in range(directions)
    ]


def _weights(stack: Recurrent, suffix: str, H: int) -> tuple[NDArray[np.float32], ...]:
    """Returns ``W`` (G*H, E), ``R`` (G*H, H) and the two biases (2*G*H,) in ONNX's order of the gates."""
    weights = {name: as_array(value) for name, value in stack.weights(suffix).items()}
    blocks = _BLOCKS[stack.cell]

    def ordered(name: str) -> NDArray[np.float32]:
        cut = weights[name].reshape(len(blocks), H, *weights[name].shape[1:])
        return np.concatenate([cut[block] for block in blocks]).astype(np.float32)

    own = ordered("bias_ih")
    other = ordered("bias_hh") if "bias_hh" in weights else np.zeros_like(own)
    return ordered("weight_ih"), ordered("weight_hh"), np.concatenate([own, other])
