"""Cells without an operator in ONNX: their own step, traced, in a Scan over time.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional

from recurra.cells.spec import Ops, Weights, activation_function
from recurra.export.graph import Graph, Value, as_array
from recurra.export.traced import BATCH, traced
from recurra.layers import Recurrent

__all__ = ["cell_step", "scan"]


def cell_step(stack: Recurrent, depth: int, suffix: str, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
    """Returns the new state of one step of a layer and direction, in plain PyTorch.

    Args:
        stack: the layers.
        depth: the layer.
        suffix: of the direction's weights.
        x: ``(B, E)``.
        rest: the parts of the state ``(B, H)``, then the weights.
    """
    parts = len(stack.spec.state)
    state, weights = rest[:parts], Weights(zip(stack.weights(suffix), rest[parts:], strict=True))
    ops = Ops(activation_function(stack.activations[depth]), _product)
    inputs, prepared = stack.spec.prepare(x[None], weights, ops)
    return stack.spec.step(tuple(each[0] for each in inputs), state, prepared, ops)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.linear(x, weight, bias)


def scan(
    graph: Graph, stack: Recurrent, depth: int, x: Value, lengths: Value,
    initial: Sequence[Sequence[Value]] | None,
) -> tuple[list[Value], list[list[Value]]]:  # fmt: skip
    """Adds one layer as a loop; arguments and results are those of `recurra.export.recurrent.recurrent`.

    Raises:
        ConfigError: the step has an operation that can't be exported.
    """
    H = stack.units[depth]
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    T, B = graph.size(x, 0), graph.size(x, 1)
    steps = graph.op("Range", zero, graph.op("Squeeze", T), one)
    alive = graph.op(
        "Less", graph.op("Unsqueeze", steps, graph.integers(1)), graph.cast(lengths, np.int64)
    )  # (T, B)
    empty = graph.op(
        "Expand", graph.constant(np.float32(0)), graph.op("Concat", B, graph.integers(H), axis=0)
    )
    outputs, lasts = [], []
    for direction, suffix in enumerate(stack.suffixes(depth)):
        parts = len(stack.spec.state)
        start = [empty] * parts if initial is None else list(initial[direction])
        body = _body(graph, stack, depth, suffix)
        *final, found = graph.ops(
            "Scan", *start, x, alive, outputs=parts + 1, body=body, num_scan_inputs=2,
            scan_input_directions=[direction] * 2, scan_output_directions=[direction],
        )  # fmt: skip
        outputs.append(found)
        lasts.append(final)
    return outputs, lasts


def _body(outer: Graph, stack: Recurrent, depth: int, suffix: str) -> object:
    """Returns the graph of one step: at padding the state is kept and the output is zero."""
    body, E, H = Graph(outer), stack.input_size_of(depth), stack.units[depth]
    names = [body.name("state") for _ in stack.spec.state]
    state = [body.input(name, np.float32, ["b", H]) for name in names]
    x = body.input(body.name("x"), np.float32, ["b", E])
    alive = body.input(body.name("alive"), np.bool_, ["b"])
    weights = list(stack.weights(suffix).values())
    shapes = [(BATCH, E), *((BATCH, H) for _ in state), *(weight.shape for weight in weights)]
    found = traced(
        body,
        lambda *values: cell_step(stack, depth, suffix, *values),
        shapes,
        [x, *state, *(body.constant(as_array(weight)) for weight in weights)],
        f"cell {stack.cell}",
    )
    seen = body.op("Unsqueeze", alive, body.integers(1))
    for old, new in zip(state, found, strict=True):
        kept = body.op("Where", seen, new, old)
        body.output(body.name("kept"), kept, np.float32, ["b", H])
    shown = body.op("Where", seen, found[0], body.constant(np.float32(0)))
    body.output(body.name("shown"), shown, np.float32, ["b", H])
    return body.proto(body.name("step"))
