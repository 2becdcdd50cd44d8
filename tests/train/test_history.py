"""history.csv, TensorBoard logs, and the progress display."""

from __future__ import annotations

import csv
import io
import itertools
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import rich.cells
from rich.console import Console
from train_stand_ins import StandInBatches, loss, make_config, make_model, validate

from recurra.errors import ConfigError, DependencyError
from recurra.train import progress as progress_module
from recurra.train.loop import train
from recurra.train.progress import ProgressObserver, epoch_line, time_text
from recurra.train.state import EpochRecord, write_history

METRICS = {"valid_loss": 0.31, "valid_accuracy": 0.9, "valid_macro_f1": 0.89, "valid_auc": 0.95}


def record(epoch: int = 1, **metrics: float) -> EpochRecord:
    return EpochRecord(epoch, 20 * epoch, 0.5, 0.001, 61.0, 81_234.5, metrics)


def test_the_csv_has_every_metric_in_full_precision(tmp_path: Path) -> None:
    outcome = train(make_model(), StandInBatches(), loss, validate, make_config(epochs=3), folder=tmp_path)
    with (tmp_path / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "step", "train_loss", "learning_rate", "seconds", "tokens_per_second",
        "valid_loss", "valid_accuracy",
    ]  # fmt: skip
    assert [EpochRecord.from_row(row) for row in rows] == outcome.history


def test_a_metric_that_appears_later_gets_a_column(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [record(1), record(2, valid_auc=0.5)])
    with (tmp_path / "history.csv").open(encoding="utf-8", newline="") as file:
        assert [row["valid_auc"] for row in csv.DictReader(file)] == ["", "0.5"]


def test_tensorboard_has_every_batch_and_epoch_once_after_resuming(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = make_config(epochs=2, tensorboard=True)
    train(make_model(), StandInBatches(), loss, validate, config, folder=tmp_path)
    config = make_config(epochs=3, tensorboard=True)
    outcome = train(make_model(), StandInBatches(), loss, validate, config, folder=tmp_path, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("batch/loss")] == list(range(1, 25))
    shown = events.Scalars("epoch/valid_loss")
    assert [event.step for event in shown] == [8, 16, 24]
    expected = [entry.metrics["valid_loss"] for entry in outcome.history]
    assert [event.value for event in shown] == pytest.approx(expected)


def test_tensorboard_not_installed_or_without_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tensorboard=True)
    with pytest.raises(ConfigError, match="need a folder"):
        train(make_model(), StandInBatches(), loss, validate, config)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DependencyError, match=re.escape("pip install 'recurra[tensorboard]'")):
        train(make_model(), StandInBatches(), loss, validate, config, folder=tmp_path)


@pytest.mark.parametrize("width", range(1, 100))
def test_the_line_of_an_epoch_fits_the_width(width: int) -> None:
    line = epoch_line(record(3, **METRICS), 100, True, width)
    assert 0 < len(line) <= width
    if width >= 40:
        assert "epoch   3/100" in line
        assert "valid loss 0.3100" in line


def test_a_wide_line_omits_nothing() -> None:
    assert epoch_line(record(3, **METRICS), 10, True, 200) == (
        "epoch  3/10  loss 0.5000  valid loss 0.3100  accuracy 0.9000"
        "  macro f1 0.8900  auc 0.9500  1:01  best"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (3599.9, "1:00:00"), (90061, "25:01:01")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert time_text(seconds) == shown


def show(console: Console, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the output of two epochs of twenty batches; each call of the fake clock adds two seconds."""
    clock = itertools.count(0, 2)
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    observer = ProgressObserver(console)
    observer.on_start(2, 20, 5)
    for epoch in (1, 2):
        for batch in range(1, 21):
            observer.on_batch(epoch, batch, 0.5, 5000, 0.5)
            if observer._bar is not None:
                observer._bar.refresh()
        observer.on_epoch(record(epoch, **METRICS), epoch == 1)
    observer.on_end()
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


@pytest.mark.parametrize("width", [25, 40, 80, 200])
def test_a_terminal_shows_a_bar_of_one_line(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False
    )
    output = show(console, monkeypatch)
    lines = [line for line in re.split(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]", output) if line.strip()]
    assert all(rich.cells.cell_len(line) <= width for line in lines)
    bars = [line for line in lines if "━" in line]
    assert len(bars) > 20
    if width >= 40:
        assert any(re.search(r"epoch 1/2 .*loss 0\.5000 .*0:\d\d left", line) for line in bars)
        assert any("validating" in line for line in bars)
    if width >= 80:
        assert any("10k tok/s" in line for line in bars)


def test_other_outputs_get_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    lines = show(console, monkeypatch).splitlines()
    assert lines[0] == "resumed after step 5"
    assert lines[-1] == "epoch 2/2  loss 0.5000  valid loss 0.3100  accuracy 0.9000  1:01"
    assert "\x1b" not in "".join(lines)
    assert 2 < len(lines) < 10  # one line an epoch, and one every half minute
    assert any(re.match(r"epoch 1/2  \d+%  loss 0.5000  10k tok/s  0:\d\d left", line) for line in lines)
