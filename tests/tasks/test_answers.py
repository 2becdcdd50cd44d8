"""Answers are written in the format that the command line or the file's suffix chooses."""

from __future__ import annotations

import gzip
import inspect
import io
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.cli.use import predict
from recurra.errors import OutputError
from recurra.tasks.answer_files import ANSWER_FORMATS, format_of, write_answers, write_file
from recurra.tasks.answers import Answers

RECORDS = [{"label": "a, b", "score": 0.25}, {"label": "好", "score": 1}]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.csv", "csv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.json", "jsonl"),
        ("a.txt", "csv"),
        ("a.tsv", "tsv"),
        ("a.tsv.gz", "tsv"),
        ("a.b.jsonl.gz", "jsonl"),
        ("a.PARQUET", "parquet"),
    ],
)
def test_the_suffix_chooses_the_format(path: str, name: str) -> None:
    assert format_of(Path(path)) == name
    assert format_of(None) == "csv"


def test_answers_as_csv_and_json_lines() -> None:
    for name, expected in {
        "csv": 'label,score\n"a, b",0.250000\n好,1\n',
        "tsv": "label\tscore\na, b\t0.250000\n好\t1\n",
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
    assert get_args(choices) == ANSWER_FORMATS


def read_parquet(path: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(path).to_pylist())


def test_parquet_has_typed_columns_and_fills_gaps(tmp_path: Path) -> None:
    records = [{"row": n, "input": {"id": n, "b": None}, "label": "x", "p": n / 4} for n in range(9_000)]
    answers = Answers(["row", "label", "p"], iter(records), columns=("id", "b"), one_each=True)
    assert write_file(answers, tmp_path / "a.parquet") == 9_000
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == 2, "rows are written in parts"
    rows = read_parquet(tmp_path / "a.parquet")
    assert rows[-1] == {"id": 8_999, "b": None, "label": "x", "p": 8_999 / 4}
    assert pq.read_schema(tmp_path / "a.parquet").field("id").type == pa.int64()


def test_parquet_without_answers_has_its_columns(tmp_path: Path) -> None:
    assert write_file(Answers(["row", "label"], iter([])), tmp_path / "a.parquet") == 0
    assert pq.read_table(tmp_path / "a.parquet").column_names == ["row", "label"]


def test_a_parquet_column_of_several_types_is_refused_by_name(tmp_path: Path) -> None:
    records = [{"row": n, "input": {"id": "a" if n == 8_500 else n}, "label": "x"} for n in range(9_000)]
    with pytest.raises(OutputError, match=r"column 'id' has values of several types.*--keep"):
        write_file(Answers(["row", "label"], iter(records), columns=("id",)), tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == [], "nothing half-written is left"


def test_compressed_text_by_suffix(tmp_path: Path) -> None:
    write_file(Answers(["label", "score"], iter(RECORDS)), tmp_path / "a.tsv.gz")
    with gzip.open(tmp_path / "a.tsv.gz", "rt", encoding="utf-8") as file:
        assert file.read() == "label\tscore\na, b\t0.250000\n好\t1\n"
