"""The command line as people meet it: spoken answers, narrow outputs, quiet runs, headings, interruptions."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.cli.screen import Screen
from recurra.cli.spoken import speak
from recurra.tasks.answers import Answers
from recurra.tasks.fit import Fitted
from tests.conftest import Files, Run

TINY = ("--no-baseline", "--set=train.epochs=1", "--set=model.units=4", "--set=model.embedding=4")


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal as standard output; not a fixture, since pytest changes the stream when the test begins."""
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", "dumb")
    return stream


def test_predict_speaks_to_a_person_on_a_terminal_only(
    run: Run, trained: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = terminal_of(monkeypatch)
    answers: dict[str, str] = {}
    for kind in ("", "--format=csv", "--safe-csv", "--json"):
        terminal.seek(0)
        terminal.truncate()
        assert run("predict", trained.folder, "--text", "It was great", *filter(None, [kind])).code == 0
        answers[kind] = terminal.getvalue()
    spoken = answers.pop("")
    assert all(answer.startswith("row,label,confidence,note,p_neg,p_pos\n1,") for answer in answers.values())
    (row,) = csv.DictReader(io.StringIO(answers["--format=csv"]))
    assert "row" not in spoken
    first, second = spoken.splitlines()
    assert first.split()[0] == row["label"]
    assert first.endswith(f"{100 * max(float(row['p_neg']), float(row['p_pos'])):.1f}%")
    assert {first.split()[0], second.split()[0]} == {"neg", "pos"}


def test_pipes_and_files_get_csv(run: Run, trained: Fitted, tmp_path: Path) -> None:
    piped = run("predict", trained.folder, "--text", "It was great").out
    assert piped.startswith("row,label,confidence,note,p_neg,p_pos\n")
    assert run("predict", trained.folder, "--text", "It was great", "--out", tmp_path / "a.csv").code == 0
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == piped


def spoken(fields: list[str], records: list[dict[str, Any]], texts: list[str], out: io.StringIO) -> str:
    assert speak(Answers(fields, iter(records)), texts, Screen()) == len(records)
    return out.getvalue()


def test_many_classes_and_several_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    many = {f"class {n}": (0.9 if n == 7 else 0.1 / 29) for n in range(30)}
    text = spoken(
        ["row"], [{"row": 1, "label": "class 7", "confidence": 0.9, "probabilities": many}], ["a"], terminal
    )
    lines = text.splitlines()
    assert lines[0].split()[:2] == ["class", "7"]
    assert len(lines) == 4
    assert "27 other classes: 9.3% together" in lines[-1]
    top = {name: many[name] for name in ("class 7", "class 0", "class 1", "class 2", "class 3")}
    short = {"row": 1, "label": "class 7", "confidence": 0.9, "probabilities": top, "other_classes": 25}
    terminal.truncate(0)
    assert "27 other classes: 9.3% together" in spoken(["row"], [short], ["a"], terminal).splitlines()[-1]
    several = {"a": 0.9, "b": 0.7, "c": 0.2, "d": 0.1}
    text = spoken(["row"], [{"row": 1, "label": ["a", "b"], "probabilities": several}], ["a"], terminal)
    assert "1 other class" in text.splitlines()[-1]
    rare = {"row": 1, "label": ["d"], "probabilities": several}  # by its own threshold
    terminal.truncate(0)
    assert spoken(["row"], [rare], ["a"], terminal).strip("\x00").split()[0] == "d"
    empty = {"row": 1, "label": [], "note": "empty text", "probabilities": {"a": 0.2}}
    none = spoken(["row"], [empty], ["a"], terminal)
    assert "no label is predicted" in none
    assert "! empty text" in none


def test_other_answers_are_tables_by_text(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    words = [
        {"sentence": s, "position": n, "word": word, "tag": "X", "probability": 0.5}
        for s, sentence in enumerate(("one two", "three"), 1)
        for n, word in enumerate(sentence.split(), 1)
    ]
    fields = ["sentence", "position", "word", "tag", "probability"]
    text = spoken(fields, words, ["one two", "three"], terminal)
    assert [line for line in text.splitlines() if line.strip() in ("one two", "three")] == [
        "one two",
        "three",
    ]
    assert all(word in text for word in ("position", "tag", "0.5"))
    assert spoken(["row", "text"], [{"row": 1, "text": "and so on"}], ["x"], terminal).endswith("and so on\n")


@settings(max_examples=25, deadline=None)
@given(st.text(), st.floats(0, 1), st.integers(1, 3))
def test_any_label_and_text_can_be_spoken(name: str, probability: float, texts: int) -> None:
    records = [
        {"row": n + 1, "label": name, "probabilities": {name: probability, "b": 0.5}} for n in range(texts)
    ]
    screen = Screen()
    screen.console.file = io.StringIO()
    assert speak(Answers(["row"], iter(records)), [name] * texts, screen) == texts


def test_a_pipe_obeys_columns_and_narrow_tables_are_stacked(
    run: Run, trained: Fitted, sample: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = ("evaluate", trained.folder, sample.test, "--no-baseline")
    widths = {}
    for columns in ("", "wide", "0", "50", "40"):
        monkeypatch.setenv("COLUMNS", columns)
        for command in (evaluate, ("inspect", trained.folder, "summary")):
            out = run(*command).out
            widths[columns] = max(map(len, out.splitlines()))
            if columns in ("50", "40"):
                assert widths[columns] <= int(columns), out
                assert "output shape" not in out.splitlines()[0]
    monkeypatch.setenv("COLUMNS", "59")
    stacked = run("inspect", trained.folder, "summary").out
    monkeypatch.setenv("COLUMNS", "60")
    table = run("inspect", trained.folder, "summary").out
    assert stacked.count("parameters") > 3
    assert table.count("parameters") == 1


def test_quiet_prints_warnings_and_errors_only(run: Run, sample: Files, tmp_path: Path) -> None:
    ran = run("fit", sample.train, "--out", tmp_path / "m", "-q", *TINY)
    assert (ran.code, ran.out) == (0, "")
    assert "no test file" in ran.err
    assert "Reading" not in ran.err
    assert (tmp_path / "m" / "report.html").is_file()
    ran = run("evaluate", tmp_path / "m", sample.test, "--quiet", "--no-baseline", "--json")
    assert json.loads(ran.out)["evaluated_on"] == "test"
    assert ran.err == ""
    assert run("evaluate", tmp_path / "m", tmp_path / "none.csv", "-q").err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        lambda model, missing: ("fit", missing),
        lambda model, missing: ("evaluate", model, missing),
        lambda model, missing: ("data", "check", missing),
        lambda model, missing: ("compare", missing, "--recipes", "lstm,gru"),
        lambda model, missing: ("inspect", model, "memory", missing),
    ],
)
def test_no_heading_comes_before_an_error(
    command: Callable[[Path, Path], tuple[object, ...]], run: Run, trained: Fitted, tmp_path: Path
) -> None:
    ran = run(*command(trained.folder, tmp_path / "missing.csv"))
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.count("\n") == 1


def test_help_lists_options_in_groups(run: Run) -> None:
    out = run("fit", "--help").out
    groups = ["Arguments:", "Data:", "Network and training:", "Pretrained weights:", "Model and run:"]
    assert [out.count(f"\n{group}\n") for group in [*groups, "Options:"]] == [1] * 6
    assert out.index("\nArguments:") < out.index("\nData:") < out.index("\nOptions:")
    assert out.index("\nPretrained weights:") < out.index("--freeze")
    assert "\nLanguage models:\n" in run("predict", "--help").out


def test_ctrl_c_within_the_first_epoch_says_that_nothing_was_validated(
    run: Run, sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    fit = ("fit", sample.train, "--out", tmp_path / "m", *TINY, "--set=train.batch_size=8")
    with monkeypatch.context() as patch:
        patch.setattr("recurra.train.progress.ProgressObserver.on_batch", press)
        ran = run(*fit)
    assert ran.code == 0
    said = " ".join(ran.out.split())
    assert "interrupted before the first epoch ended: the weights so far are kept, though none" in said
    assert "weights of epoch" not in said
    assert run("predict", tmp_path / "m", "--text", "It was great").code == 0
    assert run(*fit, "--resume").code == 0


def test_notes_stay_indented_where_they_wrap(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    screen = Screen()
    screen.note("a sentence of more than thirty letters that wraps")
    screen.warn("a warning of more than thirty letters that wraps")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert all(line.startswith("  ") for line in lines)


def test_ctrl_c_says_what_is_kept(
    run: Run, sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    fit = ("fit", sample.train, "--out", tmp_path / "m", *TINY)
    with monkeypatch.context() as patch:  # while the libraries are imported
        patch.setattr("recurra.store.stamp", interrupted)
        ran = run(*fit)
        assert (ran.code, ran.err.count("\n")) == (130, 1)
        assert "nothing was trained yet, and nothing is changed" in ran.err
    with monkeypatch.context() as patch:
        patch.setattr("recurra.tasks.training.report_summary", interrupted)
        ran = run(*fit)
        assert (ran.code, ran.err) == (
            130,
            "recurra: interrupted: nothing was trained yet, and nothing is kept\n",
        )
    assert not (tmp_path / "m").exists()
    with monkeypatch.context() as patch:
        patch.setattr("recurra.train.progress.ProgressObserver.on_batch", interrupted)
        ran = run(*fit)
        assert ran.code == 130
        assert "the same command with --resume goes on" in ran.err
    with monkeypatch.context() as patch:
        patch.setattr("recurra.tasks.fit.AssessOptions", interrupted)
        ran = run(*fit, "--resume")
        assert ran.code == 130
        assert f"the trained model is in {tmp_path / 'm'}, without its report" in ran.err
    assert run("predict", tmp_path / "m", "--text", "It was great").code == 0
    with monkeypatch.context() as patch:
        patch.setattr("recurra.tasks.training_files.open_pretrained", interrupted)
        ran = run(*fit, "--overwrite")
        assert ran.code == 130
    assert run("predict", tmp_path / "m", "--text", "It was great").code == 0
