"""The truth: each cell as a plain loop over time in PyTorch, slow and easy to read."""

from __future__ import annotations

from torch import Tensor

from recurra.kernels.reference.gru import gru
from recurra.kernels.reference.lstm import lstm
from recurra.kernels.reference.simple_rnn import simple_rnn
from recurra.kernels.terms import Call, State

__all__ = ["gru", "lstm", "run", "simple_rnn"]


def run(call: Call) -> tuple[Tensor, State]:
    """Outputs ``(T, B, H)``, zero past each length, and the last state, by the loop of the call's cell."""
    return {"simple_rnn": simple_rnn, "lstm": lstm, "gru": gru}[call.cell](call)
