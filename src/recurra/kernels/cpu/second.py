"""Gradients of the gradients of one layer, by operations that PyTorch differentiates.

The kernels compute gradients only. To differentiate one, the layer is computed anew by another backend.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.cells import cell_named
from recurra.cells.spec import State, Weights
from recurra.kernels import reference, torch_native
from recurra.kernels.cpu.operators import Arguments
from recurra.kernels.terms import Call, Lookup

__all__ = ["gradients_of_gradients"]


def gradients_of_gradients(
    call: Arguments, gradient: Tensor | None, last_gradient: Tensor | None, upstream: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Differentiates the gradients of one layer.

    Args:
        call: the layer and the batch.
        gradient: of all states ``(T, B, D*H)``, or None.
        last_gradient: of the last states ``(D * parts, B, H)``, or None.
        upstream: the gradients that the gradients of ``x``, of each state and of each weight receive.

    Returns:
        The gradients of ``x``, of each state, of each weight, of ``gradient`` and of ``last_gradient``; None
        where there is none.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        # views, so that an input that was computed from another one counts as independent of it
        x, *parts = (_leaf(part) for part in (call.x, *call.state, *call.weights))
        state, weights = parts[: len(call.state)], parts[len(call.state) :]
        results = [_run(each) for each in _calls(call._replace(x=x, state=state, weights=weights))]
        outputs = torch.cat([one for one, _ in results], dim=2)
        last = torch.stack([part for _, one in results for part in one])
        seeds = [None if seed is None else _leaf(seed) for seed in (gradient, last_gradient)]
        inputs = [x, *parts, *seeds]
        first = _gradients([outputs, last], [x, *parts], seeds, differentiable=True)
        return _gradients(first, inputs, upstream, differentiable=differentiable)


def _gradients(
    values: Sequence[Tensor | None], inputs: Sequence[Tensor | None], seeds: Sequence[Tensor | None], *,
    differentiable: bool,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """``torch.autograd.grad``, in which a value, an input or a gradient may be absent."""
    pairs = [(value, seed) for value, seed in zip(values, seeds, strict=True) if seed is not None]
    given = [(value, seed) for value, seed in pairs if value is not None and value.requires_grad]
    present = [one for one in inputs if one is not None]
    found = iter(
        torch.autograd.grad(
            [value for value, _ in given], present, [seed for _, seed in given],
            create_graph=differentiable, allow_unused=True,
        )
    )  # fmt: skip
    return tuple(None if one is None else next(found) for one in inputs)


def _leaf(tensor: Tensor) -> Tensor:
    """A view that a gradient can be asked for."""
    view = tensor.view_as(tensor)
    return view if view.requires_grad else view.requires_grad_()


def _calls(call: Arguments) -> list[Call]:
    """The same layer as the other backends are given it, a call for each direction."""
    spec = cell_named(call.cell)
    each, parts = len(spec.parameter_names), len(spec.state)
    return [
        Call(
            call.cell,
            call.x if call.index is None else Lookup(call.x, call.index),
            call.lengths,
            tuple(call.state[d * parts : (d + 1) * parts]) or None,
            Weights(zip(spec.parameter_names, call.weights[d * each : (d + 1) * each], strict=True)),
            recurrent_mask=call.recurrent_masks[d] if call.recurrent_masks else None,
            activation="relu" if call.use_relu else "tanh",
            reverse=call.reverse or d > 0,
            input_mask=call.input_masks[d] if call.input_masks else None,
            precision="bfloat16" if call.bf16 else "float32",
        )
        for d in range(len(call.weights) // each)
    ]


def _run(call: Call) -> tuple[Tensor, State]:
    supported = torch_native.unsupported_reason(call) is None
    return torch_native.run(call) if supported else reference.run(call)
