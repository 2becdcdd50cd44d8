"""The data of a case, from one seed, and what is true of it: the plain loop in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kernels.grid import VOCABULARY, Case

__all__ = ["DROPPED", "make_data", "make_layer", "make_truth"]

DROPPED = 0.25
_ROWS_AT_ONCE = 1 << 27  # numbers that the loop may keep for its gradient; the rest of the rows follow after


def make_layer(case: Case, **settings: Any) -> Any:
    from recurra import layers

    kind = {"simple_rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}[case.cell]
    return kind(case.E, case.H, layers=case.layers, bidirectional=case.directions == 2, **settings)


def make_data(case: Case, path: Path) -> None:
    """Input, upstream gradient, lengths, recurrent mask and weights, as arrays of an ``.npz``.

    With tokens, also ``table (V, E)`` and ``index (B, T)``, whose vectors are the input.
    """
    import torch

    from recurra.layers import sequence_mask

    torch.manual_seed(case.seed)
    weights = make_layer(case).state_dict()
    for name, value in weights.items():
        if name.startswith("bias"):  # none is left at zero, where a wrong one would not show
            value += 0.1 * torch.randn_like(value)
    looked_up = {}
    if case.has_tokens:
        looked_up = {"table": torch.randn(VOCABULARY, case.E), "index": _words(case.B, case.T)}
        x = looked_up["table"][looked_up["index"]]
    else:
        x = torch.randn(case.B, case.T, case.E)
    upstream = torch.randn(case.B, case.T, case.directions * case.H)
    if case.has_lengths:  # evenly from 0.2 T to T, in random order; their mean is 0.6 T
        share = (torch.randperm(case.B) + 0.5) / case.B
        lengths = (case.T * (0.2 + 0.8 * share)).round().long().clamp(min=1)
        upstream *= (torch.arange(case.T) < lengths[:, None])[:, :, None]
    else:
        lengths = torch.full((case.B,), case.T)
    torch.manual_seed(case.seed)
    mask = sequence_mask(case.B, case.H, DROPPED, like=x)  # what our layer will draw after this seed
    data = {"x": x, "upstream": upstream, "lengths": lengths, "mask": mask}
    named = {f"weight:{name}": value for name, value in weights.items()}
    np.savez(path, **{name: value.numpy() for name, value in (data | looked_up | named).items()})


def _words(B: int, T: int) -> Any:
    """Ids ``(B, T)`` of words as often as in texts (Mandelbrot's form of Zipf's law); none is 0, the padding.

    Of 14,000 drawn from 10,000 some 3,200 differ, as in a batch of 64 film reviews.
    """
    import torch

    often = 1 / (torch.arange(1, VOCABULARY) + 2.7) ** 1.1
    return torch.multinomial(often, B * T, replacement=True).view(B, T) + 1


def make_truth(case: Case, data: Path, path: Path) -> None:
    """Outputs and, in training, gradients of the input and of each weight, in float64.

    Rows are computed a few at a time, so that memory does not grow with them; the weights' gradients add up.
    """
    import torch

    found = np.load(data)
    given = {name: torch.from_numpy(found[name]) for name in found.files}
    weights = {name[7:]: value.double() for name, value in given.items() if name.startswith("weight:")}
    kept = case.T * case.H * case.layers * case.directions * 20
    rows = max(1, min(case.B, _ROWS_AT_ONCE // kept))
    outputs, of_x, of_weights = [], [], {name: torch.zeros_like(value) for name, value in weights.items()}
    for some in torch.arange(case.B).split(rows):
        x = given["x"][some].double().requires_grad_(case.trains)
        leaves = {name: value.clone().requires_grad_(case.trains) for name, value in weights.items()}
        result = _loop(case, x, leaves, given["lengths"][some], given["mask"][some].double())
        outputs.append(result.detach())
        if case.trains:
            result.backward(given["upstream"][some].double())
            of_x.append(x.grad)
            for name, leaf in leaves.items():
                of_weights[name] += leaf.grad
    truth = {"outputs": torch.cat(outputs)}
    if case.trains:
        truth |= {case.source: torch.cat(of_x), **of_weights}
    if case.trains and case.has_tokens:
        zeros = torch.zeros(VOCABULARY, case.E, dtype=torch.float64)
        truth["table"] = zeros.index_add(0, given["index"].flatten(), truth["table"].flatten(0, 1))
    np.savez(path, **{name: value.numpy() for name, value in truth.items()})


def _loop(case: Case, x: Any, weights: dict[str, Any], lengths: Any, mask: Any) -> Any:
    import torch

    from recurra.cells import cell_named
    from recurra.cells.spec import Weights
    from recurra.kernels.dispatch import recurrence

    steps = x.transpose(0, 1)
    for layer in range(case.layers):
        joined = []
        for reverse in range(case.directions):
            suffix = case.suffixes[layer * case.directions + reverse]
            names = cell_named(case.cell).parameter_names
            outputs, _ = recurrence(
                case.cell,
                steps,
                lengths if case.has_lengths else None,
                None,
                Weights({name: weights[f"{name}_{suffix}"] for name in names}),
                recurrent_mask=mask if case.has_mask else None,
                reverse=bool(reverse),
                backend="reference",
            )
            joined.append(outputs)
        steps = torch.cat(joined, dim=2)
    return steps.transpose(0, 1)
