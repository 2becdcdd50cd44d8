"""Answers are written in the format that the command line or the file's suffix chooses."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import get_args

import pytest

from recurra.cli.use import predict
from recurra.tasks.answers import ANSWER_FORMATS, Answers, format_of, write_answers

RECORDS = [{"label": "a, b", "score": 0.25}, {"label": "好", "score": 1}]


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.csv", "csv"), ("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"), ("a.json", "jsonl"), ("a.txt", "csv")],
)
def test_the_suffix_chooses_the_format(path: str, name: str) -> None:
    assert format_of(Path(path)) == name
    assert format_of(None) == "csv"


def test_answers_as_csv_and_json_lines() -> None:
    for name, expected in {
        "csv": 'label,score\n"a, b",0.250000\n好,1\n',
        "jsonl": '{"label": "a, b", "score": 0.25}\n{"label": "好", "score": 1}\n',
    }.items():
        file = io.StringIO()
        assert write_answers(Answers(["label", "score"], iter(RECORDS)), file, name) == 2
        assert file.getvalue() == expected


def test_the_cells_of_a_csv_may_be_computed() -> None:
    file = io.StringIO()
    answers = Answers(["n"], iter(RECORDS), cells=lambda record: [len(record["label"])])
    write_answers(answers, file, "csv")
    assert file.getvalue() == "n\n4\n1\n"


def test_the_command_line_offers_every_format() -> None:
    annotation = inspect.signature(predict, eval_str=True).parameters["form"].annotation
    choices, _ = get_args(get_args(annotation)[0])
    assert get_args(choices) == tuple(ANSWER_FORMATS)
