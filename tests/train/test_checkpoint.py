"""Checkpoint files: round trips, detection of damaged files, and behaviour on a full disk."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from train_stand_ins import StandInBatches, loss, make_config, make_model, no_validation, validate

from recurra.errors import BundleError, OutputError
from recurra.files import replacing
from recurra.train.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from recurra.train.loop import train
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord, write_history


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limits files to ``size`` bytes: the system refuses a write in the middle of the file."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_tensors_of_every_dtype_and_numbers_round_trip(tmp_path: Path) -> None:
    weight = torch.randn(3, 5)
    tensors = {
        "a/weight": weight,
        "b/tied": weight,
        "transposed": weight.T,
        "scalar": torch.tensor(3.0),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "half": torch.randn(2, 2).bfloat16(),
        "empty": torch.zeros(0, 4),
        "special": torch.tensor([math.nan, math.inf, -0.0]),
    }
    state = {"numbers": [0.1 + 0.2, 1e-320, math.inf], "text": "中文", "none": None, "deep": {"x": [1, 2]}}
    path = tmp_path / "new" / FILE_NAME
    save_checkpoint(path, tensors, state)
    loaded, loaded_state = load_checkpoint(path)
    assert loaded_state == state
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name].view(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))
        assert loaded[name].shape == tensor.shape


def test_the_file_is_plain_safetensors_and_json(tmp_path: Path) -> None:
    train(make_model(), StandInBatches(), loss, validate, make_config(), folder=tmp_path)
    with safe_open(tmp_path / FILE_NAME, framework="pt") as file:
        assert torch.equal(file.get_tensor("model/calls"), torch.tensor(32))
        assert json.loads(file.metadata()["state"])["state"]["step"] == 32


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, 0.5, -1])
def test_a_truncated_file_raises_a_one_line_error(tmp_path: Path, keep: float) -> None:
    path = tmp_path / FILE_NAME
    save_checkpoint(path, {"x": torch.arange(1000.0)}, {"step": 1})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(BundleError) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


_INTACT: list[bytes] = []


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_any_changed_byte_is_detected(
    tmp_path_factory: pytest.TempPathFactory, place: float, change: int
) -> None:
    path = tmp_path_factory.mktemp("altered") / FILE_NAME
    tensors, state = {"weight": torch.arange(40.0), "n": torch.tensor(3)}, {"step": 12, "loss": 0.25}
    if not _INTACT:
        save_checkpoint(path, tensors, state)
        _INTACT.append(path.read_bytes())
    content = bytearray(_INTACT[0])
    content[int(place * len(content))] ^= change
    path.write_bytes(content)
    # A few bytes have no meaning (the white space that pads the header): then the content must be equal.
    with contextlib.suppress(BundleError):
        loaded, loaded_state = load_checkpoint(path)
        assert loaded_state == state
        assert {name: tensor.tolist() for name, tensor in loaded.items()} == {
            name: tensor.tolist() for name, tensor in tensors.items()
        }


def test_a_safetensors_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / FILE_NAME)
    with pytest.raises(BundleError, match="the checkpoint has format None"):
        load_checkpoint(tmp_path / FILE_NAME)
    save_checkpoint(tmp_path / FILE_NAME, {"x": torch.zeros(2)}, {"settings": {}})
    with pytest.raises(BundleError, match="the checkpoint has no"):
        train(make_model(), StandInBatches(), loss, validate, make_config(), folder=tmp_path, resume=True)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    """The disk is full from the middle of epoch 2 on; training then resumes from the end of epoch 1."""
    config = make_config()
    limit = full_disk(2000)

    class Filler(Observer):
        def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
            if (epoch, batch) == (2, 4):
                limit.__enter__()

    try:
        with pytest.raises(OutputError) as caught:
            train(make_model(), StandInBatches(), loss, validate, config, folder=tmp_path, observer=Filler())
    finally:
        limit.__exit__(None, None, None)
    assert "checkpoint.safetensors: can't be written" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE_NAME, "history.csv"]
    _, saved = load_checkpoint(tmp_path / FILE_NAME)
    assert saved["state"]["step"] == 8

    resumed, whole = make_model(9), make_model()
    train(resumed, StandInBatches(), loss, validate, config, folder=tmp_path, resume=True)
    train(whole, StandInBatches(), loss, validate, config)
    assert torch.equal(resumed.embedding.weight, whole.embedding.weight)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_keeps_the_previous_history(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write_history(path, [EpochRecord(1, 1, 1.0, 1.0, 1.0, 1.0)])
    before = path.read_bytes()
    with full_disk(50), pytest.raises(OutputError, match=r"history\.csv: can't be written"):
        write_history(path, [EpochRecord(n, n, 1.0, 1.0, 1.0, 1.0) for n in range(9)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_while_writing_keeps_the_previous_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_training_replaces_the_checkpoint_of_an_earlier_one(tmp_path: Path) -> None:
    """A run that stops before the end of its first epoch must not be resumed from an earlier run."""
    train(make_model(), StandInBatches(), loss, validate, make_config(), folder=tmp_path)

    class Exits(Observer):
        def on_batch(self, *_: Any) -> None:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(
            make_model(), StandInBatches(), loss, validate, make_config(), folder=tmp_path, observer=Exits()
        )
    assert load_checkpoint(tmp_path / FILE_NAME)[1]["state"]["step"] == 0


def test_checkpoints_within_an_epoch_follow_checkpoint_minutes(tmp_path: Path) -> None:
    steps: list[int] = []

    class Reader(Observer):
        def on_batch(self, *_: Any) -> None:
            steps.append(load_checkpoint(tmp_path / FILE_NAME)[1]["state"]["step"])

    for minutes, expected in ((1e-9, list(range(16))), (1e6, [0] * 8 + [8] * 8)):
        steps.clear()
        config = make_config(epochs=2, checkpoint_minutes=minutes)
        train(make_model(), StandInBatches(), loss, no_validation, config, folder=tmp_path, observer=Reader())
        assert steps == expected


def test_the_observer_is_told_of_every_checkpoint_when_it_is_on_the_disk(tmp_path: Path) -> None:
    steps: list[int] = []

    class Reader(Observer):
        def on_checkpoint(self) -> None:
            steps.append(load_checkpoint(tmp_path / FILE_NAME)[1]["state"]["step"])

    def steps_of(**more: Any) -> list[int]:
        steps.clear()
        train(make_model(), StandInBatches(), loss, no_validation, observer=Reader(), **more)
        return list(steps)

    once, often = (make_config(epochs=2, checkpoint_minutes=minutes) for minutes in (1e6, 1e-9))
    assert steps_of(config=once, folder=tmp_path) == [0, 8, 16]
    assert steps_of(config=often, folder=tmp_path) == list(range(17))
    assert steps_of(config=make_config(epochs=3), folder=tmp_path, resume=True) == [24]
    assert steps_of(config=often) == []
