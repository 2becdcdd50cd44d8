"""What is printed: no control characters of data, any encoding, warnings in one line."""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
import warnings
from pathlib import Path

import pytest

from recurra.cli.terminal import safe_streams
from tests.conftest import Run

ESCAPE = "\x1b[2J\x07\x9b31m\u202e"
LABELS = [f"good{ESCAPE}", f"=bad{ESCAPE}"]
TINY = ("--no-baseline", "--set=train.epochs=1", "--set=model.units=4", "--set=model.embedding=4")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with control characters in column names, texts, labels and its name."""
    path = tmp_path_factory.mktemp("escapes") / f"a{ESCAPE}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"text{ESCAPE}", f"label{ESCAPE}"])
        writer.writerows((f"a film{ESCAPE} number {n} of {ESCAPE}", LABELS[n % 2]) for n in range(40))
    return path


@pytest.fixture
def model(data: Path, run: Run) -> Path:
    """The model of that file, trained once."""
    out = data.parent / "m"
    if not out.exists():
        assert run("fit", data, "--out", out, *TINY).code == 0
    return out


def controls(text: str) -> set[str]:
    return {c for c in text if c == "\u202e" or (unicodedata.category(c) == "Cc" and c not in "\n\t")}


def test_no_verb_prints_a_control_character_of_its_input(run: Run, data: Path, model: Path) -> None:
    good = [
        ("fit", data, "--out", model, "--overwrite", *TINY),
        ("data", "check", data),
        ("evaluate", model, data, "--no-baseline"),
        ("inspect", model, "explain", f"a film{ESCAPE}"),
        ("inspect", model, "words", "film"),
    ]
    bad = [
        ("data", "check", f"no{ESCAPE}file.csv"),
        ("fit", data, f"--set=data.label=no{ESCAPE}column"),
        ("fit", data, f"--no{ESCAPE}option"),
    ]
    for code, commands in ((0, good), (2, bad)):
        for command in commands:
            ran = run(*command)
            assert ran.code == code, (command, ran.err)
            assert not controls(ran.out + ran.err), command
    assert not controls((model / "README.md").read_text("utf-8"))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_of_any_encoding_shows_every_command(
    data: Path, model: Path, run: Run, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["data", "check", str(data)], ["predict", str(model), "--text", "好 \ud800"]):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding)
        monkeypatch.setattr("sys.stdout", stream)
        assert run(*command).code == 0
        stream.flush()
        assert raw.getvalue().decode(encoding)


def test_answers_in_a_pipe_are_as_they_are_and_on_a_terminal_escaped(
    data: Path, model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = next(csv.reader(run("predict", model, "--text", "film").out.splitlines()[1:]))
    assert answer[1] in LABELS
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", "dumb")  # without colours, whose sequences are ours
    run("predict", model, "--text", "film")
    run("predict", model, "--text", "film", "--format", "csv")
    assert not controls(stream.getvalue())


def test_safe_csv_marks_the_cells_that_a_spreadsheet_would_run(data: Path, model: Path, run: Run) -> None:
    texts = [f"--text=a film number {n}" for n in range(6)]
    plain = list(csv.reader(io.StringIO(run("predict", model, *texts).out)))
    safe = list(csv.reader(io.StringIO(run("predict", model, *texts, "--safe-csv").out)))
    assert safe == [[f"'{cell}" if cell.startswith("=") else cell for cell in row] for row in plain]


def test_a_warning_is_one_line_and_the_streams_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr, warnings.showwarning, sys.stdout.errors
    with safe_streams(), warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("two\nlines\x1b", stacklevel=1)
    assert (sys.stdout, sys.stderr, warnings.showwarning, sys.stdout.errors) == before
    assert capsys.readouterr().err == "recurra: warning: two lines\\x1b\n"
