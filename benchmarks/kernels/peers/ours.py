"""recurra's own layers, as a user has them: batch first, masks drawn inside."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.kernels.peers.terms import Arrays, Prepared, Task
from benchmarks.kernels.truth import DROPPED, make_layer
from recurra.kernels.dispatch import Lookup
from recurra.layers import Embedding


def prepare(task: Task) -> Prepared:
    case = task.case
    layer = make_layer(case, recurrent_dropout=DROPPED if case.has_mask else 0.0, backend=task.backend)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in task.weights.items()})
    x, read = _input(task)
    upstream = torch.from_numpy(task.upstream)
    lengths = torch.from_numpy(task.lengths) if case.has_lengths else None
    names = [name for name, _ in layer.named_parameters()]

    def forward() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [layer(read(), lengths)[0]]

    def training() -> list[torch.Tensor]:
        if case.has_mask:
            torch.manual_seed(case.seed)  # the mask that every peer is given
        outputs, _ = layer(read(), lengths)
        return [outputs, *torch.autograd.grad(outputs, [x, *layer.parameters()], upstream)]

    def named(result: list[torch.Tensor]) -> Arrays:
        found = zip(["outputs", case.source, *names], result, strict=False)
        return {name: tensor.detach().numpy() for name, tensor in found}

    if case.trains:
        return Prepared(training, named)
    layer.eval()
    return Prepared(forward, named)


def _input(task: Task) -> tuple[torch.Tensor, Callable[[], torch.Tensor | Lookup]]:
    """What the gradient of the input is of, and how the layer is given it."""
    if not task.case.has_tokens:
        x = torch.from_numpy(task.x).requires_grad_(task.case.trains)
        return x, lambda: x
    embedding = Embedding(*task.table.shape)
    embedding.load_state_dict({"weight": torch.from_numpy(task.table)})
    index = torch.from_numpy(task.index)
    return embedding.weight, lambda: embedding.lookup(index)
