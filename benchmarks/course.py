"""The course's six recipes on IMDB: ours, and the same configurations in Keras, interleaved in one run.

    python benchmarks/course.py ../shared/data/imdb --out benchmarks/results/course.jsonl
    python benchmarks/course.py ../shared/data/imdb --keras KERAS_PYTHON --seeds 1,2 --out rows.jsonl
    python benchmarks/course.py ../shared/data/imdb --keras KERAS_PYTHON --timing --epochs 2 --out rows.jsonl

Both read the same token ids (`course_ids.py`) and the same validation rows. Each row of the output is one
training: parameters, seconds an epoch (median), best epoch by validation loss, test accuracy at that epoch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from recurra.config import Config, load_recipe
from recurra.runtime import facts
from recurra.tasks.classification import fit_files

RECIPES = ("simple-rnn", "lstm", "gru", "stacked-lstm", "bi-lstm", "stacked-gru")


def ours(imdb: Path, recipe: str, seed: int, epochs: int, patience: int, timing: bool) -> dict[str, object]:
    settings = {"data": {"group": "movie"}, "train": {"seed": seed, "epochs": epochs, "patience": patience}}
    config = Config.build(load_recipe(recipe), settings)
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_files(
            imdb / "train.parquet",
            config,
            Path(folder) / "model",
            test=None if timing else imdb / "test.parquet",
            baseline=False,
            explained=0,
        )
    found, history = fitted.assessment.metrics, fitted.outcome.history
    best = history[fitted.outcome.best_epoch - 1]
    return {
        "system": f"recurra {facts()['recurra']} / torch {facts()['torch']}",
        "recipe": recipe,
        "seed": seed,
        "parameters": fitted.as_json()["parameters"],
        "batch": config.train.batch_size,
        "threads": facts()["threads"],
        "seconds_an_epoch": float(np.median([record.seconds for record in history])),
        "epochs": len(history),
        "best_epoch": fitted.outcome.best_epoch,
        "valid_accuracy": best.figures["valid_accuracy"],
        "test_accuracy": None if timing else found.accuracy,
        "interval": None if timing else [found.accuracy_low, found.accuracy_high],
    }


def keras(python: str, ids: Path, *options: object) -> dict[str, object]:
    command = [python, Path(__file__).with_name("keras_course.py"), ids, *map(str, options)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(run.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("imdb", type=Path, help="the folder of train.parquet and test.parquet")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--keras", help="a Python that has keras and tensorflow")
    parser.add_argument("--timing", action="store_true", help="no test; Keras trains 60 steps twice")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    ids = Path(tempfile.mkdtemp()) / "ids.npz"
    if options.keras:
        script = Path(__file__).with_name("course_ids.py")
        subprocess.run([sys.executable, script, options.imdb, ids], check=True)
    for seed in map(int, options.seeds.split(",")):
        for recipe in options.recipes.split(","):
            rows = [ours(options.imdb, recipe, seed, options.epochs, options.patience, options.timing)]
            if options.keras:
                length = ["--epochs", 2, "--steps", 60] if options.timing else ["--epochs", options.epochs]
                settings = ["--recipes", recipe, "--seeds", seed, "--patience", options.patience, *length]
                rows.append(keras(options.keras, ids, *settings))
            for row in rows:
                line = json.dumps({**row, "cpu": facts()["cpu"], "cores": facts()["cores"]})
                print(line, flush=True)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
