"""The check of a series counts known defects and goes on after each; a series is told from texts."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import DataError
from recurra.tasks.forecasting.check import SeriesCheck, check_files
from recurra.tasks.forecasting.series.evidence import is_series
from recurra.tasks.forecasting.settings import ForecasterConfig, SeriesConfig
from recurra.tasks.reporter import Reporter
from tests.conftest import Run

NOISE = np.random.default_rng(3).normal(size=200)


def put(path: Path, *columns: str, rows: int = 200, header: str = "time,x,y") -> Path:
    """Hourly rows; ``columns`` are the cells of changed rows, as ``ROW: CELLS``, or empty to leave it out."""
    changed = {int(row): cells.strip() for row, _, cells in (each.partition(":") for each in columns)}
    lines = [header]
    for row in range(1, rows + 1):
        stamp = str(np.datetime64("2020-01-01T00") + row).replace("T", " ") + ":00"
        cells = f"{stamp},{NOISE[row - 1]:.3f},{NOISE[-row]:.3f}"
        cells = changed.get(row, cells).replace("TIME", stamp)
        lines += [cells] if cells else []
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def checked(path: Path, valid: Path | None = None, **series: Any) -> SeriesCheck:
    config = ForecasterConfig(series=SeriesConfig(**series))
    return SeriesCheck.model_validate(check_files(path, config, Reporter(), valid=valid))


def test_a_series_without_faults(tmp_path: Path) -> None:
    report = checked(put(tmp_path / "a.csv"))
    part = report.parts["train"]
    assert (part.rows, part.time, part.step, part.inserted) == (200, "time (ISO 8601)", "1 h", 0)
    assert (part.first, part.last) == ("2020-01-01 01:00:00", "2020-01-09 08:00:00")
    assert report.targets == ["x", "y"]
    column = part.columns["x"]
    assert column.mean == pytest.approx(NOISE.mean(), abs=1e-3)
    assert column.std == pytest.approx(NOISE.std(), abs=1e-3)
    assert (column.missing, column.values) == (0, len(np.unique(NOISE.round(3))))
    assert report.warnings == []


def test_gaps_and_missing_values_are_counted(tmp_path: Path) -> None:
    rows = ["11:", "12:", "20: TIME,,1", "21: TIME,NA,1", "30: TIME,-9999,1"]
    report = checked(put(tmp_path / "a.csv", *rows))
    part = report.parts["train"]
    assert (part.rows, part.inserted, part.step) == (198, 2, "1 h")
    assert (part.columns["x"].missing, part.columns["x"].longest) == (5, 2)
    assert part.columns["x"].markers == [-9999.0]
    assert part.columns["y"].missing == 2
    said = "\n".join(report.warnings)
    assert "1 gap in time: 2 rows are inserted as missing" in said
    assert "-9999 is taken for a missing value" in said


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["5: TIME,1,2,3"], "1 broken row is left out, the first:"),
        (["5: TIME,oh,2"], "column 'x': 1 cell is no number (first: row 5)"),
        (["5: 2019-01-01 00:00,1,2"], "row 5: the time 2019-01-01 00:00:00 comes after the later"),
        (["5: yesterday,1,2"], "row 5: 'yesterday' in time is not a time"),
        (["6: 2020-01-01 05:00:00,8,9"], "row 6: has the time of row 5"),
    ],
)
def test_the_check_goes_on_after_a_fault(tmp_path: Path, columns: list[str], said: str) -> None:
    report = checked(put(tmp_path / "a.csv", *columns))
    assert said in "\n".join(report.warnings)
    assert {"x", "y"} <= set(report.targets)
    assert report.parts["train"].columns["y"].mean is not None


def test_columns_that_are_constant_drift_or_number_the_rows(tmp_path: Path) -> None:
    rows = [f"{n}: TIME,7,{n},{10 * n + n % 7},{'ab'[n % 2]}," for n in range(1, 201)]
    report = checked(put(tmp_path / "a.csv", *rows, header="time,same,no,up,kind,none"))
    columns = report.parts["train"].columns
    kinds = {name: column.kind for name, column in columns.items()}
    assert kinds == {
        "same": "numbers",
        "no": "row numbers",
        "up": "numbers",
        "kind": "words",
        "none": "empty",
    }
    assert columns["same"].constant
    assert report.targets == ["up"]
    assert columns["up"].drift == pytest.approx(2.6, abs=0.1)
    said = "\n".join(report.warnings)
    assert "same is constant" in said
    assert "the level moves by more than a standard deviation" in said


def test_a_held_out_file_beside_the_training_file(tmp_path: Path) -> None:
    train = put(tmp_path / "a.csv")
    other = tmp_path / "b.csv"
    other.write_text("time,x\n" + "".join(f"2020-01-0{day},99\n" for day in range(1, 8)))
    said = "\n".join(checked(train, other).warnings)
    assert "valid: columns of train are missing: y" in said
    assert "valid: rows are 1 d apart, those of train 1 h" in said
    assert "valid: begins at 2020-01-01 00:00:00, before the end of train" in said
    assert "valid: values are far outside the range of train in x" in said


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,x\n")
    with pytest.raises(DataError):
        checked(tmp_path / "a.csv")


CELLS = st.sampled_from(["2020-01-01", "2020-01-02", "1", "x", "", "-9999", "1e300", "?"])


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8))
@settings(max_examples=30)
def test_any_cells_are_counted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_text("time,x,y\n" + "".join(",".join(row) + "\n" for row in rows))
    is_series(path)
    with contextlib.suppress(DataError):
        json.dumps(check_files(path, ForecasterConfig(), Reporter()), allow_nan=False)


DAYS = [f"2020-01-{n:02}" for n in range(1, 29)]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("date,text,label\n" + "".join(f"{day},a text of day {day},1\n" for day in DAYS), False),
        ("".join(f"{n},good film,{n % 2}\n" for n in range(60)), False),
        ("date,kind,x\n" + "".join(f"{day},{'ab'[n % 2]},{n * n}\n" for n, day in enumerate(DAYS)), True),
        ("date,x\n" + "".join(f"{day},5\n" for day in DAYS), False),
        ("when,x\n" + "".join(f"soon,{n * n}\n" for n in range(1, 29)), False),
        ("Some words.\nAnd more, 2020-01-01, 5\n", False),
        ('{"date": "2020-01-01", "x": 5}\n' * 20, False),
        ("", False),
    ],
)
def test_a_series_is_told_from_texts(tmp_path: Path, content: str, found: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert is_series(path) is found


def test_a_series_of_another_format(tmp_path: Path) -> None:
    stamps = np.datetime64("2020-01-01") + np.arange(50)
    table = {"when": pa.array(stamps), "x": NOISE[:50], "list": pa.array([[n] for n in range(50)])}
    pq.write_table(pa.table({"when": table["when"], "x": table["x"]}), tmp_path / "a.parquet")
    assert is_series(tmp_path / "a.parquet")
    pq.write_table(pa.table(table), tmp_path / "b.parquet")
    assert not is_series(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    assert not is_series(tmp_path / "c.parquet")
    assert not is_series(tmp_path)


def test_the_command_line_finds_the_task(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.csv")
    ran = run("data", "check", "a.csv")
    assert ran.code == 0, ran.err
    assert "to train: recurra fit a.csv --target y\n" in ran.out
    assert "no row is missing" in ran.out
    assert "the column to forecast is not named" in run("fit", "a.csv").err
    assert "there is no column 'z'" in run("fit", "a.csv", "--set", "data.label=z").err
