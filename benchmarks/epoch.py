"""Compares `recurra fit` with the same training in Keras and in plain PyTorch, on the course's task.

    export RECURRA_DATA=DATA                # contains imdb/train.parquet and imdb/test.parquet
    python benchmarks/epoch.py --timing --programs recurra,keras,torch-padded+tuned  # under two minutes
    python benchmarks/epoch.py --programs recurra,keras,torch-padded --seeds 1,2 --epochs 8 --patience 4
    python benchmarks/epoch.py --programs recurra,keras --recipes simple-rnn,gru,stacked-lstm,bi-lstm

`--timing` trains three epochs of 34 steps and scales their time to all reviews; it measures no accuracy.

All programs get the same token ids and the same rows. They take turns after each epoch (`turns.py`): only one
of them computes at a time, and epoch k of each is measured within minutes of epoch k of the others. Caches
are empty at the start: in the first epoch recurra compiles its kernels, and Keras traces its graph. One row
per training is appended to the results, and a table is printed (`epoch_table.py`).

`recurra+bfloat16` is recurra with `model.precision=bfloat16`.

`+tuned` after the name of a peer sets two options: glibc keeps freed memory (as `recurra fit` does by
default), and PyTorch flushes denormal numbers (as TensorFlow does by default). Gradients of an LSTM's last
state become denormal over 500 steps, and some processors then take several times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from epoch_table import table
from epoch_work import epoch_flops, training_tokens
from kernels.peak import fma_peak
from turns import Program

from recurra.config import load_recipe
from recurra.kernels.cpu.host import host
from recurra.measure.metrics import wilson_interval
from recurra.runtime import facts
from recurra.tasks.settings import build_config

HERE = Path(__file__).parent
PEERS = ("keras", "torch-padded", "torch-packed")
PROGRAMS = ("recurra", *PEERS)
KNOWN = (*PROGRAMS, "recurra+bfloat16", *(f"{name}+tuned" for name in PEERS))
KEPT = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=2147483647:glibc.malloc.trim_threshold=2147483647"}
TIMED_STEPS = 34


def imdb() -> Path:
    """Returns the folder of IMDB in RECURRA_DATA."""
    folder = Path(os.environ.get("RECURRA_DATA", "")) / "imdb"
    if not (folder / "train.parquet").is_file():
        sys.exit("set RECURRA_DATA to a folder with imdb/train.parquet and imdb/test.parquet")
    return folder


def sampled(source: Path, rows: int, folder: Path) -> tuple[Path, float]:
    """Writes random rows of a Parquet file to ``folder``; returns the file and the ratio of rows."""
    whole = pq.read_table(source)
    if not 0 < rows < len(whole):
        return source, 1.0
    chosen = np.random.default_rng(0).choice(len(whole), rows, replace=False)
    pq.write_table(whole.take(np.sort(chosen)), folder / source.name)
    return folder / source.name, len(whole) / rows


def commit() -> str:
    command = ["git", "-C", HERE, "describe", "--always", "--dirty"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


class Job:
    """One recipe with one seed, trained by all programs in turns."""

    def __init__(
        self, options: argparse.Namespace, recipe: str, seed: int, folder: Path, cache: Path
    ) -> None:
        self.options, self.recipe, self.seed, self.folder = options, recipe, seed, folder
        rows = options.rows or (round(TIMED_STEPS * 64 / 0.9) if options.timing else 0)
        data = imdb()
        self.train, self.scale = sampled(data / "train.parquet", rows, folder)
        self.test = None if options.timing else sampled(data / "test.parquet", rows, folder)[0]
        self.config = build_config(load_recipe(recipe))
        threads = str(options.threads)
        self.environment = {
            "RECURRA_CACHE": str(cache),
            "RECURRA_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }
        self.ids = folder / "ids.npz"
        files = [self.train, self.ids, *([self.test] if self.test else [])]
        subprocess.run(  # before the programs start: recurra then also has its tokens cached
            [sys.executable, HERE / "course_ids.py", recipe, *files],
            check=True,
            env={**os.environ, **self.environment},
        )
        self.tokens = training_tokens(self.ids)

    def program(self, name: str) -> Program:
        system, _, tuned = name.partition("+")
        limits = {name: getattr(self.options, name) for name in ("threads", "epochs", "patience")}
        peer = [self.ids, *(f"--{name}={value}" for name, value in {**limits, "seed": self.seed}.items())]
        commands = {
            "recurra": [sys.executable, HERE / "recurra_course.py", *self.recurra_arguments(name)],
            "keras": [self.options.peers, HERE / "keras_course.py", *peer, "--recipe", self.recipe],
            "torch-padded": [self.options.peers, HERE / "torch_course.py", *peer, "--form", "padded"],
            "torch-packed": [self.options.peers, HERE / "torch_course.py", *peer, "--form", "packed"],
        }
        if tuned == "bfloat16":
            commands[system] += ["--set", "model.precision=bfloat16"]
        if tuned and system.startswith("torch"):
            commands[system].append("--flush-denormal")
        environment = {**self.environment, **(KEPT if tuned == "tuned" else {})}
        return Program(name, commands[system], environment, self.folder)

    def recurra_arguments(self, name: str) -> list[object]:
        settings = {"seed": self.seed, "epochs": self.options.epochs, "patience": self.options.patience}
        return [
            *("fit", self.train, "--recipe", self.recipe, "--group", "movie", "--out", self.folder / name),
            *(["--test", self.test] if self.test else []),
            *(part for key, value in settings.items() for part in ("--set", f"train.{key}={value}")),
            *("--no-baseline", "--json"),
        ]

    def run(self, names: list[str]) -> Iterator[dict[str, object]]:
        """Trains with all programs and yields a row for each."""
        load = os.getloadavg()[0]
        with ExitStack() as stack:
            programs = [stack.enter_context(self.program(name)) for name in names]
            first = 0
            while waiting := [program for program in programs if not program.done]:
                # The first program changes each round: no program always has the coolest processor.
                for program in waiting[first % len(waiting) :] + waiting[: first % len(waiting)]:
                    result = {key: value for key, value in program.turn().items() if value is not None}
                    print(program.name, result, file=sys.stderr, flush=True)
                first += 1
            for program in programs:
                yield {**self.row(program), "load_before": load}

    def row(self, program: Program) -> dict[str, object]:
        epochs = [event for event in program.events if event["event"] == "epoch"]
        done = program.events[-1]
        best = min(range(len(epochs)), key=lambda number: epochs[number]["valid_loss"])
        accuracy = done["test_accuracy"]
        test_rows = pq.read_metadata(self.test).num_rows if self.test else 0
        seconds = [event["train_seconds"] for event in epochs]
        return {
            "recipe": self.recipe,
            "program": program.name,
            "seed": self.seed,
            "system": done["system"],
            "parameters": done["parameters"],
            "batch": self.config.train.batch_size,
            "threads": self.options.threads,
            "rows": pq.read_metadata(self.train).num_rows,
            "scale": self.scale,
            "tokens": self.tokens,
            "flops": epoch_flops(self.config, self.tokens),
            "train_seconds": seconds,
            "epoch_seconds": [event["epoch_seconds"] for event in epochs],
            "cpu_seconds": [event["cpu_seconds"] for event in epochs],
            "idle_cpu_seconds": sum(event["idle_cpu_seconds"] for event in program.events[1:]),
            "seconds_an_epoch": statistics.median(seconds) * self.scale,
            "epochs": len(epochs),
            "best_epoch": best + 1,
            "valid_accuracy": epochs[best]["valid_accuracy"],
            "test_accuracy": accuracy,
            "interval": wilson_interval(round(accuracy * test_rows), test_rows) if self.test else None,
            "peak_memory_before": program.events[0]["peak_memory"],
            "peak_memory_training": epochs[-1]["peak_memory"],
            "peak_memory": done["peak_memory"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--programs", default=",".join(PROGRAMS), help="default: %(default)s")
    parser.add_argument("--recipes", default="lstm", help="the PyTorch programs support lstm only")
    parser.add_argument("--seeds", default="1", help="one repetition per seed")
    parser.add_argument("--epochs", type=int, help="maximum; default: 10, with --timing 3")
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--timing", action="store_true", help=f"{TIMED_STEPS} steps per epoch, no accuracy")
    parser.add_argument(
        "--rows", type=int, default=0, help="number of random reviews of each file; default: all"
    )
    parser.add_argument("--peers", default=sys.executable, help="a Python with keras, tensorflow and torch")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "epoch.jsonl")
    options = parser.parse_args()
    options.epochs = options.epochs or (3 if options.timing else 10)
    names, recipes = options.programs.split(","), options.recipes.split(",")
    if not set(KNOWN).issuperset(names):
        parser.error(f"--programs: choose from {', '.join(KNOWN)}")
    if recipes != ["lstm"] and any(name.startswith("torch") for name in names):
        parser.error("the PyTorch programs support the recipe lstm only")
    machine = {
        "run": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": facts()["cpu"],
        "cores": os.cpu_count(),
        "lanes": host().lanes,
        "peak_gflops": round(fma_peak(options.threads, seconds=2, lanes=host().lanes), 1),
        "python": facts()["python"],
    }
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for seed in map(int, options.seeds.split(",")):
            for recipe in recipes:
                with tempfile.TemporaryDirectory() as folder:
                    job = Job(options, recipe, seed, Path(folder), Path(cache))
                    for row in job.run(names):
                        rows.append({**machine, **row})
                        with options.out.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
