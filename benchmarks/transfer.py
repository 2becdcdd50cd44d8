"""Measures pretraining: test accuracy by the number of training rows, for several initial embeddings.

    export RECURRA_DATA=DATA                       # contains imdb/ and sst2/
    python benchmarks/transfer.py run              # all cells that are not in the results
    python benchmarks/transfer.py run --sets sst2 --rows 250 --seeds 1,2
    python benchmarks/transfer.py run --starts lm-frozen,lm-tuned --language-model LM
    python benchmarks/transfer.py table            # of the results so far

The network of each data set starts from vectors pretrained on the training rows of the other one with the
same
recipe: SST-2 from IMDB, IMDB from SST-2. `random`: no pretraining; `frozen`: the vectors are not trained;
    `tuned`:
the vectors are trained. `lm-frozen`, `lm-tuned`: the same with the vectors of a language model, trained
without labels by `recurra pretrain imdb/unlabeled.parquet --task lm --out LM`; `lm-layers`: with its
recurrent layers too, trained, which needs `--set` for a network with such layers. The seed determines the
training rows (the same for all starts), the weights and the batches; the vocabulary is that of the training
rows. The seed of pretraining is always 1. Each fit has at least 600 steps, so that small sets have more
epochs, and a patience of a fifth of its epochs. One row per fit is appended to the results, so that an
interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recurra.config import Config, load_recipe, parse_set
from recurra.runtime import facts
from recurra.tasks.fit import fit_files, pretrain_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "transfer.jsonl"
STARTS = ("random", "frozen", "tuned", "lm-frozen", "lm-tuned", "lm-layers")
ALL = "all"
STEPS = 600  # with the recipe's 10 epochs, 250 rows would give only 40 steps, too few to train
KEY = ("set", "rows", "seed", "start", "recipe", "settings", "pretrained_rows")

Row = dict[str, Any]


class Set(NamedTuple):
    """The files of a data set in RECURRA_DATA, and its columns."""

    train: str
    valid: str | None
    test: str
    text: str
    label: str
    group: str | None
    other: str
    """The data set that its vectors are pretrained on."""


SETS = {
    "sst2": Set("sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv", "0", "1", None, "imdb"),
    "imdb": Set("imdb/train.parquet", None, "imdb/test.parquet", "text", "label", "movie", "sst2"),
}


def data(name: str) -> Path:
    """Returns the path of a file in RECURRA_DATA."""
    path = Path(os.environ.get("RECURRA_DATA", "")) / name
    if not path.is_file():
        sys.exit(f"set RECURRA_DATA to a folder with {name}")
    return path


def settings(name: str, recipe: str, seed: int, others: str = "", **train: Any) -> Config:
    """Returns the recipe with the columns of a data set and other settings, separated by spaces."""
    data_set = SETS[name]
    columns = {"text": [data_set.text], "label": data_set.label, "group": data_set.group}
    changes = [parse_set(assignment) for assignment in others.split()]
    return build_config(load_recipe(recipe), *changes, {"data": columns, "train": {"seed": seed, **train}})


def long_enough(config: Config, rows: int) -> dict[str, int]:
    """Returns epochs and patience with which a fit of few rows makes enough steps."""
    epochs = max(config.train.epochs, -(-STEPS // -(-rows // config.train.batch_size)))
    return {"epochs": epochs, "patience": max(config.train.patience, epochs // 5)}


def sampled(name: str, rows: str, seed: int, folder: Path) -> Path:
    """Returns the training file, or a file with a random sample of its rows in their order."""
    source = data(SETS[name].train)
    if rows == ALL:
        return source
    generator = np.random.default_rng([seed, int(rows)])
    if source.suffix == ".parquet":
        whole = pq.read_table(source)
        path = folder / "train.parquet"
        pq.write_table(whole.take(drawn(generator, whole.num_rows, int(rows))), path)
        return path
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    path = folder / "train.tsv"
    chosen = drawn(generator, len(lines), int(rows)).to_pylist()
    path.write_text("".join(lines[line] for line in chosen), encoding="utf-8")
    return path


def drawn(generator: np.random.Generator, whole: int, rows: int) -> pa.Array:
    """Returns ``rows`` different integers below ``whole``, sorted."""
    return pa.array(np.sort(generator.choice(whole, min(rows, whole), replace=False)))


def pretrained(name: str, recipe: str, rows: str, folder: Path) -> Path:
    """Returns the model pretrained on the other data set; trains it unless it is in ``folder``."""
    other = SETS[name].other
    out = folder / f"{other}-{rows}-{recipe}"
    if not (out / "manifest.json").is_file():
        print(f"pretraining on {other} ...", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            training = sampled(other, rows, 1, Path(scratch))
            pretrain_files(
                training,
                settings(other, recipe, 1),
                out,
                valid=validation(other),
                overwrite=True,
                reporter=Reporter(),
            )
    return out


def validation(name: str) -> Path | None:
    """Returns the validation file, if the data set has one."""
    file = SETS[name].valid
    return data(file) if file else None


def measure(
    name: str,
    rows: str,
    seed: int,
    start: str,
    recipe: str,
    others: str,
    pretrained_rows: str,
    vectors: Path,
    language_model: Path | None = None,
) -> Row:
    """Returns the row of one fit, measured on the whole test file."""
    train: dict[str, Any] = {}
    if start != "random":
        source = language_model
        if not start.startswith("lm-"):
            source = pretrained(name, recipe, pretrained_rows, vectors)
        elif source is None:
            sys.exit("pass the directory of the language model as --language-model")
        layers = start.endswith("layers")
        train = {
            "pretrained": str(source),
            "freeze": start.endswith("frozen"),
            "pretrained_layers": layers,
        }
    # With the embedding size of the recipe, which must be that of the vectors.
    config = settings(name, recipe, seed, others, **train)
    if rows != ALL:
        config = settings(name, recipe, seed, others, **train, **long_enough(config, int(rows)))
    start_time = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_files(
            sampled(name, rows, seed, Path(folder)), config, Path(folder) / "model",
            valid=validation(name), test=data(SETS[name].test), baseline=False, explained=0,
        )  # fmt: skip
    found = fitted.assessment.metrics
    origin = fitted.bundle.pretrained or {}
    return {
        "set": name, "rows": rows, "seed": seed, "start": start, "recipe": recipe, "settings": others,
        "pretrained_rows": pretrained_rows,
        "accuracy": found.accuracy, "interval": [found.accuracy_low, found.accuracy_high],
        "log_loss": found.log_loss, "tested_on": found.rows, "best_epoch": fitted.outcome.best_epoch,
        "epochs": len(fitted.outcome.history), "token_share": origin.get("token_share"),
        "words_found": origin.get("words"), "vocabulary": fitted.bundle.assets.tokenizer.vocab_size,
        "seconds": round(time.perf_counter() - start_time, 2),
    }  # fmt: skip


def read(path: Path) -> list[Row]:
    """Returns the rows measured so far."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [{"settings": "", **json.loads(line)} for line in lines]


def cells(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int, str, str, str, str]]:
    """Yields all requested fits, small ones first."""
    for rows in arguments.rows.split(","):
        for name in arguments.sets.split(","):
            for seed in arguments.seeds.split(","):
                for start in arguments.starts.split(","):
                    how = (arguments.recipe, " ".join(arguments.set), arguments.pretrained_rows)
                    yield name, rows, int(seed), start, *how


def run(arguments: argparse.Namespace) -> None:
    """Measures the fits that are not in the results."""
    done = {tuple(row[key] for key in KEY) for row in read(arguments.results)}
    machine = facts()
    where = {
        "run": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
        ).stdout.strip(),
        **{name: machine[name] for name in ("recurra", "torch", "cpu", "threads") if name in machine},
    }
    with tempfile.TemporaryDirectory() as temporary:
        vectors = arguments.vectors or Path(temporary)
        for cell in cells(arguments):
            if cell in done:
                continue
            row = {**measure(*cell, vectors, arguments.language_model), **where}
            arguments.results.parent.mkdir(parents=True, exist_ok=True)
            with arguments.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(*cell, f"{100 * row['accuracy']:.2f}%", f"{row['seconds']} s", flush=True)


def table(rows: Sequence[Row]) -> str:
    """Returns a Markdown table per data set: accuracy in percent, and gains compared seed by seed."""
    parts = []
    keys = ("set", "recipe", "settings", "pretrained_rows")
    for kind in dict.fromkeys(tuple(row[key] for key in keys) for row in rows):
        kind_rows = [row for row in rows if tuple(row[key] for key in keys) == kind]
        name, recipe, others, pretrained_rows = kind
        how = f"`{recipe}`" + (f" with `{others}`" if others else "")
        starts = [start for start in STARTS if any(row["start"] == start for row in kind_rows)]
        gains = [f"{start} - random" for start in starts if start != "random"]
        names = ("training rows", "seeds", "tokens covered", *starts, *gains)
        lines = [
            f"{name}, {how}, accuracy on {kind_rows[0]['tested_on']:,} test rows in percent, mean and "
            f"standard deviation over seeds; vectors from {pretrained_rows} rows of {SETS[name].other}.",
            "",
            f"| {' | '.join(names)} |",
            "|---" * len(names) + "|",
        ]
        lines += [
            _line(count, kind_rows, starts) for count in sorted({row["rows"] for row in kind_rows}, key=_size)
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _line(count: str, rows: Sequence[Row], starts: Sequence[str]) -> str:
    by_start = {
        start: {row["seed"]: row for row in rows if row["rows"] == count and row["start"] == start}
        for start in ("random", *starts)
    }
    pretrained_starts = [start for start in starts if start != "random"]
    shares = [row["token_share"] for start in pretrained_starts[:2] for row in by_start[start].values()]
    seeds = sorted({seed for by_seed in by_start.values() for seed in by_seed})
    cells = [count, str(len(seeds)), f"{100 * statistics.mean(shares):.1f}%" if shares else ""]
    cells += [_spread([100 * row["accuracy"] for row in by_start[start].values()]) for start in starts]
    for start in pretrained_starts:
        pairs = [
            100 * (by_start[start][seed]["accuracy"] - by_start["random"][seed]["accuracy"])
            for seed in seeds
            if seed in by_start[start] and seed in by_start["random"]
        ]
        cells.append(_spread(pairs, "+"))
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Formats the mean, with the standard deviation over seeds if there are several."""
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.2f}{deviation}"


def _size(count: str) -> float:
    return float("inf") if count == ALL else float(count)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "table"):
        verbs.add_parser(verb).add_argument("--results", type=Path, default=RESULTS)
    running = verbs.choices["run"]
    running.add_argument("--sets", default=",".join(SETS))
    running.add_argument("--rows", default=f"250,1000,4000,{ALL}")
    running.add_argument("--seeds", default="1,2,3,4,5")
    running.add_argument("--starts", default="random,frozen,tuned")
    running.add_argument(
        "--language-model", type=Path, help="the output directory of recurra pretrain --task lm"
    )
    running.add_argument("--recipe", default="default")
    running.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    running.add_argument(
        "--pretrained-rows", default=ALL, help="number of training rows of the other data set"
    )
    running.add_argument("--vectors", type=Path, help="a folder to keep the pretrained models in")
    arguments = parser.parse_args()
    if arguments.verb == "run":
        run(arguments)
    else:
        print(table(read(arguments.results)))


if __name__ == "__main__":
    main()
