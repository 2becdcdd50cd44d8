"""Keras's recurrent layers on the kernels of recurra (extra ``keras``, Keras's torch backend)."""

from __future__ import annotations

from recurra.keras.layers import GRU, LSTM, SimpleRNN

__all__ = ["GRU", "LSTM", "SimpleRNN"]
