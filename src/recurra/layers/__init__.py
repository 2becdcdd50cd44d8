"""Layers of recurrent networks, as ``nn.Module``s."""

from __future__ import annotations

from recurra.kernels.dispatch import to_be_compiled
from recurra.layers.embedding import Embedding, TrainedRows
from recurra.layers.pooling import AttentionPooling, MaxPooling, MeanPooling
from recurra.layers.recurrent import GRU, LSTM, Recurrent, SimpleRNN, States

__all__ = [
    "GRU",
    "LSTM",
    "AttentionPooling",
    "Embedding",
    "MaxPooling",
    "MeanPooling",
    "Recurrent",
    "SimpleRNN",
    "States",
    "TrainedRows",
    "to_be_compiled",
]
