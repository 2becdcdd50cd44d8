"""The loop over time of a Keras layer as a call of the kernels, where they compute the same.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``G`` gates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells import cell_named
from recurra.cells.spec import CellSpec, Weights
from recurra.keras.library import keras
from recurra.keras.lookup import behind
from recurra.keras.masks import read_mask
from recurra.kernels.dispatch import Call, fastest
from recurra.kernels.dispatch import layer as run_layer

__all__ = ["run"]

_ACTIVATIONS = {keras.activations.tanh: "tanh", keras.activations.relu: "relu"}


def run(
    cell: str, layer: Any, sequences: Any, initial_state: Any, mask: Any, *, training: bool
) -> tuple[Tensor, Tensor, list[Tensor]] | None:
    """Runs all steps of a layer.

    Args:
        cell: the name of its cell here, such as ``"lstm"``.
        layer: the Keras layer.
        sequences: ``(B, T, E)``.
        initial_state: parts ``(B, H)``, in a list.
        mask: ``(B, T)``, True for the steps to read, or None; or a list with that.
        training: whether dropout is applied.

    Returns:
        What Keras's ``inner_loop`` returns: the last output ``(B, H)``, the outputs in reading order
        ``(B, T, H)`` (only the last unless ``return_sequences``), and the last states. None if the kernels
        do not compute what the layer does.
    """
    if _is_exported():
        return None
    activation = _activation(layer)
    dropout = _dropout_masks(layer, sequences, initial_state) if training else (None, None)
    if activation is None or dropout is None:
        return None
    weights = _weights(layer.cell, cell_named(cell))
    dtype = weights.weight_ih.dtype
    if dtype not in (torch.float32, torch.float64):  # Keras rounds every operation, the kernels do not
        return None
    x = behind(keras.ops.convert_to_tensor(sequences))
    if isinstance(x, Tensor) or x.table.dtype != dtype:
        x = sequences.to(dtype)
    mask = mask[0] if isinstance(mask, list | tuple) else mask
    if mask is not None and mask.dim() != 2:
        return None
    steps = None if mask is None else read_mask(mask)
    call = Call(
        cell,
        (x if steps is None else steps.packed(x)).transpose(0, 1),
        None if steps is None else steps.lengths,
        tuple(part.to(dtype) for part in initial_state),
        weights,
        input_mask=dropout[0],
        recurrent_mask=dropout[1],
        activation=activation,
        reverse=layer.go_backwards,
    )
    backend = fastest(call)
    if backend == "reference":
        return None
    outputs, (state,) = run_layer(
        [call], sequences=layer.return_sequences, backend=backend, lengths_checked=True
    )
    options = {"backwards": layer.go_backwards, "zeros": layer.zero_output_for_mask}
    last = state[0] if steps is None else steps.last(state[0], **options)
    if not layer.return_sequences:
        return last, last[:, None], list(state)
    outputs = outputs.transpose(0, 1)
    if steps is not None:
        outputs = steps.placed(outputs, **options)
    elif layer.go_backwards:
        outputs = outputs.flip(1)
    return last, outputs, list(state)


def _is_exported() -> bool:
    """Whether a graph is recorded for a program without recurra, by ``model.export`` for example."""
    exporting = getattr(torch.compiler, "is_exporting", None)  # since torch 2.7
    tracing = torch._C._get_tracing_state() is not None
    return tracing or (exporting is not None and exporting())


def _activation(layer: Any) -> str | None:
    """The activation by its name here; None if the kernels have no such layer."""
    gate = getattr(layer, "recurrent_activation", keras.activations.sigmoid)
    if gate is not keras.activations.sigmoid or not getattr(layer, "reset_after", True):
        return None
    return _ACTIVATIONS.get(layer.activation)


def _dropout_masks(
    layer: Any, sequences: Tensor, initial_state: list[Tensor]
) -> tuple[Tensor | None, Tensor | None] | None:
    """The masks that Keras drew for this call; None if each gate has its own and they are not shared."""
    masks = (
        layer.cell.get_dropout_mask(sequences[:, 0]),
        layer.cell.get_recurrent_dropout_mask(initial_state[0]),
    )
    if not any(isinstance(mask, list) for mask in masks):
        return masks
    if not layer.shared_masks:
        return None
    of_input, of_state = (mask[0] if isinstance(mask, list) else mask for mask in masks)
    return of_input, of_state


def _weights(cell: Any, spec: CellSpec) -> Weights:
    """The weights of Keras's cell ``(E, G*H)``, ``(H, G*H)`` and ``(G*H,)`` in the layout of the kernels."""
    kernel, recurrent = (keras.ops.convert_to_tensor(part) for part in (cell.kernel, cell.recurrent_kernel))
    count = spec.parameter_names.count("bias_ih") + spec.parameter_names.count("bias_hh")
    if cell.bias is None:
        biases = (kernel.new_zeros(kernel.shape[1]),) * count
    else:
        biases = keras.ops.convert_to_tensor(cell.bias).view(count, -1).unbind(0)
    parts = (kernel.t(), recurrent.t(), *biases)
    return Weights(zip(spec.parameter_names, (_reordered(part, spec) for part in parts), strict=True))


def _reordered(part: Tensor, spec: CellSpec) -> Tensor:
    """Rows ``(G*H, ...)`` with the gates in the order of the kernels instead of Keras's."""
    if spec.keras_gates is None or spec.keras_gates == spec.gates:
        return part
    gates = dict(zip(spec.keras_gates, part.chunk(len(spec.gates)), strict=True))
    return torch.cat([gates[name] for name in spec.gates])
