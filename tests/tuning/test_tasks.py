"""Every task can be searched: its own space, figure and rows, and which way is better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import recurra
from tests.tasks.forecasting.test_path import hourly_lines
from tests.tasks.language.test_language_task import sentences
from tests.tasks.tagging.test_task import conllu, invented

TRAIN = {"epochs": 1, "batch_size": 16, "patience": 1}
SETTINGS: dict[str, Any] = {
    "tag": {
        "tagging": {"character_units": 4, "character_embedding": 4, "character_dropout": 0},
        "model": {"units": 6, "layers": 1, "embedding": 6, "backend": "reference"},
    },
    "lm": {
        "language": {"bptt": 8, "output": "full"},
        "model": {"units": 6, "layers": 1, "embedding": 6, "backend": "reference"},
    },
    "forecast": {
        "series": {"target": "temp", "lookback": "12h", "delay": "3h"},
        "model": {"units": 4, "layers": 1, "backend": "reference"},
    },
}
FILES = {
    "tag": ("train.conllu", lambda: conllu(invented(120, 1))),
    "lm": ("train.txt", lambda: "\n".join(sentences(300, 1)) + "\n"),
    "forecast": ("hours.csv", lambda: "\n".join(hourly_lines(400)) + "\n"),
}
METRICS = {"tag": "accuracy", "lm": "loss", "forecast": "relative_error"}
VARIED = {"tag": "tagging.min_count", "lm": "model.head_dropout", "forecast": "model.bidirectional"}


@pytest.mark.slow
@pytest.mark.parametrize("task", FILES)
def test_a_search_of_each_task(task: str, tmp_path: Path) -> None:
    name, text = FILES[task]
    data = tmp_path / name
    data.write_text(text(), encoding="utf-8")
    settings = {**SETTINGS[task], "train": TRAIN}
    found = recurra.tune(
        data, tmp_path / "out", task=task, settings=settings, minutes=None, trials=3, seeds=2, jobs=1,
        engine="inline",
    )  # fmt: skip
    figures = json.loads((tmp_path / "out" / "tune.json").read_text(encoding="utf-8"))
    assert figures["metric"] == METRICS[task]
    assert VARIED[task] in found.space
    values = [result.value for _, result in found.complete]
    assert len(values) == 3
    assert found.best[1].value == (max(values) if task == "tag" else min(values))
    assert found.fitted is not None
    assert found.fitted.bundle.task == task
    assert figures["test"]
    if found.best[0].number:
        low, high = figures["comparison"]["difference_interval"]
        assert low <= figures["comparison"]["difference"] <= high
