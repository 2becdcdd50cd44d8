"""Everything that depends on the device: on the CPU always, on a GPU where there is one (marker ``gpu``)."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from recurra.cells import BUILT_IN, cell_named
from recurra.kernels import torch_native
from recurra.kernels.dispatch import fastest
from recurra.precision import float32_products
from recurra.runtime import choose_device
from recurra.tasks.use import load
from tests.conftest import Files, Run
from tests.problems import Problem, assert_same, make_problem
from tests.tasks.forecasting.test_path import hourly_lines
from tests.tasks.language.test_language_task import sentences
from tests.tasks.tagging.test_task import conllu, invented

GPU = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]
)
DEVICES = ["cpu", GPU]
SHAPES = [(1, 1, 1, 4), (33, 9, 5, 20)]


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """float32 products without TF32, so that a GPU can be compared with the CPU."""
    with float32_products(torch.device("cuda")):
        yield


def on(problem: Problem, device: str) -> Problem:
    """The same problem in float32 on a device."""

    def moved(value: torch.Tensor | None) -> Any:
        if value is None:
            return None
        return value.to(device, torch.float32 if value.is_floating_point() else value.dtype)

    names = ("lengths", "mask", "mask_reverse", "input_mask", "input_mask_reverse", "index")
    tensors = {name: moved(value) for name, value in problem.tensors.items()}
    return replace(problem, tensors=tensors, **{name: moved(getattr(problem, name)) for name in names})


class OnDevice(Problem):
    """A problem whose upstream gradients are on the device of its outputs."""

    def loss(self, found: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().loss({name: value.cpu() for name, value in found.items()})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("masked", [False, True], ids=["", "recurrent dropout"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", BUILT_IN)
def test_cells_equal_the_reference(
    cell: str, shape: tuple[int, ...], directions: int, masked: bool, device: str
) -> None:
    if masked and not cell_named(cell).recurrent_dropout:
        pytest.skip("the cell has no recurrent dropout")
    T, B, _, _ = shape
    for lengths in (None, [(5 * row + 3) % (T + 1) for row in range(B)]):
        exact = make_problem(cell, *shape, lengths=lengths, masked=masked, directions=directions)
        problem = on(exact, device)
        found = OnDevice(**vars(problem)).solve()
        assert {value.device.type for value in found.values()} == {device}
        expected = exact.solve(backend="reference")
        # The exponential gates of the sLSTM magnify the rounding of float32.
        tolerance = 2e-3 if cell == "slstm" else 3e-5
        assert_same({name: value.cpu() for name, value in found.items()}, expected, tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("masked", [False, True], ids=["", "recurrent dropout"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", BUILT_IN)
def test_cells_in_bfloat16_are_near_the_reference(
    cell: str, directions: int, masked: bool, device: str
) -> None:
    """By the backend that a GPU chooses: on the CPU too, where ``auto`` would choose another."""
    if masked and not cell_named(cell).recurrent_dropout:
        pytest.skip("the cell has no recurrent dropout")
    for lengths in (None, [7, 0, 3, 1, 6]):
        exact = make_problem(
            cell, 7, 5, 3, 8, lengths=lengths, masked=masked, directions=directions,
            initial=cell != "slstm",  # whose outputs are divided by a part of the state: above 0 from zeros
        )  # fmt: skip
        problem = on(exact, device)
        backend = "torch" if cell in ("simple_rnn", "lstm", "gru") and not masked else "reference"
        if device != "cpu":
            (call, *_) = problem.calls(problem.tensors, precision="bfloat16")
            assert fastest(call) == backend
        found = OnDevice(**vars(problem)).solve(backend=backend, precision="bfloat16")
        assert {value.dtype for value in found.values()} == {torch.float32}
        expected = exact.solve(backend="reference")
        tolerance = 4 * 7 * 2**-9  # 7 steps, each of which rounds to 8 bits some four times
        assert_same({name: value.cpu() for name, value in found.items()}, expected, tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_the_standard_cells_use_cudnn_where_it_computes_the_same(cell: str, device: str) -> None:
    plain, masked = (on(make_problem(cell, 5, 2, 3, 4, masked=masked), device) for masked in (False, True))
    for problem, supported in ((plain, True), (masked, False)):
        (call,) = problem.calls(problem.tensors)
        assert (torch_native.unsupported_reason(call) is None) == supported
        if device != "cpu":
            assert fastest(call) == ("torch" if supported else "reference")


def files(task: str, folder: Path, sample: Files) -> list[Any]:
    """The arguments of a small fit."""

    def write(name: str, lines: list[str]) -> Path:
        path = folder / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    small = ["--set", "model.units=8", "--set", "train.batch_size=16", "--set", "train.epochs=2"]
    if task == "classify":
        return [sample.train, "--valid", sample.valid, "--test", sample.test, "--recipe", "lstm", *small]
    if task == "tag":
        data = folder / "train.conllu"
        data.write_text(conllu(invented(60, 1)), encoding="utf-8")
        return [data, *small, "--set", "model.recurrent_dropout=0.2"]
    if task == "lm":
        return [write("texts.txt", sentences(120, 1)), "--task", "lm", *small, "--set", "language.bptt=8"]
    lines = hourly_lines(300)
    more = ["--target", "temp", "--set", "series.lookback=12h", "--set", "series.delay=2h"]
    return [write("hours.csv", lines), *more, *small]


def in_precision(precision: str, device: str) -> list[str]:
    """Options of a precision; mixed precision needs torch's kernels, which are not the CPU's choice."""
    options = ["--set", f"train.device={device}", "--set", f"model.precision={precision}"]
    mixed_here = device == "cpu" and precision == "bfloat16"
    return [*options, *(["--set", "model.backend=torch"] if mixed_here else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("task", "precision"),
    [
        *((task, "float32") for task in ("classify", "tag", "lm", "forecast")),
        *((task, "bfloat16") for task in ("classify", "lm", "forecast")),
    ],
)
def test_a_model_trained_on_a_device_answers_the_same_on_the_cpu(
    task: str, precision: str, device: str, sample: Files, tmp_path: Path, run: Run
) -> None:
    given = files(task, tmp_path, sample)
    out = tmp_path / "model"
    fitted = run("fit", *given, *in_precision(precision, device), "--out", out, "--json")
    assert fitted.code == 0, fitted.err
    with (out / "history.csv").open(encoding="utf-8", newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    bundle = load(out)
    assert {parameter.device.type for parameter in bundle.model.parameters()} == {"cpu"}
    on_cpu = json.loads(run("evaluate", out, given[0], "--json").out)
    assert np.isfinite(list(_numbers(on_cpu))).all()
    if task == "classify":
        there = json.loads(run("evaluate", out, sample.test, "--json").out)
        tested = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        for name in ("accuracy", "log_loss"):
            tolerance = 1e-4 if precision == "float32" else 2e-2  # the CPU rounds less
            assert there["model"][name] == pytest.approx(tested["model"][name], abs=tolerance)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _numbers(one)
    elif isinstance(value, int | float):
        yield float(value)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("task", "precision"), [("classify", "float32"), ("classify", "bfloat16"), ("lm", "bfloat16")]
)
def test_training_resumes_on_a_device(
    task: str,
    precision: str,
    device: str,
    sample: Files,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [*files(task, tmp_path, sample), "--no-baseline", *in_precision(precision, device)]
    given += ["--set", "model.dropout=0.2"]
    if precision == "float32":  # which torch's kernels do not have
        given += ["--set", "model.recurrent_dropout=0.2"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run("fit", *given, "--out", whole).code == 0
    from recurra.train import loop

    step, steps = loop._step, 0

    def interrupted(*arguments: Any, **options: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == 7:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments, **options)

    monkeypatch.setattr(loop, "_step", interrupted)
    assert run("fit", *given, "--out", parts).code in (0, 130)
    monkeypatch.setattr(loop, "_step", step)
    assert run("fit", *given, "--out", parts, "--resume").code == 0
    a, b = (safetensors.numpy.load_file(folder / "model.safetensors") for folder in (whole, parts))
    for name in a:
        if device == "cpu":
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
        else:  # sums of a GPU have no fixed order
            np.testing.assert_allclose(a[name], b[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_is_on_this_machine(device: str) -> None:
    assert choose_device(device).type == device
