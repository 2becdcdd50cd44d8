"""Models around the CPU kernels under ``torch.compile`` give what they give without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from recurra.kernels.dispatch import Lookup
from recurra.layers import GRU, LSTM, Recurrent, SimpleRNN

# of Dynamo: about `.grad` of what is no leaf, and about our cached functions, which it may trace through
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch")

LAYERS: dict[str, Callable[..., Any]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


class Reader(nn.Module):
    """Tokens to a number through two recurrent layers."""

    def __init__(self, cell: str, *, lookup: bool) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(12, 6))
        self.lookup = lookup
        self.recurrent = LAYERS[cell](6, [9, 5], bidirectional=True, return_sequences=False, backend="cpu")
        self.head = nn.Linear(10, 1)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        x = Lookup(self.table, tokens) if self.lookup else nn.functional.embedding(tokens, self.table)
        outputs, _ = self.recurrent(x, lengths)
        return self.head(torch.tanh(outputs)).squeeze(1)


@pytest.mark.slow
@pytest.mark.parametrize("lookup", [False, True])
@pytest.mark.parametrize("cell", LAYERS)
def test_a_compiled_model_gives_the_same_outputs_and_gradients(cell: str, lookup: bool) -> None:
    torch.manual_seed(3)
    torch.compiler.reset()
    model = Reader(cell, lookup=lookup)
    tokens, lengths = torch.randint(0, 12, (4, 7)), torch.tensor([7, 1, 0, 5])
    compiled = torch.compile(model, backend="aot_eager", dynamic=False)
    found = []
    for way in (model, compiled):
        outputs = way(tokens, lengths)
        found.append(
            [outputs.detach(), *torch.autograd.grad(outputs.square().sum(), list(model.parameters()))]
        )
    for value, other in zip(*found, strict=True):
        torch.testing.assert_close(other, value, rtol=0, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(compiled(tokens, lengths), found[0][0], rtol=0, atol=1e-6)


def test_the_recurrence_does_not_break_the_graph() -> None:
    torch.compiler.reset()
    layer = GRU(3, 5, backend="cpu")
    compiled = torch.compile(layer, backend="aot_eager", dynamic=False, fullgraph=True)
    x = torch.randn(4, 6, 3, requires_grad=True)
    outputs, _ = compiled(x)
    torch.testing.assert_close(outputs, layer(x)[0], rtol=0, atol=1e-6)
    outputs.sum().backward()
    assert x.grad is not None


def test_a_scan_in_a_compiled_graph_runs_through_the_reference() -> None:
    torch.compiler.reset()
    layer, x = Recurrent(3, 5, cell="min_gru"), torch.randn(4, 6, 3)
    compiled = torch.compile(layer, backend="eager", dynamic=False, fullgraph=True)
    torch.testing.assert_close(compiled(x)[0], layer(x)[0], rtol=0, atol=1e-6)


def test_the_threads_asked_for_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    from recurra.kernels.cpu import engine

    seen = []
    original = engine.run_forward

    def run_forward(job: engine.Job, *rest: Any) -> None:
        seen.append(job.threads)
        original(job, *rest)

    monkeypatch.setattr(engine, "run_forward", run_forward)
    monkeypatch.setenv("RECURRA_THREADS", "3")
    torch.compiler.reset()
    layer = GRU(3, 5, backend="cpu")
    torch.compile(layer, backend="aot_eager", dynamic=False, fullgraph=True)(torch.randn(2, 4, 3))
    assert seen == [3]
