"""torch.nn: dense, packed, a loop of cells with a recurrent mask; an ``nn.Embedding`` before for tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.kernels.peers.terms import Arrays, Prepared, Task

_MODULES: dict[str, Any] = {"simple_rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
_CELLS: dict[str, Any] = {"simple_rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


def dense(task: Task) -> Prepared:
    """Padding, where there is any, is computed like the rest: at the end of a row it disturbs nothing."""
    module = _module(task)
    return _prepared(task, module, lambda x: module(x)[0])


def packed(task: Task) -> Prepared:
    module = _module(task)
    lengths = torch.from_numpy(task.lengths)
    T = task.case.T

    def run(x: Tensor) -> Tensor:
        outputs, _ = module(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(outputs, total_length=T)[0]

    return _prepared(task, module, run)


def cell_loop(task: Task) -> Prepared:
    """LSTMCell and RNNCell; GRU is written out, as GRUCell's update gate would carry the masked state."""
    case = task.case
    cell = _CELLS[case.cell](case.E, case.H)
    cell.load_state_dict({n.removesuffix("_l0"): t for n, t in _parameters(task, cell, "_l0").items()})
    mask = torch.from_numpy(task.mask)

    def gru(x: Tensor, h: Tensor) -> Tensor:
        rz, n = functional.linear(x, cell.weight_ih, cell.bias_ih).split([2 * case.H, case.H], 1)
        rz_h, n_h = functional.linear(h * mask, cell.weight_hh, cell.bias_hh).split([2 * case.H, case.H], 1)
        r, z = torch.sigmoid(rz + rz_h).chunk(2, 1)
        return torch.lerp(torch.tanh(n + r * n_h), h, z)

    def run(x: Tensor) -> Tensor:
        h = c = x.new_zeros(case.B, case.H)
        outputs = []
        for step in x.unbind(0):
            if case.cell == "lstm":
                h, c = cell(step, (h * mask, c))
            else:
                h = gru(step, h) if case.cell == "gru" else cell(step, h * mask)
            outputs.append(h)
        return torch.stack(outputs)

    return _prepared(task, cell, run, suffix="_l0")


def _module(task: Task) -> nn.Module:
    case = task.case
    module = _MODULES[case.cell](
        case.E, case.H, num_layers=case.layers, bidirectional=case.directions == 2
    )  # time first, as torch has it by default and computes it
    module.load_state_dict(_parameters(task, module))
    return module


def _parameters(task: Task, module: nn.Module, suffix: str = "") -> dict[str, Tensor]:
    """Ours, and zeros for the second bias that SimpleRNN and LSTM have only here."""
    return {
        name + suffix: torch.from_numpy(task.weights[name + suffix])
        if name + suffix in task.weights
        else torch.zeros_like(value)
        for name, value in module.state_dict().items()
    }


def _prepared(task: Task, module: nn.Module, run: Callable[[Tensor], Tensor], suffix: str = "") -> Prepared:
    case = task.case
    names = [name + suffix for name, _ in module.named_parameters()]
    source, read = _input(task)
    upstream = torch.from_numpy(task.upstream).transpose(0, 1).contiguous()

    def forward() -> list[Tensor]:
        with torch.inference_mode():
            return [run(read())]

    def training() -> list[Tensor]:
        outputs = run(read())
        return [outputs, *torch.autograd.grad(outputs, [source, *module.parameters()], upstream)]

    def named(result: list[Tensor]) -> Arrays:
        found = {n: t.detach() for n, t in zip(["outputs", case.source, *names], result, strict=False)}
        for name in {"outputs", "x"} & found.keys():
            found[name] = found[name].transpose(0, 1)
        return {name: tensor.numpy() for name, tensor in found.items()}

    return Prepared(training if case.trains else forward, named)


def _input(task: Task) -> tuple[Tensor, Callable[[], Tensor]]:
    """What the gradient of the input is of, and how the module is given it, time first."""
    if not task.case.has_tokens:
        x = torch.from_numpy(task.x).transpose(0, 1).contiguous().requires_grad_(task.case.trains)
        return x, lambda: x
    embedding = nn.Embedding.from_pretrained(torch.from_numpy(task.table), freeze=False)
    index = torch.from_numpy(task.index).transpose(0, 1).contiguous()
    return embedding.weight, lambda: embedding(index)
