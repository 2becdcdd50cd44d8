"""Subclasses of Keras's recurrent layers whose loop over time runs on the kernels."""

from __future__ import annotations

from typing import Any

from recurra.keras.library import keras
from recurra.keras.recurrence import run

__all__ = ["GRU", "LSTM", "SimpleRNN"]


@keras.saving.register_keras_serializable(package="recurra")
class LSTM(keras.layers.LSTM):  # type: ignore[misc]  # Keras has no types
    """``keras.layers.LSTM`` on the kernels of recurra."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Runs all steps: Keras's hook for a faster loop, with its arguments and results."""
        found = run("lstm", self, sequences, initial_state, mask, training=training)
        return found or super().inner_loop(sequences, initial_state, mask=mask, training=training)


@keras.saving.register_keras_serializable(package="recurra")
class GRU(keras.layers.GRU):  # type: ignore[misc]
    """``keras.layers.GRU`` on the kernels of recurra."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Runs all steps: Keras's hook for a faster loop, with its arguments and results."""
        found = run("gru", self, sequences, initial_state, mask, training=training)
        return found or super().inner_loop(sequences, initial_state, mask=mask, training=training)


@keras.saving.register_keras_serializable(package="recurra")
class SimpleRNN(keras.layers.SimpleRNN):  # type: ignore[misc]
    """``keras.layers.SimpleRNN`` on the kernels of recurra."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Runs all steps: Keras's hook for a faster loop, with its arguments and results."""
        found = run("simple_rnn", self, sequences, initial_state, mask, training=training)
        return found or super().inner_loop(sequences, initial_state, mask=mask, training=training)
