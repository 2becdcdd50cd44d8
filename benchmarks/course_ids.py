"""Writes the token ids, labels and split of IMDB that `recurra fit` uses to an .npz file for the peers.

    python benchmarks/course_ids.py lstm train.parquet ids.npz [test.parquet]

The peers read the file with ``load``, which needs numpy only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra.tasks.settings import build_config


class Part(NamedTuple):
    """Reviews: one array of token ids each, and labels of 0 and 1."""

    ids: list[NDArray[np.int32]]
    labels: NDArray[np.int64]


def write(recipe: str, train: Path, out: Path, test: Path | None = None) -> None:
    """Writes the ids that `recurra fit TRAIN --test TEST --recipe RECIPE --group movie` uses."""
    from recurra.config import load_recipe
    from recurra.tasks.classification.prepare import prepare
    from recurra.tasks.reporter import Reporter

    config = build_config(load_recipe(recipe), {"data": {"group": "movie"}})
    prepared = prepare(train, config, Reporter(), test=test)
    data: dict[str, Any] = {}
    for part in (prepared.train, prepared.valid, prepared.test):
        if part is not None:
            ids = [part.examples.ids(int(row)) for row in part.rows]
            data[f"{part.name}_ids"] = np.concatenate(ids)
            data[f"{part.name}_offsets"] = np.cumsum([0, *map(len, ids)])
            data[f"{part.name}_labels"] = part.labels
    np.savez(out, **data)


def load(path: Path) -> list[Part]:
    """Returns the training, validation and, if there are any, test reviews."""
    with np.load(path) as data:
        return [
            Part(np.split(data[f"{name}_ids"], data[f"{name}_offsets"][1:-1]), data[f"{name}_labels"])
            for name in ("training", "validation", "test")
            if f"{name}_ids" in data
        ]


if __name__ == "__main__":
    write(sys.argv[1], *map(Path, sys.argv[2:]))
