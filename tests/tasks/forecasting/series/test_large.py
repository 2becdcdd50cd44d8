"""A large table, whose arrays are in the cache and computed in blocks, gives what one in memory does."""

from __future__ import annotations

import gc
import importlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.tasks.forecasting.baseline import RidgeBaseline
from recurra.tasks.forecasting.bundle import reach_of
from recurra.tasks.forecasting.prepare import SeriesData, open_series, prepare, windows_of
from recurra.tasks.forecasting.series.clock import find_clock, read_stamps
from recurra.tasks.forecasting.series.table import read_table
from recurra.tasks.forecasting.settings import ForecasterConfig
from recurra.tasks.forecasting.task import TASK
from recurra.tasks.reporter import Reporter, Tick

BLOCK = 70
MODULES = ("series.numbers", "series.table", "series.clock", "series.grid", "series.layout", "prepare")


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make_large(monkeypatch: pytest.MonkeyPatch, block: int = BLOCK) -> None:
    """Every table is large, and every block small."""
    for name in MODULES:
        monkeypatch.setattr(f"recurra.tasks.forecasting.{name}.BLOCK", block)
    monkeypatch.setattr("recurra.tasks.forecasting.series.table._LARGE", 1)
    monkeypatch.setattr("recurra.tasks.forecasting.series.table._CHUNK_ROWS", block)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(path: Path, rows: int = 500, *, kinds: str = "abc", gaps: bool = True, seed: int = 1) -> Path:
    """Hours with a wave, missing cells and words, a copy of a row, and missing rows."""
    random = np.random.default_rng(seed)
    lines = ["time,y,x,kind,constant"]
    for hour in range(rows):
        if gaps and 130 <= hour < 150:  # a gap that contains the end of a block
            continue
        stamp = str(np.datetime64("2020-01-01T00") + hour).replace("T", " ")
        y = "" if random.random() < 0.05 else f"{np.sin(hour / 4) + random.normal(0, 0.1):.4f}"
        x = "NA" if 60 <= hour < 80 else f"{random.normal():.4f}"
        word = "" if random.random() < 0.05 else random.choice(list(kinds))
        lines.append(f"{stamp}:00,{y},{x},{word},7")
        if gaps and hour in (50, 209):
            lines.append(lines[-1])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def config(**series: Any) -> ForecasterConfig:
    return ForecasterConfig.model_validate(
        {"task": "forecast", "series": {"target": "y", "lookback": 12, **series}}
    )


def shown(data: SeriesData) -> Iterator[tuple[str, Any]]:
    """Everything that training and figures use."""
    yield "layout", data.assets.layout
    yield "warnings", data.warnings
    for part in data.parts:
        for name, value in part.matrix._asdict().items():
            yield f"{part.name} {name}", value
        yield "rows", part.rows
        windows = windows_of(part, data, 16, shuffle=True)
        for batch in windows.epoch(3):
            for name in ("inputs", "present", "last", "targets"):
                yield name, getattr(batch, name).numpy()


def assert_same(one: SeriesData, other: SeriesData) -> None:
    for (name, left), (_, right) in zip(shown(one), shown(other), strict=True):
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, name)
        elif isinstance(left, dict):
            assert left.keys() == right.keys()
            for key in left:
                np.testing.assert_array_equal(left[key], right[key], name)
        else:
            assert left == right, name


@pytest.mark.parametrize("gaps", [True, False])
def test_the_same_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, gaps: bool) -> None:
    path = written(tmp_path / "a.csv", gaps=gaps)
    test = written(tmp_path / "test.csv", 180, kinds="abd", seed=2)  # d is new
    small = prepare(path, config(), Reporter(), test=test)
    assert small.test is not None
    assert "kind" in small.test.matrix.unknown
    make_large(monkeypatch)
    large = prepare(path, config(), Reporter(), test=test)
    assert_same(large, small)
    gc.collect()
    again = prepare(path, config(), Reporter(), test=test)  # all of it from the cache
    assert_same(again, small)
    assert len(list(cache.iterdir())) > 5


def test_the_same_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TASK.check is not None
    path = written(tmp_path / "a.csv")
    small = TASK.check(path, config(), Reporter())
    make_large(monkeypatch)
    assert TASK.check(path, config(), Reporter()) == small


def test_a_saved_layout_reads_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare(written(tmp_path / "a.csv"), config(), Reporter())
    path, layout, reach = written(tmp_path / "b.csv", 260, seed=5), data.assets.layout, reach_of(data)
    small = open_series("test", read_table(path, DataConfig()), layout, reach)
    make_large(monkeypatch)
    large = open_series("test", read_table(path, DataConfig()), layout, reach)
    np.testing.assert_array_equal(large.matrix.inputs, small.matrix.inputs)
    np.testing.assert_array_equal(large.rows, small.rows)


@pytest.mark.parametrize(
    ("column", "row", "cell", "what"),
    [
        ("y", 300, "1e300", r"row 300: 1e\+300 in column 'y' is too far"),
        ("x", 299, "?x", "row 299: '\\?x' in column 'x'"),
    ],
)
def test_an_error_names_the_row_whatever_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, row: int, cell: str, what: str
) -> None:
    lines = written(tmp_path / "a.csv", gaps=False).read_text().splitlines()
    cells = lines[row].split(",")
    cells[lines[0].split(",").index(column)] = cell
    lines[row] = ",".join(cells)
    (tmp_path / "a.csv").write_text("\n".join(lines))
    make_large(monkeypatch)
    for _ in range(2):
        with pytest.raises(DataError, match=what):
            prepare(tmp_path / "a.csv", config(test_fraction=0.45), Reporter())


def test_times_with_an_offset_beside_local_ones_are_refused_in_any_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    stamps = [f"2020-01-{day:02} {hour:02}:00" for day in range(1, 31) for hour in range(24)]
    mixed = [stamp + ("Z" if row < 40 else "") for row, stamp in enumerate(stamps)]
    (tmp_path / "a.csv").write_text("\n".join(["time,y", *(f"{stamp},{n}" for n, stamp in enumerate(mixed))]))
    if size == "large":
        make_large(monkeypatch)
    table = read_table(tmp_path / "a.csv", DataConfig())
    clock = find_clock(table, None, None)
    assert clock is not None
    with pytest.raises(DataError, match="row 1: '2020-01-01 00:00Z' in time is not a time"):
        read_stamps(table, clock)


def test_parquet_of_all_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    count = 200
    arrays = {
        "when": pa.array(np.datetime64("2020-01-01") + np.arange(count), pa.timestamp("ms")),
        "y": pa.array([float(n) if n % 7 else None for n in range(count)]),
        "kind": pa.array(["a", "b"] * 100).dictionary_encode(),
        "tags": pa.array([[1, 2]] * count),
        "whole": pa.array(range(count), pa.int16()),
    }
    pq.write_table(pa.table(arrays), tmp_path / "a.parquet", row_group_size=50)
    if size == "large":
        make_large(monkeypatch)
    table = read_table(tmp_path / "a.parquet", DataConfig())
    assert {name: table.columns[name].to_pylist() for name in arrays} == {
        name: array.to_pylist() for name, array in arrays.items()
    }
    assert [table.columns[name].type for name in arrays] == [array.type for array in arrays.values()]
    np.testing.assert_array_equal(table.numbers_in("y").values[:8], [np.nan, 1, 2, 3, 4, 5, 6, np.nan])
    assert table.numbers_in("kind").strange.tolist() == list(range(count))


def test_regression_predicts_the_same_in_parts_and_says_what_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepare(written(tmp_path / "a.csv"), config(), Reporter())
    assert data.test is not None
    ridge = RidgeBaseline.fit(data.train, data.valid, reach_of(data))
    assert ridge.note == ""
    whole = ridge.predict(data.test)
    baseline = importlib.import_module(RidgeBaseline.__module__)
    monkeypatch.setattr(baseline, "_PREDICTED", 7)
    np.testing.assert_allclose(ridge.predict(data.test), whole, rtol=1e-12)
    monkeypatch.setattr(baseline, "_MAX_WINDOWS", 50)
    sampled = RidgeBaseline.fit(data.train, data.valid, reach_of(data))
    notes: list[str] = []
    reporter = Reporter()
    monkeypatch.setattr(reporter, "note", notes.append)
    assert TASK.fit_baseline is not None
    TASK.fit_baseline(data, reporter)
    assert sampled.note.startswith(
        f"trained on {-(-len(data.train) // (-(-len(data.train) // 50)))} of {len(data.train)} windows"
    )
    assert sampled.note in notes[0]


class Counted(Reporter):
    """Notes the rows of each long step, and how many there should be."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, int | None]] = {}

    @contextmanager
    def counting(self, what: str, total: int | None = None) -> Iterator[Tick]:
        rows = [0]

        def tick(count: int) -> None:
            rows[0] += count

        yield tick
        self.rows[what] = rows[0], total


def test_every_long_step_counts_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_large(monkeypatch)
    rows, reporter = 500, Counted()
    path = written(tmp_path / "a.csv", rows, gaps=False)
    data = prepare(path, config(), reporter)
    assert TASK.fit_baseline is not None
    TASK.fit_baseline(data, reporter)
    assert TASK.check is not None
    TASK.check(path, config(), reporter)
    assert reporter.rows["reading a.csv"] == (0, None)  # the second time from the cache
    assert reporter.rows["encoding the rows"] == (rows, rows)
    numbers, total = reporter.rows["reading the numbers"]
    assert (numbers, total) == (5 * rows, 5 * rows)
    for what in ("reading the times", "fitting ridge regression"):
        done, total = reporter.rows[what]
        assert total is not None
        assert 0.9 * total < done <= total
    assert reporter.rows["checking the columns"][0] > rows


def test_a_broken_row_is_refused_although_the_others_are_in_the_cache(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 100, gaps=False)
    path.write_text(path.read_text() + "2020-02-01 00:00,1\n")
    lenient = DataConfig(skip_bad_rows=True)
    for _ in range(2):
        assert len(read_table(path, lenient)) == 100
        assert "1 broken row is left out" in read_table(path, lenient).notes[-1]
        with pytest.raises(DataError, match="row 101: the row has 2 fields"):
            read_table(path, DataConfig())


def test_a_table_of_very_many_columns_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_large(monkeypatch)
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 1_100)).round(2).astype(str)
    names = ["y", *(f"x{n}" for n in range(1_099))]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(map(",".join, [names, *rows])))
    data = prepare(path, config(lookback=3), Reporter())  # more columns than files can be open
    assert data.train.matrix.inputs.shape == (200, 1_100)


def test_rows_to_forecast_leave_nothing_in_the_cache(tmp_path: Path, cache: Path) -> None:
    path = written(tmp_path / "a.csv", 100)
    plain = read_table(path, DataConfig(), cached=False)
    assert not cache.exists()
    kept = read_table(path, DataConfig())
    assert len(list(cache.iterdir())) == 1
    assert {name: column.to_pylist() for name, column in plain.columns.items()} == {
        name: column.to_pylist() for name, column in kept.columns.items()
    }
    assert plain.numbers.tolist() == kept.numbers.tolist()


def peak_of(path: Path) -> int:
    """The bytes at most that preparing a file and one epoch take."""
    gc.collect()
    tracemalloc.start()
    try:
        data = prepare(path, config(calendar=[]), Reporter())
        assert sum(len(batch.targets) for batch in windows_of(data.train, data, 64).epoch(0)) == len(
            data.train
        )
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_a_row_does_not_grow_with_the_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_large(monkeypatch, 1_000)

    def file(rows: int) -> Path:
        values = np.random.default_rng(0).normal(size=(rows, 12)).round(3).astype(str)
        path = tmp_path / f"{rows}.csv"
        names = ",".join(["y", *(f"x{n}" for n in range(11))])
        path.write_text("\n".join([names, *map(",".join, values)]))
        return path

    few, many = 8_000, 24_000
    prepare(file(2_000), config(calendar=[]), Reporter())  # what is imported and compiled once
    small, large = peak_of(file(few)), peak_of(file(many))
    # Less than two columns of float64 in copies. With all arrays in memory it were 230 bytes.
    assert (large - small) / (many - few) < 60, (small, large)
