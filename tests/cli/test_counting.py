"""Long steps over rows show a bar on a terminal, and nothing in a pipe or with -q."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.errors import LiveError
from rich.progress import Progress

from recurra.cli import counting
from recurra.cli.screen import Screen
from recurra.tasks.fit import Fitted
from tests.conftest import Files, Run

SHOWN = ("tokenizing", "testing", "predicting")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are shown from the first row."""
    monkeypatch.setattr(counting, "PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("patient")
def test_a_bar_is_shown_on_a_terminal_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    for total, said in ((20, "10/20"), (None, "10/?")):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        with Screen().counting("testing", total) as tick:
            tick(10)
        assert "testing" in terminal.getvalue()
        assert said in terminal.getvalue()
        assert terminal.getvalue().endswith(("\x1b[2K", "\x1b[?25h"))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_rows_are_counted_while_the_bar_of_the_epochs_is_shown(
    one_at_a_time: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, start = Terminal(), Progress.start

    def refused(bar: Progress) -> None:
        if one_at_a_time and bar.tasks[0].description == "validating":
            raise LiveError("Only one live display may be active at once")  # rich before 14.1
        start(bar)

    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(Progress, "start", refused)
    screen = Screen()
    observer = screen.observer()
    observer.on_start(1, 2, None)
    observer.on_batch(1, 1, 0.5, 10, 0.1)
    with screen.counting("validating", 20) as tick:
        tick(10)
        observer._bar.refresh()  # type: ignore[attr-defined]
    observer.on_batch(1, 2, 0.5, 10, 0.1)
    observer.on_end()
    assert ("10/20" in terminal.getvalue()) is not one_at_a_time
    assert "epoch" in terminal.getvalue()


@pytest.mark.usefixtures("patient")
def test_nothing_is_shown_in_a_pipe_or_with_q(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, quiet in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        with Screen(quiet=quiet).counting("testing", 20) as tick:
            tick(10)
        assert stream.getvalue() == ""


@pytest.mark.usefixtures("patient")
def test_the_steps_that_are_long_are_counted(
    run: Run, trained: Fitted, sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: dict[str, int] = {}

    def watched(self: Screen, what: str, total: int | None = None) -> object:
        class Watch:
            def __enter__(self) -> object:
                rows[what] = 0
                return self

            def __exit__(self, *_: object) -> None: ...

            def __call__(self, count: int) -> None:
                rows[what] += count

        return Watch()

    monkeypatch.setattr(Screen, "counting", watched)
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    assert run("evaluate", trained.folder, sample.test, "--no-baseline").code == 0
    assert run("predict", trained.folder, sample.test, "--out", tmp_path / "a.csv").code == 0
    assert {name: rows[name] for name in SHOWN} == dict.fromkeys(SHOWN, 80)
    assert (
        run("fit", sample.train, "--out", tmp_path / "m", "--set", "train.epochs=1", "--no-baseline").code
        == 0
    )
    assert rows["learning the vocabulary"] == 256
    assert rows["tokenizing"] == 300
    assert rows["testing"] == 30
