"""Keras's layers whose loop over time runs on the kernels, and an embedding whose ids the kernels read.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``V`` vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

from recurra.keras.library import keras
from recurra.keras.lookup import remember
from recurra.keras.recurrence import run

__all__ = ["GRU", "LSTM", "Embedding", "SimpleRNN"]


class _OnKernels:
    """What replaces the loop over time of a layer of Keras."""

    _cell: ClassVar[str]
    shared_masks = False

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Runs all steps: Keras's hook for a faster loop, with its arguments and results."""
        found = run(self._cell, self, sequences, initial_state, mask, training=training)
        if found is None:
            layer: Any = super()
            found = layer.inner_loop(sequences, initial_state, mask=mask, training=training)
        return found


class _Gated(_OnKernels):
    """A layer for whose gates Keras draws a dropout mask each."""

    def __init__(self, units: int, *args: Any, shared_masks: bool = False, **kwargs: Any) -> None:
        super().__init__(units, *args, **kwargs)  # type: ignore[call-arg]  # of Keras's layer
        self.shared_masks = shared_masks

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make such a layer."""
        layer: Any = super()
        return {**layer.get_config(), "shared_masks": self.shared_masks}


@keras.saving.register_keras_serializable(package="recurra")
class SimpleRNN(_OnKernels, keras.layers.SimpleRNN):  # type: ignore[misc]  # Keras has no types
    """``keras.layers.SimpleRNN``, faster on a CPU: the same arguments, weights, outputs and errors.

    The kernels compute ``activation`` tanh or relu in float32, with any mask, dropout, initial state and
    direction; ``unroll`` makes no difference. Keras's own loop computes everything else.

    Args:
        units: ``H``; this and all further arguments are those of Keras's layer.

    Example:
        >>> import numpy as np
        >>> layer = SimpleRNN(4, return_sequences=True, recurrent_dropout=0.2)
        >>> mask = np.array([[True, True, True], [True, False, False]])
        >>> layer(np.ones((2, 3, 5), "float32"), mask=mask).shape
        torch.Size([2, 3, 4])
    """

    _cell = "simple_rnn"


@keras.saving.register_keras_serializable(package="recurra")
class LSTM(_Gated, keras.layers.LSTM):  # type: ignore[misc]
    """``keras.layers.LSTM``, faster on a CPU: the same arguments, weights, outputs and errors.

    The kernels compute ``activation`` tanh and ``recurrent_activation`` sigmoid in float32, with any mask,
    dropout, initial state and direction; ``unroll`` and ``use_cudnn`` make no difference. Keras's own loop
    computes everything else.

    Args:
        units: ``H``; this and all further arguments but the last are those of Keras's layer.
        shared_masks: Whether the gates share one mask where Keras draws one for each, which is for
            ``recurrent_dropout``, and for ``dropout`` with it. The kernels compute such a training step only
            if they do. Both forms are dropout (Gal & Ghahramani 2016: tied and untied weights).

    Example:
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((None,), dtype="int32"),
        ...         Embedding(1000, 8, mask_zero=True),
        ...         keras.layers.Bidirectional(LSTM(16)),
        ...     ]
        ... )
        >>> model.output_shape
        (None, 32)
    """

    _cell = "lstm"


@keras.saving.register_keras_serializable(package="recurra")
class GRU(_Gated, keras.layers.GRU):  # type: ignore[misc]
    """``keras.layers.GRU``, faster on a CPU: the same arguments, weights, outputs and errors.

    As ``LSTM``, with ``activation`` tanh or relu. ``reset_after=False`` is computed by Keras's own loop.

    Args:
        units: ``H``; this and all further arguments but the last are those of Keras's layer.
        shared_masks: as in ``LSTM``.

    Example:
        >>> import numpy as np
        >>> layer = GRU(4, return_state=True)
        >>> output, state = layer(np.ones((2, 3, 5), "float32"))
        >>> bool((output == state).all())
        True
    """

    _cell = "gru"


@keras.saving.register_keras_serializable(package="recurra")
class Embedding(keras.layers.Embedding):  # type: ignore[misc]
    """``keras.layers.Embedding`` with a faster gradient where one of these recurrent layers follows it.

    The recurrent layer then reads the ids and the table, so the gradient goes to the table without passing
    through the output. It does pass through an output for which ``retain_grad`` or a hook was set;
    ``torch.autograd.grad`` of the output needs Keras's own layer.

    Args:
        input_dim: ``V``; this and all further arguments are those of Keras's layer.

    Example:
        >>> import numpy as np
        >>> Embedding(1000, 8)(np.array([[5, 999, 0]])).shape
        torch.Size([1, 3, 8])
    """

    def call(self, inputs: Any) -> Any:
        """Returns the vectors of the ids, as Keras does."""
        outputs = super().call(inputs)
        return remember(outputs, keras.ops.convert_to_tensor(self.embeddings), inputs)
