"""The six configurations of the course in Keras on TensorFlow.

    python benchmarks/keras_course.py ids.npz --recipe lstm

Reads the token ids written by `course_ids.py` (the same words and split as recurra), pads them to 500 at the
front as Keras's examples do, trains with early stopping on the validation loss, and takes turns with the
other programs after each epoch.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from course_ids import Part, load
from keras import layers
from turns import Turns


def embedding_then(*rest: object) -> list[object]:
    return [layers.Embedding(10_000, 32), *rest, layers.Dense(1, activation="sigmoid")]


CONFIGURATIONS = {
    "simple-rnn": lambda: (embedding_then(layers.SimpleRNN(32)), keras.optimizers.RMSprop(1e-3), 32),
    "lstm": lambda: (embedding_then(layers.LSTM(100)), keras.optimizers.Adam(1e-3), 64),
    "gru": lambda: (embedding_then(layers.GRU(100)), keras.optimizers.Adam(1e-3), 64),
    "stacked-lstm": lambda: (
        embedding_then(
            layers.LSTM(32, dropout=0.2, return_sequences=True),
            layers.LSTM(32, dropout=0.2, return_sequences=True),
            layers.LSTM(32, dropout=0.2),
        ),
        keras.optimizers.Adam(1e-3),
        64,
    ),
    "bi-lstm": lambda: (
        embedding_then(layers.Bidirectional(layers.LSTM(32, dropout=0.2))),
        keras.optimizers.Adam(1e-3),
        64,
    ),
    "stacked-gru": lambda: (
        embedding_then(
            layers.GRU(32, dropout=0.1, recurrent_dropout=0.5, return_sequences=True),
            layers.GRU(64, activation="relu", dropout=0.1, recurrent_dropout=0.5),
        ),
        keras.optimizers.Adam(1e-3),
        64,
    ),
}


class TakeTurns(keras.callbacks.Callback):
    """Reports after each epoch the time of its training, without validation."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def on_train_begin(self, logs: object = None) -> None:
        self._turns.over("ready")

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._validation = 0.0
        self._start = time.perf_counter()

    def on_test_begin(self, logs: object = None) -> None:
        self._test_start = time.perf_counter()

    def on_test_end(self, logs: object = None) -> None:
        self._validation += time.perf_counter() - self._test_start

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.perf_counter() - self._start - self._validation
        metrics = logs or {}
        self._turns.over(
            "epoch",
            train_seconds=seconds,
            valid_loss=float(metrics["val_loss"]),
            valid_accuracy=float(metrics["val_accuracy"]),
        )


def pad(part: Part) -> np.ndarray:
    return keras.utils.pad_sequences(part.ids, maxlen=500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("ids", type=Path, help="the .npz of course_ids.py")
    parser.add_argument("--recipe", default="lstm", choices=CONFIGURATIONS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    turns = Turns()
    (train_x, train_y), validation, *test = [(pad(part), part.labels) for part in load(options.ids)]
    keras.utils.set_random_seed(options.seed)
    body, optimizer, batch = CONFIGURATIONS[options.recipe]()
    model = keras.Sequential([keras.Input((500,)), *body])
    model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(
        train_x,
        train_y,
        batch_size=batch,
        epochs=options.epochs,
        validation_data=validation,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=options.patience, restore_best_weights=True),
            TakeTurns(turns),
        ],
        verbose=0,
    )
    accuracy = None
    for test_x, test_y in test:
        probability = model.predict(test_x, batch_size=256, verbose=0)[:, 0]
        accuracy = float(np.mean((probability > 0.5) == test_y))
    turns.over(
        "done",
        system=f"keras {keras.__version__} / tensorflow {tf.__version__}",
        parameters=model.count_params(),
        test_accuracy=accuracy,
    )


if __name__ == "__main__":
    main()
