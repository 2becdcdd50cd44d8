"""Seconds, peak memory and silence of each phase of `recurra fit` and `recurra data check`.

    python -m benchmarks.phases fit TRAIN [--test TEST] [--minutes 10] [--no-baseline] [--set KEY=VALUE]
    python -m benchmarks.phases check TRAIN [--test TEST]

A silence is a time without any sign of progress: no step, fact, row counted or batch. Silences of more than a
second are listed with what came before and after them. The cache of token ids is an empty folder unless
RECURRA_CACHE names another.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recurra.runtime import peak_memory
from recurra.tasks.reporter import Reporter, Tick
from recurra.train.observer import Observer

SILENCE = 1.0


class Phases(Reporter):
    """Prints each phase when it ends, and keeps the silences."""

    def __init__(self) -> None:
        self.begun = self.last = self.since = time.monotonic()
        self.before = self.phase = "start"
        self.silences: list[tuple[float, str, str]] = []
        self.ended: list[dict[str, Any]] = []
        self.cpu = time.process_time()

    def sign(self, what: str) -> None:
        """Notes a sign of progress."""
        now = time.monotonic()
        if now - self.last > SILENCE:
            self.silences.append((now - self.last, self.before, what))
        self.last, self.before = now, what

    def end(self, phase: str) -> None:
        """Prints the phase that ends, and begins another."""
        now, cpu = time.monotonic(), time.process_time()
        if now - self.since > 0.5:
            memory = (peak_memory() or 0) / 1e6
            seconds = {"wall": round(now - self.since, 1), "cpu": round(cpu - self.cpu, 1)}
            self.ended.append({"phase": self.phase, **seconds, "peak_mb": round(memory)})
            print(
                f"{now - self.begun:7.1f} s  {now - self.since:6.1f} s wall {cpu - self.cpu:6.1f} s CPU  "
                f"peak {memory:,.0f} MB  {self.phase}",
                flush=True,
            )
        self.since, self.cpu, self.phase = now, cpu, phase

    def step(self, title: str) -> None:
        self.sign(f"step {title}")
        self.end(f"{title}, uncounted")

    def facts(self, facts: Mapping[str, str]) -> None:
        self.sign(f"facts {', '.join(facts)}")

    def note(self, text: str) -> None:
        self.sign("a note")
        print(f"           {text}", flush=True)

    warn = note

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.sign("a table")

    @contextmanager
    def counting(self, what: str, total: int | None = None) -> Iterator[Tick]:
        former = self.phase
        self.sign(f"begin {what}")
        self.end(what)

        def tick(rows: int) -> None:
            self.sign(what)

        yield tick
        self.sign(f"end {what}")
        self.end(former)

    def observer(self) -> Observer:
        watch = self

        class Batches(Observer):
            def on_batch(self, *arguments: Any) -> None:
                watch.sign("batches")

            def on_epoch(self, record: Any, improved: bool) -> None:
                watch.sign("epoch")
                watch.end("epochs")
                print(f"           {record}", flush=True)

        return Batches()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a fit or a check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["fit", "check"])
    parser.add_argument("train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--no-baseline", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("RECURRA_CACHE", folder)
        phases = Phases()
        from recurra.tasks.fit import fit_files
        from recurra.tasks.registry import task_named
        from recurra.tasks.settings import build_config, parse_assignment, recipe_under

        layers = [parse_assignment(setting) for setting in options.set]
        if options.minutes:
            layers.append({"train": {"minutes": options.minutes}})
        config = build_config(recipe_under(options.recipe, *layers), *layers)
        if options.command == "check":
            check = task_named("classify").check
            assert check is not None
            check(options.train, config, phases, test=options.test)
        else:
            out = Path(folder) / "model"
            baseline = not options.no_baseline
            fitted = fit_files(
                options.train, config, out, test=options.test, baseline=baseline, reporter=phases
            )
            json = fitted.assessment.as_json()
            print({name: round(json["model"][name], 4) for name in ("accuracy", "macro_f1", "log_loss")})
        phases.sign("the end")
        phases.end("")
    print(f"in all {time.monotonic() - phases.begun:.1f} s, peak {(peak_memory() or 0) / 1e6:,.0f} MB")
    for seconds, before, after in sorted(phases.silences, reverse=True):
        print(f"silent for {seconds:.1f} s after {before!r}, before {after!r}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
