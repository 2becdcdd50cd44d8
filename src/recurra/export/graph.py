"""An ONNX graph under construction: constants, nodes, inputs and outputs by name.

Dimensions: ``B`` batch, ``T`` time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from recurra.errors import OutputError

__all__ = ["OPSET", "TABLE", "Graph", "Value", "as_array"]

OPSET = 18
"""The version of the operators: that of ONNX 1.13, which ONNX Runtime reads since 1.14."""
TABLE = "table"
"""The beginning of the names of nodes that look up a table of vectors, which may have 8 bits."""
_FORMAT = 9
_LARGEST = 2**31 - 1  # bytes of a protobuf message
Value = str
"""The name of a tensor of the graph."""


class Graph:
    """Nodes in the order of their computation.

    Args:
        outer: the graph around this one, if it is the body of a loop: constants are added there.

    Example:
        >>> graph = Graph()
        >>> x = graph.input("x", np.float32, ["batch"])
        >>> graph.output("y", graph.op("Mul", x, graph.constant(np.float32(2))), np.float32, ["batch"])
        >>> [node.op_type for node in graph.model({}).graph.node]
        ['Mul', 'Identity']
    """

    def __init__(self, outer: Graph | None = None) -> None:
        self._root: Graph = self if outer is None else outer._root
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._number = 0

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [value.name for value in self._inputs]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return [value.name for value in self._outputs]

    def input(self, name: str, dtype: type[np.generic], dims: Sequence[str | int]) -> Value:
        """Adds an input; a dimension with a name is free."""
        self._inputs.append(_info(name, dtype, dims))
        return name

    def output(self, name: str, value: Value, dtype: type[np.generic], dims: Sequence[str | int]) -> None:
        """Adds an output under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_info(name, dtype, dims))

    def constant(self, array: Any) -> Value:
        """Adds a tensor that never changes; the same values are stored once."""
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        root = self._root
        key = (array.dtype.str, array.shape, sha256(array.tobytes()).digest())
        if key not in root._constants:
            root._constants[key] = numpy_helper.from_array(array, f"constant_{len(root._constants)}")
        return str(root._constants[key].name)

    def integers(self, *values: int) -> Value:
        """Adds a vector of int64, such as axes or a shape."""
        return self.constant(np.array(values, np.int64))

    def op(self, kind: str, *inputs: Value, **attributes: Any) -> Value:
        """Adds a node with one output; an input ``""`` is left out."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: Value, outputs: int, **attributes: Any) -> list[Value]:
        """Adds a node with several outputs."""
        names = [self.name(kind.lower()) for _ in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, **{"name": names[0], **attributes}))
        return names

    def name(self, prefix: str) -> Value:
        """Returns a name that no other tensor has."""
        root = self._root
        root._number += 1
        return f"{prefix}_{root._number}"

    def cast(self, value: Value, dtype: type[np.generic]) -> Value:
        """Adds a conversion to another type."""
        return self.op("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def size(self, value: Value, axis: int) -> Value:
        """Adds the length of an axis, a vector of one int64."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def reshape(self, value: Value, *dims: int) -> Value:
        """Adds a change of shape; 0 keeps the length of an axis, and -1 is what is left."""
        return self.op("Reshape", value, self.integers(*dims))

    def proto(self, name: str) -> onnx.GraphProto:
        """Returns the graph; the constants are those of the outermost graph."""
        used = _used(self._nodes)
        constants = [tensor for tensor in self._constants.values() if tensor.name in used]
        return helper.make_graph(self._nodes, name, self._inputs, self._outputs, constants)

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Returns the model, checked.

        Args:
            metadata: texts by name, which are stored in the file.

        Raises:
            OutputError: the file would be larger than 2 GB.
        """
        model = helper.make_model(
            self.proto("recurra"), opset_imports=[helper.make_opsetid("", OPSET)], producer_name="recurra",
            ir_version=_FORMAT,
        )  # fmt: skip
        helper.set_model_props(model, dict(metadata))
        if model.ByteSize() > _LARGEST:
            raise OutputError(
                "the model is larger than 2 GB, which an ONNX file can't be",
                hint="fit one with fewer n-grams, a smaller vocabulary or fewer classes",
            )
        onnx.checker.check_model(model, full_check=True)
        return model


def _used(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Returns the names that nodes read, also those of the bodies of loops."""
    names = {name for node in nodes for name in node.input}
    bodies = [attribute.g.node for node in nodes for attribute in node.attribute if attribute.HasField("g")]
    return names.union(*map(_used, bodies))


def _info(name: str, dtype: type[np.generic], dims: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), dims)


def as_array(tensor: Any) -> NDArray[Any]:
    """Returns the values of a torch tensor."""
    return np.asarray(tensor.detach().cpu().numpy())
