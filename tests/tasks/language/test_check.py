"""The check of texts for a language model counts known defects, and goes on after each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recurra.errors import DataError
from recurra.tasks.language.check import LanguageCheck, check_files
from recurra.tasks.language.settings import LanguageModelConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from tests.conftest import Run


def checked(train: Path, test: Path | None = None, **settings: object) -> LanguageCheck:
    config = build_config({"task": "lm"}, settings)
    assert isinstance(config, LanguageModelConfig)
    return LanguageCheck.model_validate(check_files(train, config, Reporter(), test=test))


def put(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_what_is_counted(tmp_path: Path) -> None:
    train = put(tmp_path / "a.txt", "the dog sees", "", "a cat", "the dog sees", "")
    report = checked(train, put(tmp_path / "b.txt", "the dog sees", "an owl"))
    part = report.parts["train"]
    assert (part.texts, part.characters, part.tokens) == (5, 29, 8)
    assert (part.empty, part.duplicates) == (2, 1)
    assert part.lengths == {"50": 2, "95": 3, "100": 3}
    assert report.vocabulary == 3 + 5
    assert report.parts["test"].also_in_train == 1
    assert (report.held_out, report.unknown) == ("test", pytest.approx(2 / 5))
    said = "\n".join(report.warnings)
    assert "test: 1 text is also in train" in said
    assert "40% of the held-out tokens are unknown" in said
    assert "8 tokens are few" in said


def test_the_last_lines_of_a_text_are_held_out(tmp_path: Path) -> None:
    lines = [*["a b c d e f g h i"] * 9, "x y z x y z x y z"]
    report = checked(put(tmp_path / "a.txt", *lines))
    assert (report.held_out, report.unknown) == ("1 text held out", 1.0)


def test_broken_rows_are_counted_and_the_check_goes_on(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.jsonl", *['{"text": "the dog sees it"}'] * 9, '{"text": ', '{"text": "and so on"}'
    )
    report = checked(path)
    assert (report.parts["train"].texts, report.parts["train"].broken) == (10, 1)
    assert "train: 1 row is broken (row 10: is not JSON" in report.warnings[0]
    path.write_bytes(b'{"text": \n')
    with pytest.raises(DataError):
        checked(path)


def test_one_text_alone_has_nothing_held_out(tmp_path: Path) -> None:
    report = checked(put(tmp_path / "a.txt", "one line <unk> only"))
    assert report.unknown is None
    said = "\n".join(report.warnings)
    assert "there is only one text" in said
    assert "tokenizer.level=whitespace" in said


def test_the_command_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.txt", *(f"the dog sees cat {n}" for n in range(30)))
    ran = run("data", "check", "a.txt", "--task", "lm")
    assert ran.code == 0, ran.err
    assert "to train: recurra fit a.txt --task lm\n" in ran.out
    assert (
        json.loads(run("data", "check", "a.txt", "--task", "lm", "--json").out)["parts"]["train"]["texts"]
        == 30
    )
