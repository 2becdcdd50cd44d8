"""Run by several processes: the gradients of a few batches of each task, for `test_distributed.py`.

    python -m tests.tasks.distributed_run RANK SIZE FOLDER

The folder has the data files of `write_files`; rank r writes ``gradients-r.safetensors`` there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from recurra.config import Config, TrainConfig, load_recipe
from recurra.generators import initial_weights
from recurra.layers.network import Network
from recurra.tasks.base import TrainingSetup
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.workers import _joined
from recurra.train.distributed import ALONE, World
from recurra.train.loop import _gradients, train
from recurra.train.touched_rows import coalesced

SMALL = {"units": 5, "embedding": 4}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "binary": ("texts.csv", "lstm", {"model": SMALL, "train": {"batch_size": 7}}),
    "classes with weights, touched rows": (
        "classes.csv",
        "gru",
        {
            "model": SMALL,
            "train": {"batch_size": 7, "class_weight": "balanced", "embedding_rows": "touched"},
        },
    ),
    "one row": (
        "texts.csv",
        "simple-rnn",
        {"model": SMALL, "train": {"batch_size": 1, "embedding_rows": "touched"}},
    ),
    "several labels": (
        "labels.csv",
        "bi-lstm",
        {"data": {"label_separator": "|"}, "model": {**SMALL, "pooling": ["mean", "max"]}},
    ),
    "ensemble with evidence": (
        "texts.csv",
        "default",
        {"model": {**SMALL, "members": 2, "evidence": 200, "word_dropout": 0}, "train": {"batch_size": 9}},
    ),
    "tags": (
        "sentences.conllu",
        "tagger",
        {
            "model": SMALL,
            "train": {"batch_size": 5},
            "tagging": {"word_dropout": 0.0, "character_dropout": 0.0},
        },
    ),
    "language": (
        "lines.txt",
        "language-model",
        {"model": {**SMALL, "units": 6}, "train": {"batch_size": 5}, "language": {"bptt": 6}},
    ),
    "language, clusters": (
        "lines.txt",
        "language-model",
        {
            "model": {**SMALL, "cell": "gru"},
            "train": {"batch_size": 3},
            "language": {"bptt": 2, "tie": False, "output": "adaptive", "cutoffs": [3, 6]},
        },
    ),
    "series": (
        "series.csv",
        "forecaster",
        {
            "series": {"target": "level", "lookback": "12h", "delay": "3h"},
            "model": {"units": 4},
            "train": {"batch_size": 7},
        },
    ),
}
"""By name: the file, the recipe, and settings; dropout is off in all of them."""
STILL = {"dropout": 0.0, "recurrent_dropout": 0.0, "head_dropout": 0.0}


def write_files(folder: Path) -> None:
    """Writes small files of each task, with rows of very different lengths."""
    draw = np.random.default_rng(3)
    words = ["good", "bad", "film", "dull", "fine", "a", "the", "plot", "very", "not"]

    def text() -> str:
        return " ".join(draw.choice(words, draw.integers(1, 25)))

    for name, labels in {
        "texts": ["pos", "neg"],
        "classes": ["a", "b", "b", "c"],
        "labels": ["x", "x|y", "z"],
    }.items():
        rows = [f"{text()},{labels[row % len(labels)]}" for row in range(45)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    sentences = [
        "".join(
            f"{n}\t{word}\t_\t{'VERB' if len(word) > 3 else 'NOUN'}" + "\t_" * 6 + "\n"
            for n, word in enumerate(text().split(), 1)
        )
        for _ in range(30)
    ]
    (folder / "sentences.conllu").write_text("\n".join([*sentences, ""]), encoding="utf-8")
    (folder / "lines.txt").write_text("".join(f"{text()}\n" for _ in range(40)), encoding="utf-8")
    level = np.sin(np.arange(200) / 5) + draw.normal(0, 0.1, 200)
    times = np.datetime64("2024-01-01T00") + np.arange(200) * np.timedelta64(1, "h")
    rows = [f"{time},{value:.4f}" for time, value in zip(times, level, strict=True)]
    (folder / "series.csv").write_text("\n".join(["time,level", *rows, ""]), encoding="utf-8")


def made(name: str, folder: Path) -> tuple[Config, Network, TrainingSetup]:
    """Returns the settings, the network and the batches of a case."""
    file, recipe, settings = CASES[name]
    config = build_config(load_recipe(recipe), settings, {"model": STILL})
    task = task_named(config.task)
    prepared = task.prepare(folder / file, config, Reporter())
    with initial_weights(1):
        model = task.build(prepared.config, prepared.assets)
    return prepared.config, model, task.training_setup(prepared, model, Reporter())


def gradients(name: str, folder: Path, world: World = ALONE) -> Iterator[dict[str, Tensor]]:
    """Yields the loss and the gradients of the first batches of a case, under weights that do not change."""
    _, model, setup = made(name, folder)
    for batch in islice(setup.batches.epoch(1), 3):
        model.train().zero_grad()
        loss = _gradients(model, batch, setup.objective, world)
        found = {key: weight.grad for key, weight in model.named_parameters() if weight.grad is not None}
        dense = {key: coalesced(each).to_dense() if each.is_sparse else each for key, each in found.items()}
        yield {"loss": torch.tensor(loss), **{key: each.clone() for key, each in dense.items()}}


def trained(name: str, folder: Path, world: World = ALONE) -> dict[str, Tensor]:
    """Returns the weights of a case after an epoch with clipping and perturbed word vectors."""
    config, model, setup = made(name, folder)
    changes = {"epochs": 1, "clip_norm": 0.1, "adversarial": 0.1, "learning_rate": 0.01}
    settings = TrainConfig.model_validate({**config.train.model_dump(), **changes})
    outcome = train(
        model, setup.batches, setup.objective, lambda network: {"loss": 1.0}, settings, world=world
    )
    return {**model.state_dict(), "loss": torch.tensor(outcome.history[0].train_loss)}


def everything(folder: Path, world: World = ALONE) -> dict[str, Tensor]:
    """Returns the gradients of all cases, and the trained weights of two."""
    found = {
        f"{name}/{step}/{key}": value
        for name in CASES
        for step, each in enumerate(gradients(name, folder, world))
        for key, value in each.items()
    }
    for name in ("binary", "classes with weights, touched rows"):
        found |= {f"{name}/trained/{key}": value for key, value in trained(name, folder, world).items()}
    return {key: value.contiguous() for key, value in found.items()}


def main() -> None:
    rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])

    def lost() -> BaseException:
        return SystemExit(3)

    world = _joined("cpu", lost, rank, size, size, rank, folder)
    safetensors.torch.save_file(everything(folder, world), folder / f"gradients-{rank}.safetensors")


if __name__ == "__main__":
    main()
