"""A function of tensors, traced by PyTorch, as ONNX nodes: the step of any cell.

Dimensions: ``B`` batch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from recurra.errors import ConfigError
from recurra.export.graph import Graph, Value, as_array

__all__ = ["BATCH", "traced"]

BATCH = 1_000_003
"""The rows of the tensors that are traced, which take no memory: a prime, so that no other size has it."""
_aten = torch.ops.aten
Arguments = tuple[Any, ...]
Shape = tuple[int, ...]


def traced(
    graph: Graph, function: Callable[..., Sequence[Tensor]], shapes: Sequence[Sequence[int]],
    values: Sequence[Value], what: str,
) -> list[Value]:  # fmt: skip
    """Adds the operations of a function of tensors, and returns the names of its results.

    Args:
        graph: receives the nodes.
        function: takes tensors and returns tensors, by the operations of PyTorch.
        shapes: those of its arguments, which are float32; a batch axis has `BATCH` rows.
        values: the names of the arguments in the graph.
        what: names the function in errors.

    Raises:
        ConfigError: it has an operation or a shape that can't be exported.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            tensors = [torch.empty(tuple(shape), dtype=torch.float32) for shape in shapes]
            module = make_fx(function, decomposition_table=dict(core_aten_decompositions()))(*tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"{what} can't be traced ({reason})", hint="export a model of another cell"
        ) from error
    found: dict[fx.Node, Any] = {}
    names = iter(values)

    def value_of(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return found[argument]
        return [value_of(one) for one in argument] if isinstance(argument, list | tuple) else argument

    for node in module.graph.nodes:
        if node.op == "placeholder":
            found[node] = next(names)
        elif node.op == "get_attr":
            found[node] = graph.constant(as_array(getattr(module, str(node.target))))
        elif node.op == "output":
            return list(value_of(node.args[0]))
        elif node.target is operator.getitem:
            found[node] = found[node.args[0]][node.args[1]]
        else:
            convert = _OPERATIONS.get(node.target)
            if convert is None or {"alpha", "beta"} & node.kwargs.keys():
                raise ConfigError(
                    f"{what} has the operation {node.target}, which can't be exported",
                    hint="write the step with other operations, or export a model of another cell",
                )
            known = [_shape_of(argument) for argument in node.args]
            found[node] = convert(graph, tuple(value_of(argument) for argument in node.args), known)
    raise ConfigError(f"{what} returns nothing")


def _shape_of(argument: Any) -> Shape:
    """Returns the shape of a node's value as it was traced; () for other arguments."""
    value = argument.meta.get("val") if isinstance(argument, fx.Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _number(graph: Graph, value: Any) -> Value:
    """Returns the name of a number or of a value."""
    return value if isinstance(value, str) else graph.constant(np.float32(value))


def _plain(kind: str) -> Callable[[Graph, Arguments, Sequence[Shape]], Value]:
    """An operation of one or two numbers, of the same name in ONNX."""
    return lambda graph, args, shapes: graph.op(kind, *(_number(graph, arg) for arg in args[:2]))


def _view(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> Value:
    x, dims = args[0], list(args[1])
    joined = any(dim and dim != BATCH and dim % BATCH == 0 for dim in dims)
    if joined or (BATCH in dims and BATCH not in shapes[0]):
        raise ConfigError(
            "a step that joins the batch with another axis can't be exported", hint="reshape with -1"
        )
    if BATCH not in dims:
        return graph.reshape(x, *dims)
    axis = shapes[0].index(BATCH)
    parts = [graph.size(x, axis) if dim == BATCH else graph.integers(dim) for dim in dims]
    return graph.op("Reshape", x, graph.op("Concat", *parts, axis=0))


def _slice(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> Value:
    x = args[0]
    defaults: list[Any] = [0, None, None, 1]
    given = [*args[1:], *defaults[len(args) - 1 :]]
    axis, start, end, step = given[0], given[1], given[2], given[3]
    most = np.iinfo(np.int64).max
    bounds = [graph.integers(bound) for bound in (start or 0, most if end is None else end, axis, step)]
    return graph.op("Slice", x, *bounds)


def _split(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> list[Value]:
    x, sizes, axis = [*args, 0][:3]
    return graph.ops("Split", x, graph.integers(*sizes), outputs=len(sizes), axis=axis)


def _pad(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> Value:
    x, amounts = args[0], list(args[1])
    rank, before, after = len(shapes[0]), amounts[0::2], amounts[1::2]  # the last axis first
    missing = [0] * (rank - len(before))
    pads = [*missing, *before[::-1], *missing, *after[::-1]]
    value = args[2] if len(args) > 2 else 0.0
    return graph.op("Pad", x, graph.integers(*pads), graph.constant(np.float32(value)))


def _full(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> Value:
    if BATCH in args[0]:
        raise ConfigError("a step that makes a tensor of the size of the batch can't be exported")
    return graph.constant(np.full(args[0], args[1], np.float32))


def _clamp(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> Value:
    bounds = [*args[1:], None][:2]
    found: Value = args[0]
    for kind, bound in zip(("Max", "Min"), bounds, strict=True):
        found = found if bound is None else graph.op(kind, found, _number(graph, bound))
    return found


def _reduced(kind: str) -> Callable[[Graph, Arguments, Sequence[Shape]], Value]:
    """A sum or mean over axes."""

    def reduced(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> Value:
        keep = int(len(args) > 2 and bool(args[2]))
        return graph.op(kind, args[0], graph.integers(*args[1]), keepdims=keep)

    return reduced


def _log1p(graph: Graph, args: Arguments, shapes: Sequence[Shape]) -> Value:
    return graph.op("Log", graph.op("Add", args[0], graph.constant(np.float32(1))))


_OPERATIONS: dict[Any, Callable[[Graph, Arguments, Sequence[Shape]], Any]] = {
    _aten.abs.default: _plain("Abs"),
    _aten.add.Tensor: _plain("Add"),
    _aten.addmm.default: lambda graph, args, shapes: graph.op(
        "Add", graph.op("MatMul", args[1], args[2]), args[0]
    ),
    _aten.cat.default: lambda graph, args, shapes: graph.op(
        "Concat", *args[0], axis=args[1] if len(args) > 1 else 0
    ),
    _aten.clamp.default: _clamp,
    _aten.cos.default: _plain("Cos"),
    _aten.clone.default: lambda graph, args, shapes: args[0],
    _aten.constant_pad_nd.default: _pad,
    _aten.div.Tensor: _plain("Div"),
    _aten.eq.Scalar: _plain("Equal"),
    _aten.erf.default: _plain("Erf"),
    _aten.exp.default: _plain("Exp"),
    _aten.full.default: _full,
    _aten.ge.Scalar: _plain("GreaterOrEqual"),
    _aten.ge.Tensor: _plain("GreaterOrEqual"),
    _aten.gt.Scalar: _plain("Greater"),
    _aten.gt.Tensor: _plain("Greater"),
    _aten.le.Scalar: _plain("LessOrEqual"),
    _aten.le.Tensor: _plain("LessOrEqual"),
    _aten.log.default: _plain("Log"),
    _aten.log1p.default: _log1p,
    _aten.lt.Scalar: _plain("Less"),
    _aten.lt.Tensor: _plain("Less"),
    _aten.maximum.default: _plain("Max"),
    _aten.mean.dim: _reduced("ReduceMean"),
    _aten.minimum.default: _plain("Min"),
    _aten.mm.default: _plain("MatMul"),
    _aten.mul.Scalar: _plain("Mul"),
    _aten.mul.Tensor: _plain("Mul"),
    _aten.neg.default: _plain("Neg"),
    _aten.permute.default: lambda graph, args, shapes: graph.op("Transpose", args[0], perm=list(args[1])),
    _aten.pow.Tensor_Scalar: _plain("Pow"),
    _aten.relu.default: _plain("Relu"),
    _aten.rsqrt.default: lambda graph, args, shapes: graph.op("Reciprocal", graph.op("Sqrt", args[0])),
    _aten.select.int: lambda graph, args, shapes: graph.op(
        "Gather", args[0], graph.constant(np.int64(args[2])), axis=args[1]
    ),
    _aten.sigmoid.default: _plain("Sigmoid"),
    _aten.sin.default: _plain("Sin"),
    _aten.slice.Tensor: _slice,
    _aten.split_with_sizes.default: _split,
    _aten.sqrt.default: _plain("Sqrt"),
    _aten.squeeze.dims: lambda graph, args, shapes: graph.op("Squeeze", args[0], graph.integers(*args[1])),
    _aten.sub.Tensor: _plain("Sub"),
    _aten.sum.dim_IntList: _reduced("ReduceSum"),
    _aten.tanh.default: _plain("Tanh"),
    _aten.unsqueeze.default: lambda graph, args, shapes: graph.op(
        "Unsqueeze", args[0], graph.integers(args[1])
    ),
    _aten.view.default: _view,
    _aten.where.self: lambda graph, args, shapes: graph.op("Where", *args),
}
