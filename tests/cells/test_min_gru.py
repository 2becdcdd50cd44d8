"""minGRU against its formula and numerical gradients; through the command line on three tasks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from recurra.config import ModelConfig
from recurra.errors import BackendError, ConfigError
from recurra.kernels.dispatch import recurrence
from recurra.layers import Recurrent
from recurra.layers.network import recurrent_stack
from recurra.tasks.settings import build_config
from tests.cells.checks import ACTIVATIONS, FURTHER, follows, has_numerical_gradients, sigmoid
from tests.conftest import Files, Run
from tests.problems import make_problem


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    (h,) = state
    a_z, a_n = np.split(w["weight_ih"] @ x + w["bias_ih"], 2)
    z = sigmoid(a_z)
    return ((1 - z) * h + z * act(a_n),)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, *FURTHER])
def test_it_follows_the_formula(activation: str) -> None:
    follows("min_gru", formula, activation, masked=False)


@pytest.mark.parametrize("activation", ["linear_sigmoid", "identity", "tanh", torch.nn.functional.softsign])
def test_gradients_are_the_numerical_ones(activation: Any) -> None:
    has_numerical_gradients("min_gru", activation, masked=False)


def test_recurrent_dropout_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"minGRU has no recurrent product .* use dropout"):
        Recurrent(3, 4, cell="min_gru", recurrent_dropout=0.1)
    p = make_problem("min_gru", 3, 2, 2, 3)
    weights = p.calls(p.tensors)[0].weights
    with pytest.raises(ValueError, match="min_gru has no recurrent product, so it takes no recurrent_mask"):
        recurrence("min_gru", p.tensors["x"], None, None, weights, recurrent_mask=torch.ones(2, 3))


def test_torch_has_no_such_cell() -> None:
    p = make_problem("min_gru", 3, 2, 2, 3, dtype=torch.float32)
    with pytest.raises(BackendError, match="'torch' has no cell min_gru; use backend 'auto'"):
        p.solve(backend="torch")


def test_its_own_activation_is_that_of_the_paper() -> None:
    """And it is written into the settings of a model, so that one with another activation keeps it."""
    assert Recurrent(3, 4, cell="min_gru").activations == ["linear_sigmoid"]
    assert Recurrent(3, 4, cell="lstm").activations == ["tanh"]
    assert ModelConfig(cell="min_gru", layers=2).layer_activations == ["linear_sigmoid"] * 2
    settings = build_config({"model": {"cell": "min_gru"}}).plain()
    assert settings["model"]["activation"] == "linear_sigmoid"
    former = ModelConfig.model_validate({"cell": "min_gru", "activation": "tanh"})
    assert former.layer_activations == ["tanh"]
    assert recurrent_stack(former, 3, return_sequences=True).activations == ["tanh"]


SMALL = (
    "--no-baseline", "--set", "model.cell=min_gru", "--set", "model.units=8",
    "--set", "model.recurrent_dropout=0", "--set", "train.epochs=2", "--set", "train.batch_size=16",
)  # fmt: skip


def test_the_command_line_classifies_with_it(sample: Files, tmp_path: Path, run: Run) -> None:
    model = tmp_path / "model"
    files = (sample.train, "--valid", sample.valid, "--test", sample.test, "--out", model)
    refused = run("fit", *files, *SMALL, "--set", "model.recurrent_dropout=0.2")
    assert refused.code == 2
    assert "section model: recurrent_dropout needs a recurrent product, which min_gru" in refused.err
    assert run("fit", *files, "--recipe", "bi-lstm", *SMALL).code == 0
    assert "minGRU" in (model / "README.md").read_text(encoding="utf-8")
    assert run("predict", model, "--text", "It was great").code == 0
    assert "Bidirectional minGRU" in run("inspect", model, "summary").out
    shown = run("inspect", model, "memory", "--steps", 6, "--out", tmp_path / "memory.svg")
    assert shown.code == 0, shown.err
    assert "The mean opening of the keep gate is" in shown.out
    assert "spectral" not in shown.out
    assert "keep" in (tmp_path / "memory.svg").read_text(encoding="utf-8")


def test_the_command_line_tags_and_forecasts_with_it(tmp_path: Path, run: Run) -> None:
    tagged, series = tmp_path / "tagged.txt", tmp_path / "series.csv"
    tagged.write_text("the DET\ndog NOUN\nbarks VERB\n\n" * 30, encoding="utf-8")
    rows = (f"{n},{np.sin(n / 4):.4f}" for n in range(300))
    series.write_text("\n".join(["hour,value", *rows]), encoding="utf-8")
    done = run("fit", tagged, "--task", "tag", "--out", tmp_path / "tagger", *SMALL)
    assert done.code == 0, done.err
    assert "barks" in run("predict", tmp_path / "tagger", "--text", "the dog barks").out
    settings = ("series.target=value", "series.lookback=12", "series.delay=2", "series.step=1")
    chosen = [part for setting in settings for part in ("--set", setting)]
    done = run("fit", series, "--task", "forecast", "--out", tmp_path / "forecaster", *SMALL, *chosen)
    assert done.code == 0, done.err
    assert run("predict", tmp_path / "forecaster", series).code == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_fit_resumes_to_the_same_weights(sample: Files, tmp_path: Path) -> None:
    def command(out: Path, *more: str) -> list[str]:
        settings = ("train.epochs=4", "train.batch_size=4", "train.checkpoint_minutes=0.0005")
        chosen = [part for setting in settings for part in ("--set", setting)]
        files = ("fit", sample.train, "--valid", sample.valid, "--recipe", "lstm", "--out", out)
        return [sys.executable, "-m", "recurra", *map(str, files), *SMALL, *chosen, *more]

    subprocess.run(command(tmp_path / "whole"), check=True, stdout=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed" / "training" / "checkpoint.safetensors"
    with subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.DEVNULL) as process:
        written: set[int] = set()
        while len(written) < 4:
            assert process.poll() is None
            if checkpoint.exists():
                written.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    subprocess.run(command(tmp_path / "killed", "--resume"), check=True, stdout=subprocess.DEVNULL)
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(killed[name], value)
