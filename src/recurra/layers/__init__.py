"""Layers of recurrent networks, as ``nn.Module``s."""

from __future__ import annotations

from recurra.kernels.dispatch import (
    Descent,
    compile_ahead,
    compile_kernels,
    move_on_sphere,
    rows_with,
    to_be_compiled,
)
from recurra.layers.bigrams import BigramEmbedding
from recurra.layers.dropout import Dropout, WordDropout
from recurra.layers.embedding import Embedding, TrainedRows
from recurra.layers.inputs import States, sequence_mask
from recurra.layers.keras import load_keras
from recurra.layers.output import Head, OutputLayer
from recurra.layers.pooling import AttentionPooling, JoinedPooling, MaxPooling, MeanPooling
from recurra.layers.recurrent import GRU, LSTM, Recurrent, SimpleRNN

__all__ = [
    "GRU",
    "LSTM",
    "AttentionPooling",
    "BigramEmbedding",
    "Descent",
    "Dropout",
    "Embedding",
    "Head",
    "JoinedPooling",
    "MaxPooling",
    "MeanPooling",
    "OutputLayer",
    "Recurrent",
    "SimpleRNN",
    "States",
    "TrainedRows",
    "WordDropout",
    "compile_ahead",
    "compile_kernels",
    "load_keras",
    "move_on_sphere",
    "rows_with",
    "sequence_mask",
    "to_be_compiled",
]
