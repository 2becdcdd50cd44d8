"""The memory of a recurrent network: gradient by distance, recurrent matrices, free states, gates.

1. ``|d h_T / d x_t|`` against ``T - t`` (Bengio et al. 1994; Pascanu et al. 2013): ``h_T`` is the state of
   the forward direction of the last layer at the last step of a text, ``x_t`` is the vector of the word at
   step ``t``, and the path between them is the whole stack. The gradient of a logit would also depend on the
   pooling, which may read every state.
2. The spectral radius of each block of the recurrent matrix.
3. What is left of a random state with zero input, with the activation and without it.
4. The opening of the gates. Over ``n`` steps a cell keeps the product of its keeping gates ``f``, so the time
   constant of a unit is ``-1 / mean(log f)``.

All measurements are in float64 with the reference loops, which represent values such as 1e-100, and without
dropout.
Dimensions: ``N`` texts, ``B`` of them at a time, ``T`` time, ``E`` input features, ``H`` hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn import functional

from recurra.cells.spec import CellSpec
from recurra.generators import initial_weights
from recurra.layers import Recurrent

__all__ = ["Carry", "Curve", "Gate", "Gradient", "Memory", "Part", "measure"]

OPEN, SHUT = 0.9, 0.1
_LARGEST = 1e150  # in place of a gradient whose square would overflow
_PROBES = 8  # random directions per text; the error of a median over 32 texts is then a few percent
_STATES = 32  # random initial states
_BATCH = 16  # texts whose graph is in memory at a time: 200 MB for 500 steps of an LSTM of 100 units


class Gradient(BaseModel):
    """The Frobenius norm of ``d h_T / d x_t`` relative to that at ``t = T``, by distance 0, 1, ... ``steps``.

    Attributes:
        texts: Number of texts.
        at_zero: Median norm at distance 0.
        median: Median over texts for each distance.
        low: Lower quartile.
        high: Upper quartile.
        half: Distance from which on the median is at most a half; None if there is none.
        thousandth: Distance from which on the median is at most a thousandth; None if there is none.
    """

    texts: int
    at_zero: float
    median: list[float]
    low: list[float]
    high: list[float]
    half: int | None
    thousandth: int | None


class Curve(BaseModel):
    """A random state with zero input, by step: medians relative to its norm at step 0.

    Attributes:
        left: Distance from the state that starts at zero (without biases, the norm itself). None on overflow;
            values below 1e-16 are rounding errors.
        norm: Norm of ``h``; None on overflow.
    """

    left: list[float | None]
    norm: list[float | None]


class Gate(BaseModel):
    """The opening of a gate, from 0 to 1, over all units, steps and texts.

    Attributes:
        name: Name of the gate.
        mean: Mean opening.
        nearly_open: Share of openings above 0.9.
        nearly_shut: Share of openings below 0.1.
        by_distance: Mean opening by distance from the end of the text.
    """

    name: str
    mean: float
    nearly_open: float
    nearly_shut: float
    by_distance: list[float]


class Carry(BaseModel):
    """What the gate that keeps the state lets through.

    Attributes:
        gate: Name of the gate.
        typical: Median time constant of the units, in steps.
        mean: Mean time constant.
        longest: Largest time constant.
        kept: Product of the gate over the last ``steps`` steps: mean over units, median over texts.
    """

    gate: str
    typical: float
    mean: float
    longest: float
    kept: float


class Part(BaseModel):
    """One direction of one layer.

    Attributes:
        layer: Number of the layer, from 1.
        direction: ``forward`` or ``backward``.
        activation: Name of the activation.
        spectral_radius: Spectral radius of each block of the recurrent matrix; empty without such a matrix.
        eigenvalues: Real and imaginary parts of the eigenvalues of each block.
        with_activation: A free state with the activation.
        linear: A free state without it.
        gates: The gates; empty for cells without gates.
        carry: The gate that keeps the state; None without such a gate.
    """

    layer: int
    direction: Literal["forward", "backward"]
    activation: str
    spectral_radius: dict[str, float]
    eigenvalues: dict[str, list[tuple[float, float]]] = Field(exclude=True)
    with_activation: Curve
    linear: Curve
    gates: list[Gate]
    carry: Carry | None


class Memory(BaseModel):
    """All measurements; ``parts`` are in the order of the stack."""

    cell: str
    steps: int
    gradient: Gradient
    parts: list[Part]

    @property
    def last(self) -> Part:
        """The forward direction of the last layer, whose gradient was measured."""
        return [part for part in self.parts if part.direction == "forward"][-1]


class _Openness(NamedTuple):
    """The ``g`` gates of one layer and direction on ``B`` texts."""

    names: tuple[str, ...]
    sums: Tensor  # (g, 3) of openness, nearly open, nearly shut
    entries: int  # number of summands: units times steps
    by_distance: Tensor  # (g, B, steps + 1), means over units
    # sums of the logarithm of the keeping gate (H,), and its product by text (B,); None without such a gate
    kept: tuple[Tensor, Tensor] | None


def measure(stack: Recurrent, texts: Sequence[Tensor], steps: int) -> Memory:
    """Measures the memory of recurrent layers on texts.

    Args:
        stack: Recurrent layers with any cell; they are not changed.
        texts: Word vectors of ``N`` texts, each of shape ``(T, E)`` with ``T`` above ``steps``.
        steps: Largest distance to measure, at least 1.

    Raises:
        ValueError: If there is no text, or a text is too short.
    """
    if steps < 1 or not texts or min(map(len, texts)) <= steps:
        raise ValueError(f"texts of more than {steps} steps are needed")
    draws = torch.Generator().manual_seed(0)  # of the random directions and states
    ordered = sorted(texts, key=len)
    norms: list[Tensor] = []
    batches: list[list[_Openness | None]] = []
    with initial_weights(0):  # of new layers, which are overwritten
        layers = [_single(stack, depth, stack.suffixes(depth)) for depth in range(stack.layers)]
        for start in range(0, len(ordered), _BATCH):
            batch_norms, openness = _read(layers, ordered[start : start + _BATCH], steps, draws)
            norms.append(batch_norms)
            batches.append(openness)
        parts = [
            _part(stack, depth, suffix, steps, draws)
            for depth in range(stack.layers)
            for suffix in stack.suffixes(depth)
        ]
    for part, gates in zip(parts, zip(*batches, strict=True), strict=True):
        part.gates, part.carry = _gates(stack.spec, [gate for gate in gates if gate is not None])
    return Memory(cell=stack.cell, steps=steps, gradient=_gradient(torch.cat(norms).numpy()), parts=parts)


def _single(stack: Recurrent, depth: int, suffixes: Sequence[str], *, linear: bool = False) -> Recurrent:
    """A copy of one layer of the stack in float64; a single backward direction becomes a forward one."""
    weights = [stack.weights(suffix) for suffix in suffixes]
    layer = Recurrent(
        stack.input_size_of(depth),
        stack.units[depth],
        cell=stack.cell,
        bidirectional=len(suffixes) == 2,
        merge_mode=stack.merge_mode,
        activation=_identity if linear else stack.activations[depth],
        backend="reference",
    ).double()
    for suffix, parameters in zip(layer.suffixes(0), weights, strict=True):
        for name, value in parameters.items():
            layer.get_parameter(f"{name}_{suffix}").data.copy_(value)
    return layer.eval().requires_grad_(False)


def _identity(x: Tensor) -> Tensor:
    return x


def _read(
    layers: Sequence[Recurrent], texts: Sequence[Tensor], steps: int, draws: torch.Generator
) -> tuple[Tensor, list[_Openness | None]]:
    """Gradient norms by distance, of shape ``(B, steps + 1)``, and the gates of each layer and direction."""
    lengths = torch.tensor([len(text) for text in texts])
    vectors = [text.detach().to("cpu", torch.float64) for text in texts]
    x = torch.nn.utils.rnn.pad_sequence(vectors, batch_first=True).requires_grad_()
    outputs = x
    openness: list[_Openness | None] = []
    for layer in layers:
        inputs = outputs
        outputs, _ = layer(inputs, lengths)
        openness += _openness(layer, inputs.detach(), lengths, steps)
    B, H = len(texts), layers[-1].units[0]
    last = outputs[torch.arange(B), lengths - 1, :H]
    # For random orthonormal v, H times the mean of |v' J|^2 is |J|^2 in expectation (exactly for H of them).
    probes = torch.linalg.qr(torch.randn(B, H, min(H, _PROBES), generator=draws, dtype=torch.float64)).Q
    squares = torch.zeros(x.shape[:2], dtype=torch.float64)
    for probe in probes.unbind(2):
        (gradient,) = torch.autograd.grad((last * probe).sum(), x, retain_graph=True)
        squares += gradient.square().sum(2)
    norms = (squares * (H / probes.shape[2])).sqrt().nan_to_num(_LARGEST, _LARGEST)
    return norms.gather(1, _from_end(lengths, steps)), openness


def _from_end(lengths: Tensor, steps: int) -> Tensor:
    """The time steps at distance 0, 1, ... ``steps`` from the last step of each row, ``(B, steps + 1)``."""
    return lengths[:, None] - 1 - torch.arange(steps + 1)


def _openness(layer: Recurrent, inputs: Tensor, lengths: Tensor, steps: int) -> list[_Openness | None]:
    """The gates of a layer in each direction; None for cells without gates."""
    B, T = inputs.shape[:2]
    inside = torch.arange(T) < lengths[:, None]
    at = _from_end(lengths, steps)
    rows = torch.arange(B)[:, None]
    openness: list[_Openness | None] = []
    for sums in layer.gate_sums(inputs, lengths):
        if not sums:
            openness.append(None)
            continue
        names = tuple(sums)
        logs = functional.logsigmoid(torch.stack(list(sums.values()), dim=2))  # (B, T, g, H)
        gates = logs.exp()
        real = gates[inside]  # (steps of all texts, g, H)
        shares = [part.sum((0, 2)) for part in (real, 1.0 * (real > OPEN), 1.0 * (real < SHUT))]
        kept = None
        if layer.spec.keeps in names:
            log = logs[:, :, names.index(layer.spec.keeps)]
            # distance 0 is the last step, whose gate acts on the state before it
            kept = log[inside].sum(0), log[rows, at[:, :-1]].sum(1).exp().mean(1)
        by_distance = gates.mean(3)[rows, at].permute(2, 0, 1)
        openness.append(_Openness(names, torch.stack(shares, 1), real[:, 0].numel(), by_distance, kept))
    return openness


def _gates(spec: CellSpec, batches: Sequence[_Openness]) -> tuple[list[Gate], Carry | None]:
    """The gates of one layer and direction over all batches, of which there may be none."""
    if not batches:
        return [], None
    count = sum(batch.entries for batch in batches)
    shares = torch.stack([batch.sums for batch in batches]).sum(0) / count
    by_distance = torch.cat([batch.by_distance for batch in batches], 1).mean(1)
    gates = [
        Gate(name=name, mean=mean, nearly_open=opened, nearly_shut=shut, by_distance=line)
        for name, (mean, opened, shut), line in zip(
            batches[0].names, shares.tolist(), by_distance.tolist(), strict=True
        )
    ]
    kept = [batch.kept for batch in batches if batch.kept is not None]
    if spec.keeps is None or not kept:
        return gates, None
    logs = torch.stack([log for log, _ in kept]).sum(0)
    steps = count / len(logs)
    # a gate that is always open has an infinite time constant, which JSON cannot represent
    constants = steps / (-logs).clamp(min=1e-12 * steps)
    carry = Carry(
        gate=spec.keeps,
        typical=float(constants.quantile(0.5)),
        mean=float(constants.mean()),
        longest=float(constants.max()),
        kept=float(torch.cat([product for _, product in kept]).quantile(0.5)),
    )
    return gates, carry


def _gradient(norms: NDArray[np.float64]) -> Gradient:
    """Quantiles over texts of norms of shape ``(N, steps + 1)`` relative to those at distance 0."""
    first = norms[:, :1]
    relative = np.divide(norms, first, out=np.zeros_like(norms), where=first > 0)
    low, median, high = np.quantile(relative, [0.25, 0.5, 0.75], axis=0)
    return Gradient(
        texts=len(norms),
        at_zero=float(np.median(first)),
        median=median.tolist(),
        low=low.tolist(),
        high=high.tolist(),
        half=_stays_below(median, 0.5),
        thousandth=_stays_below(median, 1e-3),
    )


def _stays_below(curve: NDArray[np.float64], share: float) -> int | None:
    """The first index from which on the curve is at most ``share``; None if there is none."""
    above = np.flatnonzero(curve > share)
    index = int(above[-1]) + 1 if len(above) else 0
    return index if index < len(curve) else None


def _part(stack: Recurrent, depth: int, suffix: str, steps: int, draws: torch.Generator) -> Part:
    """One direction of one layer without its gates: the recurrent matrix and the free state."""
    activation = stack.activations[depth]
    blocks = stack.spec.recurrent_blocks(stack.weights(suffix))
    values = {name: torch.linalg.eigvals(block.detach().double().cpu()) for name, block in blocks.items()}
    H, parts = stack.units[depth], len(stack.spec.state)
    state = tuple(2 * torch.rand(parts, _STATES, H, generator=draws, dtype=torch.float64) - 1)
    return Part(
        layer=depth + 1,
        direction="backward" if suffix.endswith("_reverse") else "forward",
        activation=activation
        if isinstance(activation, str)
        else getattr(activation, "__name__", "activation"),
        spectral_radius={name: float(value.abs().max()) for name, value in values.items()},
        eigenvalues={name: torch.view_as_real(value).tolist() for name, value in values.items()},
        with_activation=_free_state(_single(stack, depth, [suffix]), state, steps),
        linear=_free_state(_single(stack, depth, [suffix], linear=True), state, steps),
        gates=[],
        carry=None,
    )


def _free_state(layer: Recurrent, state: tuple[Tensor, ...], steps: int) -> Curve:
    """Random states after ``steps`` steps of zero input, compared with states that start at zero."""
    zeros = torch.zeros(_STATES, steps, layer.input_size, dtype=torch.float64)
    from_state, _ = layer(zeros, state=(state,))
    from_zero, _ = layer(zeros[:1])
    initial = state[0].norm(dim=1)[:, None]

    def curve(difference: Tensor) -> list[float | None]:
        medians = (difference.norm(dim=2) / initial).nan_to_num(torch.inf).quantile(0.5, dim=0)
        return [1.0, *(value if np.isfinite(value) else None for value in medians.tolist())]

    return Curve(left=curve(from_state - from_zero), norm=curve(from_state))
