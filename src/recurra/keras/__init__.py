"""Keras's recurrent layers on the kernels of recurra (extra ``keras``, Keras's torch backend).

Use the layers in place of Keras's, or ``accelerate`` for a model that exists already.
"""

from __future__ import annotations

from recurra.keras.layers import GRU, LSTM, Embedding, SimpleRNN
from recurra.keras.models import accelerate

__all__ = ["GRU", "LSTM", "Embedding", "SimpleRNN", "accelerate"]
