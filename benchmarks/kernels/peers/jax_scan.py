"""JAX: ``lax.scan`` over steps whose input product is taken at once, compiled, gradients by ``vjp``.

With tokens, the input is the rows ``table[index]``, whose gradient is added up in the table's.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.kernels.grid import CELLS, Case
from benchmarks.kernels.peers.terms import Arrays, Prepared, Task
from benchmarks.kernels.weights import from_columns, to_columns

Carry = tuple[Array, ...]


def simple_rnn(inputs: Array, entering: Array, carry: Carry, recurrent: Array, _: Array) -> Carry:
    return (jnp.tanh(inputs + entering @ recurrent),)


def lstm(inputs: Array, entering: Array, carry: Carry, recurrent: Array, _: Array) -> Carry:
    i, f, g, o = jnp.split(inputs + entering @ recurrent, 4, axis=1)
    c = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru(inputs: Array, entering: Array, carry: Carry, recurrent: Array, bias: Array) -> Carry:
    r, z, n = jnp.split(inputs, 3, axis=1)
    r_h, z_h, n_h = jnp.split(entering @ recurrent + bias, 3, axis=1)
    z = jax.nn.sigmoid(z + z_h)
    return ((1 - z) * jnp.tanh(n + jax.nn.sigmoid(r + r_h) * n_h) + z * carry[0],)


_STEPS = {"simple_rnn": simple_rnn, "lstm": lstm, "gru": gru}


def _layer(
    case: Case, columns: list[Array], x: Array, mask: Array | None, alive: Array | None, reverse: bool
) -> Array:
    kernel, recurrent, bias = columns
    bias_ih, bias_hh = bias if case.cell == "gru" else (bias, bias)

    def step(carry: Carry, given: tuple[Array, Array | None]) -> tuple[Carry, Array]:
        inputs, here = given
        entering = carry[0] if mask is None else carry[0] * mask
        new = _STEPS[case.cell](inputs, entering, carry, recurrent, bias_hh)
        if here is not None:
            new = tuple(jnp.where(here, now, before) for now, before in zip(new, carry, strict=True))
        return new, new[0]

    zeros = jnp.zeros((x.shape[1], case.H), x.dtype)
    start = (zeros, zeros) if case.cell == "lstm" else (zeros,)
    return lax.scan(step, start, (x @ kernel + bias_ih, alive), reverse=reverse)[1]


def prepare(task: Task) -> Prepared:
    case = task.case
    order = tuple(range(CELLS[case.cell]))
    steps = np.arange(case.T)[:, None, None]
    alive = jnp.asarray(steps < task.lengths[:, None]) if case.has_lengths else None
    mask = jnp.asarray(task.mask) if case.has_mask else None

    def run(columns: list[Array], source: Array, index: Array | None) -> Array:
        x = source if index is None else source[index]
        for layer in range(case.layers):
            joined = []
            for reverse in range(case.directions):
                first = 3 * (layer * case.directions + reverse)
                joined.append(_layer(case, columns[first : first + 3], x, mask, alive, bool(reverse)))
            x = jnp.concatenate(joined, axis=2) if len(joined) > 1 else joined[0]
        return x

    def train(columns: list[Array], source: Array, index: Array | None, upstream: Array) -> tuple[Array, Any]:
        outputs, pull = jax.vjp(lambda *given: run(*given, index), columns, source)
        return outputs, pull(upstream)

    columns = [jnp.asarray(array) for array in to_columns(case, task.weights, order)]
    x, upstream, index = (_time_first(array) for array in (task.x, task.upstream, task.index))
    given = (columns, jnp.asarray(task.table), index) if case.has_tokens else (columns, x, None)
    if case.trains:
        compiled = jax.jit(train).lower(*given, upstream).compile()
        return Prepared(lambda: jax.block_until_ready(compiled(*given, upstream)), named(case, order))
    only = jax.jit(run).lower(*given).compile()
    return Prepared(lambda: (jax.block_until_ready(only(*given)),), named(case, order))


def _time_first(array: np.ndarray) -> Array:
    return jnp.asarray(np.ascontiguousarray(array.swapaxes(0, 1)))


def named(case: Case, order: tuple[int, ...]) -> Any:
    def by_name(result: Any) -> Arrays:
        found = {"outputs": np.asarray(result[0]).swapaxes(0, 1)}
        if case.trains:
            columns, source = result[1]
            found |= from_columns(case, [np.asarray(column) for column in columns], order)
            found[case.source] = np.asarray(source) if case.has_tokens else np.asarray(source).swapaxes(0, 1)
        return found

    return by_name
