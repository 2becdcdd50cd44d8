"""The check of tagged sentences counts known defects, and goes on after each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.tasks.reporter import Reporter
from recurra.tasks.tagging.check import TaggingCheck, check_files
from recurra.tasks.tagging.settings import TaggerConfig
from tests.conftest import Run

LONG = "Ann/B-PER Lee/I-PER went to New/B-LOC York/I-LOC"


def put(path: Path, *sentences: str) -> Path:
    """A file of a word and its tag a line, from sentences with ``word/tag``; words without a tag have O."""
    lines: list[str] = []
    for sentence in sentences:
        lines += ["\t".join(([*word.split("/"), "O"])[:2]) for word in sentence.split()] + [""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def checked(*paths: Path, **data: Any) -> TaggingCheck:
    names = dict(zip(("valid", "test"), paths[1:], strict=False))
    found = check_files(paths[0], TaggerConfig(data=DataConfig(**data)), Reporter(), **names)
    return TaggingCheck.model_validate(found)


def test_what_is_counted(tmp_path: Path) -> None:
    train = put(tmp_path / "a.iob2", LONG, "Ann/B-PER slept", "Ann/O slept", "a b c", LONG)
    test = put(tmp_path / "b.iob2", LONG, "Bob/B-ORG slept", "a b c")
    report = checked(train, put(tmp_path / "v.iob2", "a b"), test)
    part = report.parts["train"]
    assert (part.sentences, part.words, part.different) == (5, 19, 10)
    assert part.tags == {"O": 10, "B-PER": 3, "I-PER": 2, "B-LOC": 2, "I-LOC": 2}
    assert part.lengths == {"50": 3, "95": 6, "100": 6}
    assert part.ambiguous == pytest.approx(4 / 19)  # Ann
    assert (part.duplicates, part.conflicts) == (2, 1)
    assert [part.also_in_train for part in report.parts.values()] == [0, 0, 1]
    assert (report.held_out, report.unknown) == ("test", pytest.approx(1 / 11))
    assert report.scheme == "iob2"
    said = "\n".join(report.warnings)
    for warning in (
        "train: 1 repeated sentence has other tags",
        "test: 1 sentence of 5 words or more also in train",
        "test: 1 word has tags that are not in train (B-ORG)",
    ):
        assert warning in said


def test_broken_sentences_are_counted_and_the_check_goes_on(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conll", *["the/D cat/N sat/V"] * 9)
    path.write_text(path.read_text() + "\n\nlonely\nx\tN\n\nmany\tmore\tcolumns\nhere\tN\n")
    report = checked(path)
    part = report.parts["train"]
    assert (part.sentences, part.broken) == (9, 2)
    assert (
        "train: 2 sentences are broken (row 38: the word 'lonely' has no tag; row 41: " in report.warnings[0]
    )
    (tmp_path / "b.conll").write_text("a\nb\n\nc\tX\n")
    with pytest.raises(DataError):
        checked(tmp_path / "b.conll")


@pytest.mark.parametrize(
    ("sentences", "said"),
    [
        (["a/X b/X", "c/X d/X"], "there is one tag only"),
        (["Ann/B-PER Lee/I-PER", "the/O Lee/I-PER"], "1 of 2 sentences do not follow the scheme IOB2"),
        (["a " * 9 + "Ann/B-PER", "b " * 9 + "Ann/B-PER Lee/I-PER"], "86% of the words have the tag O"),
        ([" ".join(f"w{n}/{n}" for n in range(1500)), "a/X"], "1,501 different tags of 1,501 words"),
        (["a/X b/Y"], "there is one sentence only"),
    ],
)
def test_warnings(tmp_path: Path, sentences: list[str], said: str) -> None:
    assert said in "\n".join(checked(put(tmp_path / "a.conll", *sentences)).warnings)


def test_the_command_line_takes_the_task_from_the_file_or_the_option(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.conll", *["the/D cat/N sat/V"] * 9)
    ran = run("data", "check", "a.conll")
    assert ran.code == 0, ran.err
    assert "words a sentence, longest" in ran.out
    assert "to train: recurra fit a.conll\n" in ran.out
    put(tmp_path / "b.txt", *["the/D cat/N sat/V"] * 9)
    ran = run("data", "check", "b.txt", "--task", "tag", "--json")
    assert json.loads(ran.out)["parts"]["train"]["tags"] == {"D": 9, "N": 9, "V": 9}
    assert "to train: recurra fit b.txt" in ran.err
