"""The epoch of the course in the documents: which runs are shown, and how much an epoch computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.epoch_figures import epoch_figures, machine_name, newest_runs
from benchmarks.epoch_table import table
from benchmarks.epoch_work import epoch_flops, training_tokens
from recurra.config import load_recipe
from recurra.tasks.settings import build_config


def run(name: str, seconds: tuple[float, float, float], **changes: Any) -> list[dict[str, Any]]:
    """The rows of recurra, Keras and PyTorch in one run."""
    row = {
        "run": name,
        "commit": "1234567",
        "cpu": "Intel(R) Xeon(R) Processor",
        "cores": 2,
        "threads": 2,
        "recipe": "lstm",
        "batch": 64,
        "seed": 1,
        "epochs": 3,
        "best_epoch": 3,
        "rows": 25_000,
        "scale": 1.0,
        "system": "a system",
        "test_accuracy": 0.8712,
        "interval": [0.866, 0.875],
        "peak_memory_training": 958_000_000,
        "peak_memory": 990_000_000,
        **changes,
    }
    programs = ("recurra", "keras", "torch-padded+tuned")
    return [
        {
            **row,
            "program": program,
            "train_seconds": [one / row["scale"]] * 3,
            "epoch_seconds": [one / row["scale"]] * 3,
            "seconds_an_epoch": one,
        }
        for program, one in zip(programs, seconds, strict=True)
    ]


WHOLE = run("2026-11-21", (11.5, 65.5, 35.9))
SCALED = run(
    "2026-11-29", (10.0, 101.0, 51.0), cpu="AMD EPYC", lanes=8, rows=2418, scale=10.0, test_accuracy=None,
    interval=None, peak_memory_training=700_000_000, flops=10**11, peak_gflops=200.0,
)  # fmt: skip


def test_seconds_are_of_the_newest_run_and_accuracy_of_the_newest_on_all_reviews() -> None:
    figures = epoch_figures([*WHOLE, *SCALED])
    assert figures["recurra"] == {
        "seconds": "10.0",
        "ratio": "1.0",
        "accuracy": "87.1",
        "megabytes": "958",
    }
    assert (figures["keras"]["ratio"], figures["torch"]["seconds"]) == ("10.1", "51.0")
    assert (figures["machine"], figures["reviews"], figures["scaled"]) == ("AMD EPYC", "2,418", True)
    assert figures["whole_machine"] == machine_name(WHOLE[0]) == "Intel Xeon"
    assert not epoch_figures(WHOLE)["scaled"]


def test_of_each_kind_of_machine_the_last_complete_run_is_shown() -> None:
    again = run("2026-11-22", (11.0, 66.0, 36.0))
    incomplete = run("2026-11-30", (1.0, 2.0, 3.0))[:2]
    other = run("2026-11-30", (1.0, 2.0, 3.0), recipe="gru")
    found = newest_runs([*WHOLE, *SCALED, *again, *incomplete, *other])
    assert [one[0]["run"] for one in found] == ["2026-11-29", "2026-11-22"]
    assert [one[0]["run"] for one in newest_runs([*WHOLE, *SCALED], whole=True)] == ["2026-11-21"]


def test_a_table_says_how_far_from_the_peak_an_epoch_is() -> None:
    assert "1.00 TFLOP" in table(SCALED)
    assert "they take 5.0 s: recurra runs at 50% of the peak" in table(SCALED)
    assert "peak that was measured" not in table(WHOLE)  # older rows do not name it


def test_an_epoch_has_the_products_of_its_true_tokens(tmp_path: Path) -> None:
    np.savez(tmp_path / "ids.npz", training_offsets=[0, 3, 10], validation_offsets=[0, 99])
    assert training_tokens(tmp_path / "ids.npz") == 10
    lstm = build_config(load_recipe("lstm"))
    assert epoch_flops(lstm, 10) == 3 * 2 * 10 * 4 * 100 * (32 + 100)
    both = build_config(load_recipe("lstm"), {"model": {"bidirectional": True, "layers": 2, "cell": "gru"}})
    assert epoch_flops(both, 1) == 3 * 2 * 2 * 3 * 100 * (132 + 300)
