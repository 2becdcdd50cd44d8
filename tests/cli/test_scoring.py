"""`recurra predict FILE` joins answers to the rows of a file: formats, columns, processes, memory."""

from __future__ import annotations

import csv
import datetime
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recurra
from recurra.errors import ConfigError
from recurra.tasks.fit import Fitted
from recurra.tasks.scoring import expected_rows
from tests.conftest import Files, Run

WORDS = ["It was great", "It was bad", "", "zqxj zqxk"]


def rows(count: int) -> list[dict[str, object]]:
    return [{"id": n, "text": f"{WORDS[n % 4]}", "label": "old"} for n in range(count)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """3,000 rows, more than a chunk."""
    path = tmp_path / "in.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "label"])
        writer.writeheader()
        writer.writerows(rows(3_000))
    return path


def test_the_columns_of_the_file_come_first_in_every_format(
    run: Run, trained: Fitted, table: Path, tmp_path: Path
) -> None:
    expected = None
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        out = tmp_path / f"out.{suffix}"
        ran = run("predict", trained.folder, table, "--probabilities", "--out", out)
        assert ran.code == 0, ran.err
        if suffix == "jsonl":
            lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
            found = [
                {
                    **line,
                    "note": line.get("note", ""),
                    **{f"p_{n}": p for n, p in line["probabilities"].items()},
                }
                for line in lines
            ]
        elif suffix == "parquet":
            found = pq.read_table(out).to_pylist()
        else:
            text = io.StringIO(out.read_text(encoding="utf-8"))
            found = list(csv.DictReader(text, delimiter="," if suffix == "csv" else "\t"))
        names = ["id", "text", "label", "predicted_label", "confidence", "note", "p_neg", "p_pos"]
        if suffix != "jsonl":
            assert [*found[0]] == names
        seen = [
            (str(row["id"]), row["label"], row["predicted_label"], f"{float(row['p_neg']):.6f}", row["note"])
            for row in found
        ]
        assert [int(id) for id, *_ in seen] == list(range(3_000)), "the order of the rows is kept"
        assert expected is None or seen == expected, suffix
        expected = seen


def test_parquet_keeps_the_types_of_its_columns(run: Run, trained: Fitted, tmp_path: Path) -> None:
    day = datetime.date(2024, 2, 3)
    given = pa.table(
        {
            "when": pa.array([day, None], pa.date32()),
            "text": ["It was great", "bad"],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "n": pa.array([1, None], pa.int16()),
        }
    )
    pq.write_table(given, tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"
    assert run("predict", trained.folder, tmp_path / "in.parquet", "--out", out).code == 0
    found = pq.read_table(out)
    assert found.column_names == ["when", "text", "kind", "n", "label", "confidence", "note"]
    assert [found.schema.field(name).type for name in ("when", "kind", "n")] == [
        *(pa.date32(), pa.string(), pa.int16())
    ]
    assert found.column("when").to_pylist() == [day, None]


def test_keep_chooses_columns_in_its_order(run: Run, trained: Fitted, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert run("predict", trained.folder, table, "--keep", "label,id", "--out", out).code == 0
    assert out.read_text().startswith("label,id,predicted_label,confidence,note\nold,0,")
    assert run("predict", trained.folder, table, "--keep", "id", "--out", out).code == 0
    assert out.read_text().startswith("id,label,confidence,note\n0,"), "no name is taken"
    ran = run("predict", trained.folder, table, "--keep", "ID", "--out", out)
    assert ran.code == 2
    assert "'ID', which is not a column of the file; the columns are id, text, label" in ran.err
    assert run("predict", trained.folder, table, "--keep", "id", "--no-columns").code == 2
    assert run("predict", trained.folder, "--text", "good", "--keep", "id").code == 2


def test_several_processes_give_the_same_file(run: Run, trained: Fitted, table: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    run("predict", trained.folder, table, "--probabilities", "--out", one)
    ran = run("predict", trained.folder, table, "--probabilities", "--jobs", 2, "--out", two)
    assert ran.code == 0, ran.err
    assert two.read_text() == one.read_text()
    assert "750 answers are marked 'empty text' (first: row 3)" in ran.err


def test_python_scores_a_file(trained: Fitted, table: Path, tmp_path: Path) -> None:
    scored = recurra.predict_files(trained.folder, table, tmp_path / "out.parquet", keep=["id"])
    assert (scored.answers, scored.notes) == (3_000, {"empty text": 750, "no known word": 750})
    assert pq.read_table(scored.out).column_names == ["id", "label", "confidence", "note"]
    recurra.predict_files(trained.bundle, table, tmp_path / "again.parquet", keep=["id"], jobs=2)
    assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(scored.out))
    with pytest.raises(ConfigError, match="jobs"):
        recurra.predict_files(trained.folder, table, tmp_path / "x.csv", jobs=0)
    with pytest.raises(ConfigError, match="form is 'xml'"):
        recurra.predict_files(trained.folder, table, tmp_path / "x.csv", form="xml")


def test_nothing_but_answers_in_pipes(run: Run, trained: Fitted, table: Path) -> None:
    ran = run("predict", trained.folder, table)
    assert ran.out.count("\n") == 3_001
    assert [line[:5] for line in ran.err.splitlines()] in (["  ! 7", "  the"] * 2, ["  ! 7"] * 2)
    ran = run("predict", trained.folder, table, "--json", "--out", table.with_suffix(".jsonl"))
    assert json.loads(ran.out)["notes"] == {"empty text": 750, "no known word": 750}


def test_the_rows_of_a_file_are_estimated(tmp_path: Path, sample: Files) -> None:
    long = tmp_path / "long.csv"
    long.write_text("id,text\n" + "1234567,some words of a text\n" * 300_000)
    assert expected_rows(long) == pytest.approx(300_000, rel=0.01)
    assert expected_rows(sample.test) == pytest.approx(80, abs=2)
    assert expected_rows(tmp_path / "missing.csv") is None
    assert expected_rows(None) is None


PEAK = """
import resource, sys
from recurra import predict_files
for rows in (2_000, 40_000):
    with open("rows.jsonl", "w") as file:
        for n in range(rows):
            file.write('{"id": %d, "text": "It was %s", "more": "%s"}\\n' % (n, "great", "x" * 1000))
    predict_files(sys.argv[1], "rows.jsonl", "out.jsonl")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of the peak memory is that of Linux")
def test_memory_does_not_grow_with_the_file(trained: Fitted, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PEAK, str(trained.folder)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    few, many = map(int, ran.stdout.split())
    assert many - few < 30, f"{few} MiB for 2 MB of rows, {many} MiB for 40 MB"
