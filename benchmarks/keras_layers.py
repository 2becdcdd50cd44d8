"""Times a training step of a Keras model before and after ``recurra.keras.accelerate``.

    KERAS_BACKEND=torch python -m benchmarks.keras_layers run --cells lstm --variants masked
    python -m benchmarks.keras_layers table

The model is ``Embedding(10000, 32)``, the layer with 100 units, ``Dense(1)`` and Adam; the batch is 64 rows
of 500 tokens whose lengths have the distribution of IMDB (mean 225). Both models have the same weights, and
must give the same outputs, and the same weights after a step, before anything is timed. Steps of both take
turns in one process.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "keras_layers.jsonl"
B, T, E, H, V = 64, 500, 32, 100, 10_000
# Quantiles 0, 1/16, ..., 1 of the words of IMDB's training reviews, cut to 500.
LENGTHS = [10, 73, 107, 122, 131, 141, 152, 165, 181, 200, 224, 255, 295, 349, 429, 500, 500]
CELLS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}
VARIANTS = {
    "masked": "mask, padding at the end",
    "front": "mask, padding at the front",
    "bidirectional": "mask, padding at the end, `Bidirectional`",
    "unmasked": "no mask",
    "dropped": "mask, padding at the end, `recurrent_dropout=0.2`, shared masks",
}


def batch(variant: str) -> tuple[Any, Any]:
    """Token ids ``(B, T)`` and classes ``(B, 1)``."""
    rng = np.random.default_rng(0)
    lengths = np.interp(rng.permutation(B) / (B - 1), np.linspace(0, 1, len(LENGTHS)), LENGTHS).astype(int)
    ids = rng.integers(1, V, (B, T)) * (np.arange(T) < lengths[:, None])
    return (ids[:, ::-1].copy() if variant == "front" else ids), rng.integers(0, 2, (B, 1))


def model(layer: Any, variant: str) -> Any:
    """A compiled classifier around a recurrent layer."""
    import keras

    network = keras.Sequential(
        [
            keras.Input((T,), dtype="int32"),
            keras.layers.Embedding(V, E, mask_zero=variant != "unmasked"),
            keras.layers.Bidirectional(layer) if variant == "bidirectional" else layer,
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    network.compile(optimizer=keras.optimizers.Adam(), loss="binary_crossentropy")
    return network


def timed(network: Any, data: tuple[Any, Any]) -> float:
    """Milliseconds of one training step."""
    start = time.perf_counter()
    network.train_on_batch(*data)
    return 1e3 * (time.perf_counter() - start)


def compare(cell: str, variant: str, rounds: int) -> dict[str, Any]:
    """Checks one case and times it."""
    import keras

    import recurra.keras

    data = batch(variant)
    settings = {"recurrent_dropout": 0.2} if variant == "dropped" else {}
    theirs, ours = (model(getattr(keras.layers, CELLS[cell])(H, **settings), variant) for _ in range(2))
    ours.set_weights(theirs.get_weights())
    recurra.keras.accelerate(ours, shared_masks=True)
    results = [network.predict_on_batch(data[0]) for network in (theirs, ours)]
    error = float(np.abs(results[1] - results[0]).max())
    for network in (theirs, ours):
        network.train_on_batch(*data)
    if not settings:  # with them, masks differ
        pairs = zip(ours.get_weights(), theirs.get_weights(), strict=True)
        error = max(error, *(float(np.abs(mine - given).max()) for mine, given in pairs))
    if error > 1e-4:
        raise SystemExit(f"{cell}, {variant}: outputs, or weights after one step, differ by {error}")
    times: dict[str, list[float]] = {"keras": [], "recurra": []}
    for _ in range(rounds):
        times["keras"].append(timed(theirs, data))
        times["recurra"] += [timed(ours, data) for _ in range(3)]
    quantiles = {name: np.quantile(each, [0.2, 0.5, 0.8]).round(2).tolist() for name, each in times.items()}
    return {"cell": cell, "variant": variant, "error": error, **quantiles}


def run(given: argparse.Namespace) -> None:
    """Appends a line of JSON for each case to the results."""
    import torch

    from benchmarks.kernels import machine
    from recurra import runtime

    facts = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": machine.commit(),
        "cpu": runtime.facts()["cpu"],
        "lanes": machine.lanes(),
        "threads": torch.get_num_threads(),
        "versions": machine.versions(),
    }
    for variant in given.variants:
        for cell in given.cells:
            row = facts | compare(cell, variant, given.rounds)
            with given.out.open("a", encoding="utf-8") as file:
                print(json.dumps(row), file=file)
            print(cell, variant, row["keras"], row["recurra"], flush=True)


def table(given: argparse.Namespace) -> None:
    """Prints the latest row of each case and processor as a table."""
    rows = [json.loads(line) for line in given.out.read_text(encoding="utf-8").splitlines()]
    latest = {(row["cpu"], row["lanes"], row["variant"], row["cell"]): row for row in rows}
    print("| processor, lanes | batch | layer | Keras, ms | recurra, ms | times faster |")
    print("|---|---|---|---:|---:|---:|")
    for (cpu, lanes, variant, cell), row in latest.items():
        theirs, ours = row["keras"][1], row["recurra"][1]
        print(
            f"| {cpu}, {lanes} | {VARIANTS[variant]} | {CELLS[cell]} | {theirs:,.0f} | {ours:,.1f} | "
            f"{theirs / ours:.1f} |"
        )


def main() -> None:
    """Reads the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=5, help="steps of Keras, three of ours each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    {"run": run, "table": table}[given.action](given)


if __name__ == "__main__":
    main()
