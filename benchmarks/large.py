"""Files of any size made from a seed; the seconds and memory that checking them and fitting on them takes.

    python -m benchmarks.large make texts 1000000 texts.csv
    python -m benchmarks.large check texts texts.csv
    python -m benchmarks.large fit texts texts.csv [--minutes 10] [--set KEY=VALUE]

The kinds are `texts` (8 to 12 words, one of four classes), `sentences` (8 to 12 words with their tags) and
`series` (a time and four numbers a minute). A run adds a line to results/large.jsonl: the seconds of each
phase, the longest time without a sign of progress, the peak of the memory in all, and that of the memory that
is not mapped from files. The cache is an empty folder beside the file, removed at the end, unless
RECURRA_CACHE names one; compiled kernels are those of the user's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from benchmarks.phases import Phases
from recurra.runtime import facts, peak_memory, user_cache

RESULTS = Path(__file__).parent / "results" / "large.jsonl"
CHUNK = 100_000
WORDS, CLASSES, TAGS = 50_000, 4, 12
TASKS = {"texts": "classify", "sentences": "tag", "series": "forecast"}


def make(kind: str, rows: int, path: Path, seed: int = 0) -> None:
    """Writes a file of so many texts, sentences or rows."""
    random = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        WRITERS[kind](file, rows, random)


def _drawn(
    rows: int, random: np.random.Generator
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Numbers of words, rare ones and frequent ones, (n, 12), and how many of them each row has, (n,)."""
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        words = np.minimum(random.zipf(1.3, (count, 12)), WORDS) - 1
        yield first, words, random.integers(8, 13, count)


def _texts(file: TextIO, rows: int, random: np.random.Generator) -> None:
    """The class is that of most of the rarer words, but for one row in ten."""
    names = np.array([f"w{number}" for number in range(WORDS)], object)
    file.write("text,label\n")
    for _, words, lengths in _drawn(rows, random):
        votes = np.stack(
            [((words % CLASSES == k) & (words >= 50)).sum(axis=1) for k in range(CLASSES)], axis=1
        )
        classes = (votes + random.random(votes.shape)).argmax(axis=1)
        noise = random.random(len(classes)) < 0.1
        classes[noise] = random.integers(0, CLASSES, noise.sum())
        for line, length, label in zip(names[words], lengths.tolist(), classes.tolist(), strict=True):
            file.write(f"{' '.join(line[:length])},class{label}\n")


def _sentences(file: TextIO, rows: int, random: np.random.Generator) -> None:
    """A word has one of two tags, by the word before it."""
    names = np.array([f"w{number}" for number in range(WORDS)], object)
    tags = np.array([f"T{number}" for number in range(TAGS)], object)
    for _, words, lengths in _drawn(rows, random):
        before = np.concatenate([np.zeros((len(words), 1), np.int64), words[:, :-1]], axis=1)
        found = tags[(words + (before % 2)) % TAGS]
        lines = names[words] + "\t" + found + "\n"
        for line, length in zip(lines, lengths.tolist(), strict=True):
            file.write("".join(line[:length]) + "\n")


def _series(file: TextIO, rows: int, random: np.random.Generator) -> None:
    """Daily waves, a slow drift of noise, and one value in a thousand missing."""
    file.write("date_time,temperature,pressure,humidity,wind\n")
    level = np.zeros(4)
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        minutes = np.arange(first, first + count)
        noise = random.normal(0, [0.02, 0.01, 0.1, 0.05], (count, 4))
        levels = level + np.cumsum(noise, axis=0) * 0.1
        level = levels[-1] * 0.9
        wave = np.sin(2 * np.pi * minutes / 1440)[:, None] * [8, 1, 20, 2]
        values = np.round(np.array([15, 1000, 60, 5]) + wave + levels, 3).astype(str)
        values[random.random(values.shape) < 0.001] = ""
        stamps = (np.datetime64("1980-01-01T00:00") + minutes).astype(str)
        for stamp, row in zip(stamps.tolist(), values.tolist(), strict=True):
            file.write(f"{stamp.replace('T', ' ')}:00,{','.join(row)}\n")


WRITERS: dict[str, Callable[[TextIO, int, np.random.Generator], None]] = {
    "texts": _texts,
    "sentences": _sentences,
    "series": _series,
}


@contextmanager
def own_memory() -> Iterator[list[int]]:
    """Context in which a thread notes the largest memory of the process that is not mapped from files."""
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
                if line.startswith("RssAnon"):
                    peak[0] = max(peak[0], 1024 * int(line.split()[1]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def run(command: str, kind: str, path: Path, minutes: float | None, settings: Sequence[str]) -> None:
    """Checks a file or fits on it, and adds a line to the results."""
    folder = Path(tempfile.mkdtemp(prefix="large-", dir=path.parent))
    if (kernels := user_cache()) is not None:
        os.environ.setdefault("RECURRA_KERNEL_CACHE", str(kernels))
    os.environ.setdefault("RECURRA_CACHE", str(folder / "cache"))
    phases = Phases()
    begun, cpu = time.monotonic(), time.process_time()
    try:
        with own_memory() as own:
            figures = _fitted(command, kind, path, minutes, settings, phases, folder / "model")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    known = facts()
    silence = max(phases.silences, default=(0.0, "", ""))
    with path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    line = {
        "date": date.today().isoformat(),
        "command": command,
        "kind": kind,
        "lines": lines,
        "bytes": path.stat().st_size,
        "minutes": minutes,
        "settings": list(settings),
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mb": round((peak_memory() or 0) / 1e6),
        "peak_own_mb": round(own[0] / 1e6),
        "disk_mb": round(size / 1e6),
        "silence": [round(silence[0], 1), *silence[1:]],
        "figures": figures,
        "phases": phases.ended,
        "cpu": known["cpu"],
        "threads": known["threads"],
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps({name: value for name, value in line.items() if name != "phases"}, indent=1))
    for seconds, before, after in sorted(phases.silences, reverse=True)[:12]:
        print(f"silent for {seconds:.1f} s after {before!r}, before {after!r}")
    sys.stdout.flush()


def _fitted(
    command: str,
    kind: str,
    path: Path,
    minutes: float | None,
    settings: Sequence[str],
    phases: Phases,
    out: Path,
) -> dict[str, float]:
    from recurra.tasks.fit import fit_files
    from recurra.tasks.registry import TASKS as INFOS
    from recurra.tasks.registry import task_named
    from recurra.tasks.settings import build_config, parse_assignment, recipe_under

    task = TASKS[kind]
    layers = [{"task": task}, *map(parse_assignment, settings)]
    if kind == "series":
        layers.append({"series": {"target": "temperature"}})
    if minutes is not None:
        layers.append({"train": {"minutes": minutes}})
    recipe = next(info.recipe for info in INFOS if info.name == task)
    config = build_config(recipe_under(recipe, *layers), *layers)
    if command == "check":
        check = task_named(task).check
        assert check is not None
        check(path, config, phases)
        found: dict[str, float] = {}
    else:
        json_of = fit_files(path, config, out, reporter=phases).assessment.as_json()
        numbers = json_of["model"]
        names = ("accuracy", "macro_f1", "log_loss", "mae")
        found = {name: round(numbers[name], 4) for name in names if isinstance(numbers.get(name), float)}
    phases.sign("the end")
    phases.end("")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes a file, or measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make")
    made.add_argument("kind", choices=[*TASKS])
    made.add_argument("rows", type=int)
    made.add_argument("file", type=Path)
    made.add_argument("--seed", type=int, default=0)
    for name in ("check", "fit"):
        measured = commands.add_parser(name)
        measured.add_argument("kind", choices=[*TASKS])
        measured.add_argument("file", type=Path)
        measured.add_argument("--minutes", type=float)
        measured.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    if options.command == "make":
        make(options.kind, options.rows, options.file, options.seed)
    else:
        run(options.command, options.kind, options.file, options.minutes, options.set)


if __name__ == "__main__":
    main()
