"""Trains the classifier in a separate process that kills itself at a given batch.

python train_stand_ins_run.py FOLDER resume|new batch EPOCH BATCH      SIGKILL after that batch
python train_stand_ins_run.py FOLDER resume|new write EPOCH BATCH      SIGKILL while the next checkpoint is
written
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recurra.config import ModelConfig, TrainConfig
from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.measure.calibration import probabilities
from recurra.tasks.classification.network import Classifier, classification_loss, predict_logits
from recurra.train import checkpoint
from recurra.train.loop import Outcome, train
from recurra.train.objective import supervised
from recurra.train.observer import Observer


def examples(count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    ids = [rng.integers(3, 30, rng.integers(1, 12)).astype(np.int32) for _ in range(count)]
    labels = np.array([int((text % 2 == 0).mean() > 0.5) for text in ids], dtype=np.int64)
    return Examples.from_arrays(ids, labels=labels)


def run(
    folder: Path | None, resume: bool, observer: Any = None, rows: Any = "all", **settings: Any
) -> tuple[Classifier, Outcome]:
    defaults = {"learning_rate": 0.02, "schedule": "cosine", "warmup_steps": 5, "epochs": 4, "batch_size": 8}
    config = TrainConfig(**{**defaults, "checkpoint_minutes": 1e-9, **settings})
    torch.manual_seed(1)
    model = Classifier(
        ModelConfig(units=[5, 6], embedding=4, dropout=0.2, recurrent_dropout=0.3, bidirectional=True),
        vocab_size=30,
        classes=2,
        label_kind="binary",
        embedding_rows=rows,
    )
    torch.rand(100 if resume else 3)  # the global random state must make no difference
    held_out = examples(37, seed=9)

    def validate(network: torch.nn.Module) -> dict[str, float]:
        p = probabilities(predict_logits(network, Batches(held_out, None, 16)), "binary")
        return {"loss": float(-np.log(p[np.arange(37), np.asarray(held_out.labels)]).mean())}

    batches = Batches(examples(83, seed=8), None, config.batch_size, shuffle=True, seed=config.seed, bucket=3)
    loss = supervised(classification_loss("binary"))
    return model, train(
        model, batches, loss, validate, config, folder=folder, resume=resume, observer=observer
    )


class Killer(Observer):
    """Kills the process after a batch, or while the checkpoint after it is written."""

    def __init__(self, moment: str, epoch: int, batch: int) -> None:
        self.moment, self.place = moment, (epoch, batch)

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        if (epoch, batch) != self.place:
            return
        if self.moment == "batch":
            os.kill(os.getpid(), signal.SIGKILL)

        def write_half(tensors: Any, path: Path, metadata: Any) -> None:
            checkpoint.save_file_itself(tensors, path, metadata=metadata)  # type: ignore[attr-defined]
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.save_file_itself = checkpoint.save_file  # type: ignore[attr-defined]
        checkpoint.save_file = write_half


if __name__ == "__main__":
    folder, mode, moment, epoch, batch = sys.argv[1:]
    run(Path(folder), mode == "resume", Killer(moment, int(epoch), int(batch)))
