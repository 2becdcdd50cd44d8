"""A model of `torch.nn` before and after `recurra.accelerate`: milliseconds of a training and inference step.

    python -m benchmarks.accelerate --seconds 60 --out benchmarks/results/accelerate.jsonl

The model is the text classifier of many tutorials: embedding, a bidirectional LSTM or GRU over a packed
batch, a linear layer, Adam. Lengths are drawn once. Both models start from the same weights, are trained in
turns, a step each, and must have equal losses. A row holds the 20th, 50th and 80th percentile of the steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import recurra
from benchmarks.kernels.machine import busy_seconds, commit, cores, versions
from recurra import runtime


class Classifier(nn.Module):
    """Embedding, recurrent layer, linear layer, as a user writes them."""

    def __init__(self, kind: type[nn.RNNBase], features: int, units: int, *, packed: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(10_000, features)
        self.recurrent = kind(features, units, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * units, 2)
        self.packed = packed

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Returns logits (B, 2)."""
        x = self.table(tokens)
        if self.packed:
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, last = self.recurrent(x)
        h = last[0] if isinstance(last, tuple) else last
        return self.head(torch.cat([h[0], h[1]], 1))


def training_step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Callable[[], float]:
    """Returns a function that trains one step and returns the loss."""
    optimizer = torch.optim.Adam(model.parameters())
    labels = batch[0][:, 0] % 2

    def step() -> float:
        model.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(*batch), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def inference_step(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Callable[[], float]:
    """Returns a function that computes the logits and returns their sum."""

    @torch.inference_mode()
    def step() -> float:
        model.eval()
        return model(*batch).sum().item()

    return step


def measure(arguments: argparse.Namespace, case: str, seconds: float) -> dict[str, object]:
    """Runs one case, such as `lstm packed training`, and returns its row."""
    cell, form, mode = case.split()
    B, T = arguments.batch, arguments.steps
    torch.manual_seed(0)
    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
    plain = Classifier(kind, arguments.features, arguments.units, packed=form == "packed")
    models = {"torch": plain, "recurra": recurra.accelerate(copy.deepcopy(plain))}
    lengths = torch.randint(T // 10, T + 1, (B,))
    batch = (torch.randint(1, 10_000, (B, T)), lengths)
    make = training_step if mode == "training" else inference_step
    steps = {name: make(model, batch) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():  # compiles, and allocates
        step()
    busy, end = busy_seconds(), time.monotonic() + seconds
    while time.monotonic() < end or len(times["torch"]) < 3:
        found = {}
        for name, step in steps.items():
            start = time.perf_counter()
            found[name] = step()
            times[name].append(1000 * (time.perf_counter() - start))
        assert abs(found["torch"] - found["recurra"]) < 1e-3, found
    quantiles = {
        name: [round(float(q), 2) for q in np.quantile(each, [0.2, 0.5, 0.8])] for name, each in times.items()
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), "cpu": processor(),
        "cores": cores(), "threads": runtime.use_threads(), "versions": versions(),
        "cell": cell, "form": form, "mode": mode, "B": B, "T": T,
        "mean_length": round(float(lengths.float().mean()), 1),
        "E": arguments.features, "H": arguments.units, "directions": 2, "n": len(times["torch"]),
        "p20_p50_p80_ms": quantiles, "ratio": round(quantiles["torch"][1] / quantiles["recurra"][1], 2),
        "cpu_seconds_of_the_machine": round(busy_seconds() - busy, 1),
    }  # fmt: skip


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


CASES = [
    f"{cell} {form} {mode}"
    for cell in ("lstm", "gru")
    for form in ("packed", "padded")
    for mode in ("training", "inference")
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400, help="the longest text; the shortest has a tenth")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=60, help="for all cases together")
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--out", type=Path, help="a file to which a row a case is appended")
    arguments = parser.parse_args()
    runtime.use_threads()
    for case in arguments.cases:
        row = measure(arguments, case, arguments.seconds / len(arguments.cases))
        print(json.dumps(row), flush=True)
        if arguments.out is not None:
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
