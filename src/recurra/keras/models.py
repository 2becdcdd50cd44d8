"""Models that exist already: their layers on the kernels, and back."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from recurra.keras.layers import GRU, LSTM, Embedding, SimpleRNN
from recurra.keras.library import keras

__all__ = ["accelerate"]

Model = TypeVar("Model")
_RECURRENT = {getattr(keras.layers, ours.__name__): ours for ours in (SimpleRNN, LSTM, GRU)}
_CLASSES: dict[Any, Any] = {**_RECURRENT, keras.layers.Embedding: Embedding}


def accelerate(model: Model, *, shared_masks: bool = False, undo: bool = False) -> Model:
    """Makes every ``SimpleRNN``, ``LSTM`` and ``GRU`` of a Keras model compute on the kernels, in place.

    Only the class of the layers changes, also inside ``Bidirectional`` and other models, and that of
    ``Embedding`` layers, whose ids the recurrent layers then read. Layers and weights stay the same objects,
    so a compiled model stays compiled and its optimizer keeps its state. Subclasses of Keras's layers are
    left alone, since they may compute something else.

    Args:
        model: a model or layer of Keras.
        shared_masks: Whether the gates of each LSTM and GRU share one dropout mask (see ``LSTM``).
        undo: Whether to change the layers back into Keras's, such as before a model is saved for a program
            without recurra.

    Returns:
        The model.

    Warns:
        UserWarning: The model has none of the three recurrent layers.

    Example:
        >>> layers = [keras.Input((None, 3)), keras.layers.Bidirectional(keras.layers.LSTM(4))]
        >>> model = keras.Sequential(layers)
        >>> type(accelerate(model).layers[0].backward_layer).__module__
        'recurra.keras.layers'
        >>> type(accelerate(model, undo=True).layers[0].backward_layer).__module__
        'keras.src.layers.rnn.lstm'
    """
    to = {ours: theirs for theirs, ours in _CLASSES.items()} if undo else _CLASSES
    root: Any = model
    layers = list(root._flatten_layers())  # all layers inside it, at any depth; Keras has no public name
    for layer in layers:
        if type(layer) in to:
            layer.__class__ = to[type(layer)]
            if isinstance(layer, LSTM | GRU):
                layer.shared_masks = shared_masks
    if not undo and not any(type(layer) in _RECURRENT.values() for layer in layers):
        warnings.warn(
            f"{type(model).__name__} has no SimpleRNN, LSTM or GRU to accelerate "
            "(subclasses of them are left alone)",
            stacklevel=2,
        )
    return model
