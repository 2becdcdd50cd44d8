"""Keras's own layers on the backend of ``KERAS_BACKEND``, compiled as ``fit`` compiles them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from benchmarks.kernels.grid import VOCABULARY, Case
from benchmarks.kernels.peers.terms import Arrays, Prepared, Task
from benchmarks.kernels.truth import DROPPED
from benchmarks.kernels.weights import from_columns, to_columns

# Ours i, f, g, o and r, z, n; Keras's i, f, c, o and z, r, h.
_ORDER = {"simple_rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}
_LAYERS = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def prepare(task: Task) -> Prepared:
    case = task.case
    model = _model(case)
    given = task.index if case.has_tokens else task.x
    model.build(given.shape)
    for variable, array in zip(model.trainable_variables, _arrays(task), strict=True):
        variable.assign(array)
    if case.has_mask:
        _give_mask(model.cell, case, keras.ops.convert_to_tensor(task.mask))
    options: dict[str, Any] = {"training": case.trains}
    if case.has_lengths:
        options["mask"] = keras.ops.convert_to_tensor(np.arange(case.T) < task.lengths[:, None])
    backends = {"tensorflow": _tensorflow, "jax": _jax}
    return backends[os.environ["KERAS_BACKEND"]](task, model, given, options)


def _model(case: Case) -> Any:
    kind = _LAYERS[case.cell]
    settings = {"return_sequences": True, "recurrent_dropout": DROPPED if case.has_mask else 0.0}
    if case.layers == 2:
        return keras.Sequential([kind(case.H, **settings) for _ in range(2)])
    layer = kind(case.H, **settings)
    if case.has_tokens:
        return keras.Sequential([keras.layers.Embedding(VOCABULARY, case.E), layer])
    return keras.layers.Bidirectional(layer) if case.directions == 2 else layer


def _arrays(task: Task) -> list[np.ndarray]:
    table = [task.table] if task.case.has_tokens else []
    return table + to_columns(task.case, task.weights, _ORDER[task.case.cell])


def _give_mask(cell: Any, case: Case, mask: Any) -> None:
    """The mask that all are given, in place of Keras's own; LSTM and GRU hold one a gate."""
    count = len(_ORDER[case.cell])
    cell.get_recurrent_dropout_mask = lambda _: mask if case.cell == "simple_rnn" else [mask] * count


def _tensorflow(task: Task, model: Any, given: np.ndarray, options: dict[str, Any]) -> Prepared:
    import tensorflow as tf

    x, upstream = tf.constant(given), tf.constant(task.upstream)
    jit = all(layer.supports_jit for layer in model._flatten_layers())  # fit's jit_compile="auto"

    @tf.function(jit_compile=jit)
    def forward(x: Any) -> Any:
        return (model(x, **options),)

    @tf.function(jit_compile=jit)
    def train(x: Any, upstream: Any) -> Any:
        wanted = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            if not task.case.has_tokens:
                tape.watch(x)
                wanted.insert(0, x)
            outputs = model(x, **options)
        return outputs, tape.gradient(outputs, wanted, output_gradients=upstream)

    if task.case.trains:
        # a table's gradient has only the rows that were read; to be compared, it gets the others
        return Prepared(lambda: train(x, upstream), _named(task.case, tf.convert_to_tensor))
    return Prepared(lambda: forward(x), _named(task.case))


def _jax(task: Task, model: Any, given: np.ndarray, options: dict[str, Any]) -> Prepared:
    import jax

    x, upstream = jax.numpy.asarray(given), jax.numpy.asarray(task.upstream)
    trainable = [variable.value for variable in model.trainable_variables]
    other = [variable.value for variable in model.non_trainable_variables]

    def forward(trainable: Any, x: Any) -> Any:
        return model.stateless_call(trainable, other, x, **options)[0]

    @jax.jit
    def train(trainable: Any, x: Any, upstream: Any) -> Any:
        if task.case.has_tokens:
            outputs, pull = jax.vjp(lambda trainable: forward(trainable, x), trainable)
            return outputs, pull(upstream)[0]
        outputs, pull = jax.vjp(forward, trainable, x)
        of_weights, of_x = pull(upstream)
        return outputs, [of_x, *of_weights]

    if task.case.trains:
        return Prepared(lambda: jax.block_until_ready(train(trainable, x, upstream)), _named(task.case))
    only = jax.jit(forward)
    return Prepared(lambda: (jax.block_until_ready(only(trainable, x)),), _named(task.case))


def _named(case: Case, dense: Callable[[Any], Any] = np.asarray) -> Any:
    def by_name(result: Any) -> Arrays:
        found = {"outputs": np.asarray(result[0])}
        if case.trains:
            source, *columns = (np.asarray(dense(gradient)) for gradient in result[1])
            found |= {case.source: source, **from_columns(case, columns, _ORDER[case.cell])}
        return found

    return by_name
