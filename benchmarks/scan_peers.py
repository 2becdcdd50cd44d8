"""Training steps of the cells without a recurrent matrix beside plain PyTorch code of the papers' equations.

    python benchmarks/scan_peers.py                    # B 64, T 500, E 32, H 100
    python benchmarks/scan_peers.py --steps 100 --cells min_gru,qrnn

Three ways compute the same layer with the same weights: recurra's kernel; a loop over time; and for minGRU
and minLSTM the parallel scan in log space of Feng et al. 2024 (appendix B, whose candidate is positive).
Their outputs and gradients are compared before anything is timed. The ways take turns; the time is the median
of a forward and a backward pass of a dense input; "tokens" is recurra's layer on tokens of an embedding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

from recurra.runtime import let_idle_threads_sleep

let_idle_threads_sleep()  # before torch is imported

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn.functional import linear, pad, softplus  # noqa: E402

from recurra.cells.sru import ALPHA  # noqa: E402
from recurra.layers import Embedding, Recurrent  # noqa: E402

CELLS = ("min_gru", "min_lstm", "sru", "qrnn1", "qrnn")
TOLERANCE = 2e-4
"""Of the largest value: the scan in log space rounds sums of hundreds of logarithms."""


def positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def log_positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, (torch.relu(x) + 0.5).log(), -softplus(-x))


def scan_loop(a: Tensor, b: Tensor) -> Tensor:
    """``h = a h + b`` over the steps of ``(B, T, H)``, from zero."""
    h, states = torch.zeros_like(a[:, 0]), []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, dim=1)


def log_scan(log_a: Tensor, log_b: Tensor) -> Tensor:
    """The same in parallel, from logarithms."""
    total = log_a.cumsum(1)
    return (total + (log_b - total).logcumsumexp(1)).exp()


def min_gru(x: Tensor, w: dict[str, Tensor], *, parallel: bool) -> Tensor:
    z, n = linear(x, w["weight_ih"], w["bias_ih"]).chunk(2, dim=2)
    if parallel:
        return log_scan(-softplus(z), -softplus(-z) + log_positive(n))
    return scan_loop(torch.sigmoid(-z), torch.sigmoid(z) * positive(n))


def min_lstm(x: Tensor, w: dict[str, Tensor], *, parallel: bool) -> Tensor:
    f, i, n = linear(x, w["weight_ih"], w["bias_ih"]).chunk(3, dim=2)
    difference = softplus(-f) - softplus(-i)
    if parallel:
        return log_scan(-softplus(difference), -softplus(-difference) + log_positive(n))
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    return scan_loop(f / (f + i), i / (f + i) * positive(n))


def sru(x: Tensor, w: dict[str, Tensor], *, parallel: bool) -> Tensor:
    n, f, r = linear(x, w["weight_ih"], pad(w["bias_ih"], (len(w["bias_ih"]) // 2, 0))).chunk(3, dim=2)
    highway = linear(x, w["weight_highway"]) if "weight_highway" in w else x
    v_f, v_r = w["weight_c"].chunk(2)
    c, outputs = torch.zeros_like(n[:, 0]), []
    for n_t, f_t, r_t, x_t in zip(*(part.unbind(1) for part in (n, f, r, highway)), strict=True):
        forget, reset = torch.sigmoid(f_t + v_f * c), torch.sigmoid(r_t + v_r * c)
        c = forget * c + (1 - forget) * n_t
        outputs.append(reset * c + (1 - reset) * ALPHA * x_t)
    return torch.stack(outputs, dim=1)


def qrnn(x: Tensor, w: dict[str, Tensor], *, parallel: bool) -> Tensor:
    sums = linear(x, w["weight_ih"], w["bias_ih"])
    if "weight_last" in w:
        sums = sums + linear(pad(x, (0, 0, 1, 0))[:, :-1], w["weight_last"])
    n, f, o = sums.chunk(3, dim=2)
    f = torch.sigmoid(f)
    return torch.sigmoid(o) * scan_loop(f, (1 - f) * torch.tanh(n))


PLAIN: dict[str, Callable[..., Tensor]] = {
    "min_gru": min_gru, "min_lstm": min_lstm, "sru": sru, "qrnn1": qrnn, "qrnn": qrnn,
}  # fmt: skip
PARALLEL = ("min_gru", "min_lstm")


def layer_of(cell: str, E: int, H: int) -> Recurrent:
    return Recurrent(E, H, cell=cell, return_state=False, initial_weights="torch", backend="cpu")


def ways_of(layer: Recurrent) -> dict[str, Callable[[Tensor], Tensor]]:
    """The ways that compute the layer, by name."""
    plain, weights = PLAIN[layer.cell], dict(layer.weights("l0"))
    ways: dict[str, Callable[[Tensor], Tensor]] = {"recurra": layer}
    ways["loop"] = lambda x: plain(x, weights, parallel=False)
    if layer.cell in PARALLEL:
        ways["log scan"] = lambda x: plain(x, weights, parallel=True)
    return ways


def check(layer: Recurrent, ways: dict[str, Callable[[Tensor], Tensor]], x: Tensor) -> None:
    """Compares outputs and gradients of all ways.

    Raises:
        AssertionError: they differ.
    """
    tensors = [x.detach().requires_grad_(), *layer.parameters()]
    upstream = torch.randn(*x.shape[:2], layer.output_size)
    found = {}
    for name, way in ways.items():
        outputs = way(tensors[0])
        found[name] = [outputs.detach(), *torch.autograd.grad(outputs, tensors, upstream)]
    for name, values in found.items():
        for value, expected in zip(values, found["recurra"], strict=True):
            scale = float(expected.abs().max())
            torch.testing.assert_close(value, expected, rtol=0, atol=TOLERANCE * scale, msg=name)


def step(way: Callable[..., Tensor], x: object, tensors: list[Tensor]) -> None:
    torch.autograd.grad(way(x).sum(), tensors)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--units", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    B, T, E, H = arguments.batch, arguments.steps, arguments.features, arguments.units
    torch.manual_seed(0)
    x = torch.randn(B, T, E, requires_grad=True)
    table = Embedding(10_000, E)
    # frequencies of words are about those of Zipf's law
    tokens = torch.multinomial(1 / torch.arange(1, 10_000).float(), B * T, True).view(B, T) + 1
    runs: dict[tuple[str, str], Callable[[], None]] = {}
    for cell in ("lstm", *arguments.cells.split(",")):
        layer = layer_of(cell, E, H)
        parameters = list(layer.parameters())
        ways = ways_of(layer) if cell in PLAIN else {"recurra": layer}
        if cell in PLAIN:
            check(layer, ways, x[:7, :60])
        for name, way in ways.items():
            runs[cell, name] = lambda way=way, p=parameters: step(way, x, [x, *p])
        runs[cell, "tokens"] = lambda way=layer, p=parameters: step(
            lambda each: way(table.lookup(each)), tokens, [table.weight, *p]
        )
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for number in range(arguments.rounds + 1):
        for key, run in runs.items():
            begun = time.perf_counter()
            run()
            if number:  # the first round compiles
                seconds[key].append(time.perf_counter() - begun)
    print(f"B {B}, T {T}, E {E}, H {H}, {torch.get_num_threads()} threads")
    print("ms of a training step, and recurra's LSTM divided by it")
    for (cell, name), measured in seconds.items():
        against = median(seconds["lstm", "tokens" if name == "tokens" else "recurra"])
        print(f"{cell:9} {name:9} {1000 * median(measured):8.1f} {against / median(measured):6.2f}")


if __name__ == "__main__":
    main()
