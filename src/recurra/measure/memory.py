"""Why a recurrent network forgets: its gradient by distance, its matrices, a state left alone, its gates.

1. ``|d h_T / d x_t|`` against ``T - t`` (Bengio et al. 1994; Pascanu et al. 2013): ``h_T`` is the state of
   the last layer's forward direction at a text's last step, ``x_t`` the vector of the word at step ``t``,
   and the path between them the whole stack. A logit in place of ``h_T`` would measure the pooling too,
   which may read every state.
2. The spectral radius of each block of the recurrent matrix.
3. What is left of a random state under zero input, with the activation and without.
4. How far the gates stand open. Over ``n`` steps a cell keeps the product of its keeping gates ``f``, so a
   unit's time constant is ``-1 / mean(log f)``.

All in float64 on the plain loops, where 1e-100 is a number like any other, and without dropout.
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
from recurra.layers import Recurrent

__all__ = ["Carry", "Curve", "Gate", "Gradient", "Memory", "Part", "measure"]

OPEN, SHUT = 0.9, 0.1
_LARGEST = 1e150  # stands for a gradient whose square is beyond any number
_PROBES = 8  # random directions a text; with the median over 32 texts the error is a few percent
_STATES = 32  # random states that are left alone
_BATCH = 16  # texts whose graph is held at a time: 200 MB for 500 steps of an LSTM of 100 units


class Gradient(BaseModel):
    """``|d h_T / d x_t|`` (Frobenius) relative to ``t = T``, by the distance 0, 1, ... ``steps``.

    ``half`` and ``thousandth`` are the distances from which on the median stays at or below that share,
    None where it doesn't within the steps measured. ``at_zero`` is the median norm at distance 0.
    """

    texts: int
    at_zero: float
    median: list[float]
    low: list[float]
    high: list[float]
    half: int | None
    thousandth: int | None


class Curve(BaseModel):
    """A random state under zero input, by step; medians relative to its norm at step 0.

    ``left`` is the distance to where the zero state is by then (without biases that is the norm itself),
    ``norm`` the norm of ``h``. None where it is beyond the largest number; below 1e-16 ``left`` is rounding.
    """

    left: list[float | None]
    norm: list[float | None]


class Gate(BaseModel):
    """How far a gate stands open, 0 to 1, over all units, steps and texts; ``by_distance`` from the end."""

    name: str
    mean: float
    nearly_open: float
    nearly_shut: float
    by_distance: list[float]


class Carry(BaseModel):
    """What the keeping gate lets through.

    ``typical``, ``mean`` and ``longest`` are time constants in steps: the units' median, mean and largest.
    ``kept`` is the share of a state that its product over the last ``steps`` steps keeps, mean over units,
    median over texts.
    """

    gate: str
    typical: float
    mean: float
    longest: float
    kept: float


class Part(BaseModel):
    """One layer (from 1) in one direction; ``gates`` is empty for cells without gates.

    ``spectral_radius`` is by block of the recurrent matrix (empty where the cell has none), ``eigenvalues``
    are real and imaginary parts.
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
    """All four measurements; ``parts`` in the order of the stack."""

    cell: str
    steps: int
    gradient: Gradient
    parts: list[Part]

    @property
    def last(self) -> Part:
        """The last layer's forward direction, whose gradient was measured."""
        return [part for part in self.parts if part.direction == "forward"][-1]


class _Openness(NamedTuple):
    """The ``g`` gates of one layer and direction on ``B`` texts."""

    names: tuple[str, ...]
    sums: Tensor = torch.empty(0)  # (g, 3) of openness, nearly open, nearly shut
    entries: int = 0  # what the sums are of: units times steps
    by_distance: Tensor = torch.empty(0)  # (g, B, steps + 1), means over units
    logs: Tensor | None = None  # (H,) sums of the keeping gate's logarithm over all steps; None without such
    kept: Tensor | None = None  # (B,)


def measure(stack: Recurrent, texts: Sequence[Tensor], steps: int, *, seed: int = 0) -> Memory:
    """The memory of a stack on texts.

    Args:
        stack: recurrent layers of any cell; they are not changed.
        texts: ``N`` tensors ``(T, E)``, the vectors of a text's words, each with more than ``steps`` steps.
        steps: how far back to look, 1 or more.
        seed: of the random directions and states.

    Raises:
        ValueError: there is no text, or one is too short.
    """
    if steps < 1 or not texts or min(map(len, texts)) <= steps:
        raise ValueError(f"there must be texts, all of more than {steps} steps")
    draws = torch.Generator().manual_seed(seed)
    ordered = sorted(texts, key=len)
    norms: list[Tensor] = []
    batches: list[list[_Openness]] = []
    with torch.random.fork_rng(devices=[]):  # each layer draws first weights, which are overwritten
        layers = [_alone(stack, depth, stack.suffixes(depth)) for depth in range(stack.layers)]
        for start in range(0, len(ordered), _BATCH):
            found, openness = _read(layers, ordered[start : start + _BATCH], steps, draws)
            norms.append(found)
            batches.append(openness)
        parts = [
            _part(stack, depth, suffix, steps, draws)
            for depth in range(stack.layers)
            for suffix in stack.suffixes(depth)
        ]
    for part, gates in zip(parts, zip(*batches, strict=True), strict=True):
        part.gates, part.carry = _gates(stack.spec, gates)
    return Memory(cell=stack.cell, steps=steps, gradient=_gradient(torch.cat(norms).numpy()), parts=parts)


def _alone(stack: Recurrent, depth: int, suffixes: Sequence[str], *, linear: bool = False) -> Recurrent:
    """One layer of the stack by itself, in float64; a backward direction alone becomes a forward one."""
    weights = [stack.weights(suffix) for suffix in suffixes]
    layer = Recurrent(
        stack.input_size if depth == 0 else stack.directions * stack.units[depth - 1],
        stack.units[depth],
        cell=stack.cell,
        bidirectional=len(suffixes) == 2,
        activation=_identity if linear else stack.activations[depth],
        backend="reference",
    ).double()
    for suffix, theirs in zip(layer.suffixes(0), weights, strict=True):
        for name, value in theirs.items():
            layer.get_parameter(f"{name}_{suffix}").data.copy_(value)
    return layer.eval().requires_grad_(False)


def _identity(x: Tensor) -> Tensor:
    return x


def _read(
    layers: Sequence[Recurrent], texts: Sequence[Tensor], steps: int, draws: torch.Generator
) -> tuple[Tensor, list[_Openness]]:
    """``(B, steps + 1)`` gradient norms by distance, and the gates of each layer and direction."""
    lengths = torch.tensor([len(text) for text in texts])
    vectors = [text.detach().to("cpu", torch.float64) for text in texts]
    x = torch.nn.utils.rnn.pad_sequence(vectors, batch_first=True).requires_grad_()
    outputs = x
    openness: list[_Openness] = []
    for layer in layers:
        inputs = outputs
        outputs, _ = layer(inputs, lengths)
        openness += _openness(layer, inputs.detach(), lengths, steps)
    B, H = len(texts), layers[-1].units[0]
    last = outputs[torch.arange(B), lengths - 1, :H]
    # For random orthonormal v, H times the mean of |v' J|^2 is |J|^2 in expectation; with H of them, exactly.
    probes = torch.linalg.qr(torch.randn(B, H, min(H, _PROBES), generator=draws, dtype=torch.float64)).Q
    squares = torch.zeros(x.shape[:2], dtype=torch.float64)
    for probe in probes.unbind(2):
        (gradient,) = torch.autograd.grad((last * probe).sum(), x, retain_graph=True)
        squares += gradient.square().sum(2)
    norms = (squares * (H / probes.shape[2])).sqrt().nan_to_num(_LARGEST, _LARGEST)
    return norms.gather(1, _from_end(lengths, steps)), openness


def _from_end(lengths: Tensor, steps: int) -> Tensor:
    """``(B, steps + 1)`` places of the distances 0, 1, ... ``steps`` from each row's last step."""
    return lengths[:, None] - 1 - torch.arange(steps + 1)


def _openness(layer: Recurrent, inputs: Tensor, lengths: Tensor, steps: int) -> list[_Openness]:
    """The gates of a layer in each direction."""
    B, T = inputs.shape[:2]
    inside = torch.arange(T) < lengths[:, None]
    places = _from_end(lengths, steps)
    rows = torch.arange(B)[:, None]
    found = []
    for sums in layer.gate_sums(inputs, lengths):
        names = tuple(sums)
        if not names:
            found.append(_Openness(names))
            continue
        logs = functional.logsigmoid(torch.stack(list(sums.values()), dim=2))  # (B, T, g, H)
        gates = logs.exp()
        real = gates[inside]  # (steps of all texts, g, H)
        gate = layer.spec.keeps
        kept = logs[:, :, names.index(gate)] if gate in names else None
        found.append(
            _Openness(
                names,
                torch.stack(
                    [part.sum((0, 2)) for part in (real, 1.0 * (real > OPEN), 1.0 * (real < SHUT))], 1
                ),
                real[:, 0].numel(),
                gates.mean(3)[rows, places].permute(2, 0, 1),
                None if kept is None else kept[inside].sum(0),
                # distance 0 is the last step, whose gate acts on the state before it
                None if kept is None else kept[rows, places[:, :-1]].sum(1).exp().mean(1),
            )
        )
    return found


def _gates(spec: CellSpec, batches: Sequence[_Openness]) -> tuple[list[Gate], Carry | None]:
    """The gates of one layer and direction over all batches."""
    names = batches[0].names
    if not names:
        return [], None
    count = sum(batch.entries for batch in batches)
    shares = torch.stack([batch.sums for batch in batches]).sum(0) / count
    by_distance = torch.cat([batch.by_distance for batch in batches], 1).mean(1)
    gates = [
        Gate(name=name, mean=mean, nearly_open=opened, nearly_shut=shut, by_distance=line)
        for name, (mean, opened, shut), line in zip(names, shares.tolist(), by_distance.tolist(), strict=True)
    ]
    parts = [(batch.logs, batch.kept) for batch in batches if batch.logs is not None]
    if spec.keeps is None or not parts:
        return gates, None
    logs = torch.stack([part for part, _ in parts]).sum(0)
    steps = count / len(logs)
    # a gate that never closes at all would keep for ever, which no JSON number says
    constants = steps / (-logs).clamp(min=1e-12 * steps)
    carry = Carry(
        gate=spec.keeps,
        typical=float(constants.quantile(0.5)),
        mean=float(constants.mean()),
        longest=float(constants.max()),
        kept=float(torch.cat([kept for _, kept in parts if kept is not None]).quantile(0.5)),
    )
    return gates, carry


def _gradient(norms: NDArray[np.float64]) -> Gradient:
    """``(N, steps + 1)`` norms, relative to each text's own at distance 0 and summed up over texts."""
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
    """The first place from which on the curve is at ``share`` or below it."""
    above = np.flatnonzero(curve > share)
    place = int(above[-1]) + 1 if len(above) else 0
    return place if place < len(curve) else None


def _part(stack: Recurrent, depth: int, suffix: str, steps: int, draws: torch.Generator) -> Part:
    """One layer and direction without its gates: its matrix, and what it does with a state left alone."""
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
        with_activation=_left_alone(_alone(stack, depth, [suffix]), state, steps),
        linear=_left_alone(_alone(stack, depth, [suffix], linear=True), state, steps),
        gates=[],
        carry=None,
    )


def _left_alone(layer: Recurrent, state: tuple[Tensor, ...], steps: int) -> Curve:
    """What ``steps`` steps of zero input leave of random states, beside what they make of zero states."""
    silence = torch.zeros(_STATES, steps, layer.input_size, dtype=torch.float64)
    from_state, _ = layer(silence, state=(state,))
    from_zero, _ = layer(silence[:1])
    whole = state[0].norm(dim=1)[:, None]

    def curve(difference: Tensor) -> list[float | None]:
        medians = (difference.norm(dim=2) / whole).nan_to_num(torch.inf).quantile(0.5, dim=0)
        return [1.0, *(value if np.isfinite(value) else None for value in medians.tolist())]

    return Curve(left=curve(from_state - from_zero), norm=curve(from_state))
