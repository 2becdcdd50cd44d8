"""``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` of PyTorch on the kernels of recurra.

Use the classes in place of those of ``torch.nn``, or ``accelerate`` for a model that exists already.
"""

from __future__ import annotations

from recurra.torch.modules import GRU, LSTM, RNN, accelerate

__all__ = ["GRU", "LSTM", "RNN", "accelerate"]
