"""recurra's own layers, as a user has them: batch first, masks drawn inside."""

from __future__ import annotations

import torch

from benchmarks.kernels.peers.terms import Arrays, Prepared, Task
from benchmarks.kernels.truth import DROPPED, make_layer


def prepare(task: Task) -> Prepared:
    case = task.case
    layer = make_layer(case, recurrent_dropout=DROPPED if case.has_mask else 0.0, backend=task.backend)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in task.weights.items()})
    x = torch.from_numpy(task.x).requires_grad_(case.trains)
    upstream = torch.from_numpy(task.upstream)
    lengths = torch.from_numpy(task.lengths) if case.has_lengths else None
    names = [name for name, _ in layer.named_parameters()]

    def forward() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [layer(x, lengths)[0]]

    def training() -> list[torch.Tensor]:
        if case.has_mask:
            torch.manual_seed(case.seed)  # the mask that every peer is given
        outputs, _ = layer(x, lengths)
        return [outputs, *torch.autograd.grad(outputs, [x, *layer.parameters()], upstream)]

    def named(result: list[torch.Tensor]) -> Arrays:
        return {n: t.detach().numpy() for n, t in zip(["outputs", "x", *names], result, strict=False)}

    if case.trains:
        return Prepared(training, named)
    layer.eval()
    return Prepared(forward, named)
