"""Profiles an epoch of `recurra fit`: the time of its parts, and the share outside the recurrent kernels.

    export RECURRA_DATA=DATA                                # contains imdb/train.parquet
    python benchmarks/profile_fit.py                        # IMDB, recipe lstm
    python benchmarks/profile_fit.py --recipe gru --rows 5000 --set model.units=64

The parts of a real fit are wrapped, and one stopwatch is switched from part to part, so that the parts add up
to the epoch. In the backward pass, a node of autograd belongs to the part that created it. The recurrent
kernels are measured at the one function through which the layers call them. The first epoch (compilation,
cold caches) is not counted; afterwards epochs with and without the stopwatch alternate, which shows the cost
of the stopwatch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import torch
from epoch import imdb, sampled
from torch import Tensor, nn

from recurra.config import load_recipe, parse_set
from recurra.layers import recurrent
from recurra.runtime import facts, use_threads
from recurra.tasks import fit as fitting
from recurra.tasks import training
from recurra.tasks.settings import build_config
from recurra.train import loop
from recurra.train.objective import Objective, StatelessLoss
from recurra.train.observer import Observer, Observers
from recurra.train.state import EpochRecord

KERNELS = ("recurrent kernels, forward", "recurrent kernels, backward")
PARTS = (
    "batches",
    "embedding",
    *KERNELS,
    "recurrent layer around its kernels",
    "head and loss",
    "autograd's engine",
    "optimizer",
    "clipping",
    "bookkeeping",
)
AFTER = ("validation", "best weights, checkpoint, history")
HIDDEN = "stopwatch"


class Stopwatch:
    """Measures the seconds of each part; ``switch`` ends one part and starts another."""

    def __init__(self) -> None:
        self.running = False
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._part, self._since = "bookkeeping", 0.0
        self._numbers: list[int] = []  # number of autograd's next node at each switch of this step
        self._parts: list[str] = []

    def switch(self, part: str) -> str:
        """Switches to ``part`` and returns the previous part."""
        previous = self._part
        if self.running:
            now = time.perf_counter()
            self.seconds[previous] += now - self._since
            self._part, self._since = part, now
            self._numbers.append(torch.autograd._get_sequence_nr())
            self._parts.append(part)
        return previous

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        previous = self.switch(part)
        try:
            yield
        finally:
            self.switch(previous)

    def wrapped(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            with self.on(part):
                return function(*arguments, **keywords)

        return timed

    def forget_nodes(self) -> None:
        self._numbers.clear()
        self._parts.clear()

    def part_of(self, node: Any) -> str:
        """Returns the part of the backward pass that a node belongs to."""
        number = node._sequence_nr()
        if not self._numbers or number >= self._numbers[-1]:  # the accumulator of a parameter has no number
            return "autograd's engine"
        part = self._parts[max(bisect(self._numbers, number) - 1, 0)]
        return KERNELS[1] if part == KERNELS[0] else part


def backward(watch: Stopwatch, value: Tensor) -> None:
    """Calls ``value.backward()`` and switches the stopwatch from node to node."""
    if not watch.running:
        Tensor.backward(value)
        return
    with watch.on(HIDDEN):
        handles = []
        nodes, seen = [value.grad_fn], {value.grad_fn}
        while nodes:
            node = nodes.pop()
            part = watch.part_of(node)
            handles.append(node.register_prehook(lambda *_, part=part: (watch.switch(part), None)[1]))
            fresh = {after for after, _ in node.next_functions if after is not None} - seen
            seen |= fresh
            nodes += fresh
        previous = watch.switch("autograd's engine")
        Tensor.backward(value)
        watch.switch(previous)
        for handle in handles:
            handle.remove()
        watch.forget_nodes()


class Watched(Observer):
    """Turns the stopwatch on in every second epoch, from the second on, and records the times."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch
        self.with_watch: list[float] = []
        self.without: list[float] = []
        self.tokens_per_second: list[float] = []

    def begin(self, epoch: int) -> None:
        self.watch.forget_nodes()
        self.watch.running = epoch % 2 == 0
        self.watch._since = time.perf_counter()
        self.watch.switch("bookkeeping")

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        self.watch.switch("bookkeeping")
        if self.watch.running:
            self.with_watch.append(record.seconds)
        elif record.epoch > 1:
            self.without.append(record.seconds)
            self.tokens_per_second.append(record.tokens_per_second)
        self.watch.running = False


def train_watched(watch: Stopwatch, watched: Watched) -> Callable[..., loop.Outcome]:
    """Returns the training loop with all its parts wrapped."""

    def train(
        model: nn.Module, batches: Any, objective: Objective, validate: Any, config: Any, **keywords: Any
    ) -> loop.Outcome:
        def epoch(number: int, start: int = 0) -> Iterator[Any]:
            watched.begin(number)
            with watch.on("batches"):
                iterator = iter(batches.epoch(number, start))
            while True:
                with watch.on("batches"):
                    batch = next(iterator, None)
                if batch is None:
                    watch.switch(AFTER[1])
                    return
                yield batch

        class Batches(SimpleNamespace):
            def __len__(self) -> int:
                return len(batches)

        def watched_loss(model: nn.Module, batch: Any) -> Tensor:
            value = timed_loss(model, batch)
            value.backward = lambda: backward(watch, value)  # type: ignore[method-assign]
            return value

        timed_loss = watch.wrapped("head and loss", objective)
        model.forward = watch.wrapped("head and loss", model.forward)
        model.recurrent.forward = watch.wrapped("recurrent layer around its kernels", model.recurrent.forward)
        for name in ("forward", "lookup"):
            if hasattr(model.embedding, name):
                setattr(model.embedding, name, watch.wrapped("embedding", getattr(model.embedding, name)))
        keywords["observer"] = Observers(keywords["observer"], watched)
        check = watch.wrapped("validation", validate)
        return loop.train(model, Batches(epoch=epoch), StatelessLoss(watched_loss), check, config, **keywords)

    return train


def wrap(watch: Stopwatch) -> Watched:
    """Wraps the functions that a fit uses; a missing function is an error."""
    watched = Watched(watch)
    training.train = train_watched(watch, watched)
    entry_points = [
        name
        for name, value in vars(recurrent).items()
        if isinstance(value, FunctionType) and value.__module__.startswith("recurra.kernels")
    ]
    if not entry_points:
        sys.exit("recurra.layers.recurrent no longer calls the kernels through one function")
    for name in entry_points:
        setattr(recurrent, name, watch.wrapped(KERNELS[0], getattr(recurrent, name)))
    make = loop.make_optimizer

    def make_optimizer(*arguments: Any) -> torch.optim.Optimizer:
        optimizer = make(*arguments)
        for name in ("step", "zero_grad"):
            setattr(optimizer, name, watch.wrapped("optimizer", getattr(optimizer, name)))
        return optimizer

    loop.make_optimizer = make_optimizer
    loop.set_learning_rate = watch.wrapped("optimizer", loop.set_learning_rate)
    loop.clip_by_global_norm = watch.wrapped("clipping", loop.clip_by_global_norm)
    loop.Checkpoints.save = watch.wrapped(AFTER[1], loop.Checkpoints.save)
    return watched


def report(watch: Stopwatch, watched: Watched) -> str:
    epochs = len(watched.with_watch)
    seconds = {part: watch.seconds[part] / epochs for part in (*PARTS, *AFTER)}
    training = sum(seconds[part] for part in PARTS)
    whole = training + sum(seconds[part] for part in AFTER)
    kernels = sum(seconds[part] for part in KERNELS)
    if min(seconds[part] for part in KERNELS) == 0:
        sys.exit("a pass of the kernels was not measured: the training loop has changed")
    lines = ["| part of an epoch | seconds | percent of training |", "|---|---|---|"]
    for part in (*PARTS, *AFTER):
        share = f"{100 * seconds[part] / training:.1f}" if part in PARTS else "-"
        lines.append(f"| {part} | {seconds[part]:.3f} | {share} |")
    lines.append(
        f"| **training: outside the recurrent kernels** | **{training - kernels:.3f}** "
        f"| **{100 * (1 - kernels / training):.1f}** |"
    )
    lines.append(f"| training | {training:.3f} | 100 |")
    lines.append(f"| whole epoch | {whole:.3f} | {100 * whole / training:.1f} |")
    plain, timed = statistics.median(watched.without), statistics.median(watched.with_watch)
    rate, overhead = statistics.median(watched.tokens_per_second), watch.seconds[HIDDEN] / epochs
    lines += [
        "",
        f"Training took {plain:.3f} s per epoch without the watch ({rate:,.0f} tokens/s), {timed:.3f} s",
        f"with it, {overhead:.3f} s of it overhead (medians of {len(watched.without)} and {epochs} epochs).",
        f"Of a whole epoch {100 * (1 - kernels / whole):.1f}% is outside the kernels of training.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", default="lstm")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for recurra fit")
    parser.add_argument("--rows", type=int, default=0, help="number of random reviews; default: all")
    parser.add_argument("--epochs", type=int, default=7, help="an odd number, 3 or more")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    options = parser.parse_args()
    if options.epochs < 3 or options.epochs % 2 == 0:
        parser.error("--epochs must be an odd number, 3 or more")
    os.environ["RECURRA_THREADS"] = str(options.threads)
    use_threads()
    limits = {"data": {"group": "movie"}, "train": {"epochs": options.epochs, "patience": options.epochs}}
    config = build_config(load_recipe(options.recipe), limits, *map(parse_set, options.set))
    watch = Stopwatch()
    watched = wrap(watch)
    with tempfile.TemporaryDirectory() as folder:
        data, scale = sampled(imdb() / "train.parquet", options.rows, Path(folder))
        out = Path(folder) / "model"
        fitting.fit_files(data, config, out, baseline=False, explained=0)
    what = f"`{options.recipe}`" + "".join(f", {setting}" for setting in options.set)
    sample = "" if scale == 1 else f", {options.rows:,} reviews"
    print(
        f"{what}{sample}, {options.threads} threads on {facts()['cores']} cores of {facts()['cpu']}, "
        f"torch {facts()['torch']}\n\n{report(watch, watched)}"
    )


if __name__ == "__main__":
    main()
