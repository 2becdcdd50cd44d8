"""The course's six configurations in Keras on TensorFlow, as the course wrote them: our yardstick.

Reads token ids that `benchmarks/course_ids.py` wrote (so both sides see the same words and the same
split), pads them to 500 at the front, trains with early stopping on the validation loss and prints one
JSON line a run.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers


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


class EpochTimes(keras.callbacks.Callback):
    """Seconds of training in each epoch, without the validation pass."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._begun = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._begun = time.perf_counter()
        self._validation = 0.0

    def on_test_begin(self, logs: object = None) -> None:
        self._test_begun = time.perf_counter()

    def on_test_end(self, logs: object = None) -> None:
        self._validation += time.perf_counter() - self._test_begun

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(time.perf_counter() - self._begun - self._validation)


def pad(ids: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    sequences = [ids[offsets[row] : offsets[row + 1]] for row in rows]
    return keras.utils.pad_sequences(sequences, maxlen=500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", type=Path, help="the .npz of course_ids.py")
    parser.add_argument("--recipes", default=",".join(CONFIGURATIONS))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="time only this many steps of the last epoch")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    data = np.load(options.ids)
    train_x = pad(data["train_ids"], data["train_offsets"], data["train_rows"])
    valid_x = pad(data["train_ids"], data["train_offsets"], data["valid_rows"])
    test_rows = np.arange(len(data["test_labels"]))
    test_x = pad(data["test_ids"], data["test_offsets"], test_rows)
    train_y = data["train_labels"][data["train_rows"]]
    valid_y = data["train_labels"][data["valid_rows"]]
    for seed in (int(s) for s in options.seeds.split(",")):
        for name in options.recipes.split(","):
            keras.utils.set_random_seed(seed)
            body, optimizer, batch = CONFIGURATIONS[name]()
            model = keras.Sequential([keras.Input((500,)), *body])
            model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"])
            times = EpochTimes()
            stop = keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=options.patience, restore_best_weights=True
            )
            steps = -(-len(train_x) // batch)
            rows = options.steps * batch if options.steps else len(train_x)
            checked = 64 if options.steps else len(valid_x)
            history = model.fit(
                train_x[:rows],
                train_y[:rows],
                batch_size=batch,
                epochs=options.epochs,
                shuffle=True,
                validation_data=(valid_x[:checked], valid_y[:checked]),
                callbacks=[times, stop],
                verbose=0,
            ).history
            best = int(np.argmin(history["val_loss"]))
            accuracy = None
            if not options.steps:
                probability = model.predict(test_x, batch_size=256, verbose=0)[:, 0]
                accuracy = float(np.mean((probability > 0.5) == data["test_labels"]))
            seconds = float(np.median(times.seconds))
            if options.steps:  # the first epoch traces and compiles
                seconds = times.seconds[-1] / options.steps * steps
            row = {
                "system": f"keras {keras.__version__} / tensorflow {tf.__version__}",
                "recipe": name,
                "seed": seed,
                "parameters": model.count_params(),
                "batch": batch,
                "threads": options.threads,
                "seconds_an_epoch": seconds,
                "steps": steps,
                "epochs": len(times.seconds),
                "best_epoch": best + 1,
                "valid_accuracy": float(history["val_accuracy"][best]),
                "test_accuracy": accuracy,
            }
            line = json.dumps(row)
            print(line, flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
