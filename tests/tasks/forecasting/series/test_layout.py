"""Columns are learned from training rows and applied; no value depends on later rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.config import DataConfig
from recurra.errors import BundleError, ConfigError, DataError
from recurra.tasks.forecasting.bundle import SeriesAssets
from recurra.tasks.forecasting.series.clock import find_clock
from recurra.tasks.forecasting.series.grid import Grid, even_grid
from recurra.tasks.forecasting.series.layout import (
    Layout,
    Matrix,
    calendar_columns,
    encode,
    filled,
)
from recurra.tasks.forecasting.series.learn import learn_layout
from recurra.tasks.forecasting.series.scale import sentinels_of
from recurra.tasks.forecasting.series.spacing import Spacing
from recurra.tasks.forecasting.series.table import Table, from_columns, read_table
from recurra.tasks.forecasting.settings import ForecasterConfig, SeriesConfig
from tests.tasks.forecasting.series.jena import jena_lines, spoil_wind, write_jena

N, TRAIN = 70, 50
NAN = np.nan


def hours(n: int = N) -> np.ndarray[Any, Any]:
    return np.datetime64("2021-03-01", "s") + np.arange(n).astype("timedelta64[h]")


def read(table: Table, rows: int = TRAIN, **config: Any) -> tuple[Layout, list[str], Grid, Matrix]:
    clock = find_clock(table, None, None)
    grid = even_grid(table, clock)
    layout, warnings = learn_layout(table, clock, grid, SeriesConfig(**config), rows)
    return layout, warnings, grid, encode(table, grid, layout)


def columns(**more: Any) -> dict[str, Any]:
    random = np.random.default_rng(3)
    return {"time": hours(), "y": random.normal(10, 3, N), "x": random.normal(-5, 2, N), **more}


def test_numbers_are_standardized_by_the_training_rows() -> None:
    given_columns = columns()
    layout, *_, matrix = read(from_columns(given_columns), target="y")
    assert layout.features == ["y", "x", "sine of the day", "cosine of the day"]
    for at, name in enumerate("yx"):
        training = given_columns[name][:TRAIN]
        expected = (given_columns[name] - training.mean()) / training.std()
        np.testing.assert_allclose(matrix.inputs[:, at], expected, rtol=1e-5)
    np.testing.assert_array_equal(matrix.target, given_columns["y"])


def test_a_column_of_lists_structs_or_bytes_is_left_out_by_name() -> None:
    plain = from_columns(columns())
    more = {
        "tags": pa.chunked_array([[[1, 2]] * N]),
        "record": pa.chunked_array([[{"a": 1}] * N]),
        "raw": pa.chunked_array([[b"\xff"] * N]),
    }
    mixed = Table("a.parquet", {**plain.columns, **more}, plain.numbers)
    layout, *_, matrix = read(mixed, target="y")
    expected, *_, alone = read(plain, target="y")
    what = {"tags": "holds lists", "record": "holds structs", "raw": "holds bytes"}
    assert layout.left_out == {**expected.left_out, **what}
    np.testing.assert_array_equal(matrix.inputs, alone.inputs)
    with pytest.raises(DataError, match="the target 'tags' has no numbers"):
        read(mixed, target="tags")


@settings(max_examples=40)
@given(st.integers(0, N - 2), st.data())
def test_no_row_depends_on_a_later_one(row: int, data: st.DataObject) -> None:
    """Changes after a row do not change the row; changes after the training rows do not change the layout."""
    given = columns(
        w=np.array(data.draw(st.lists(st.sampled_from(["a", "b", None]), min_size=N, max_size=N)), object),
        z=np.where(np.arange(N) % 7 == 0, NAN, np.arange(N) ** 2.0),
    )
    given["w"][:2] = ["a", "b"]
    changed = {name: np.array(values) for name, values in given.items()}
    for name in "yxz":
        changed[name][row + 1 :] = data.draw(st.sampled_from([NAN, 0.0, 17.5]))
    changed["w"][row + 1 :] = "c"
    layout, *_, before = read(from_columns(given), target="y")
    if row >= TRAIN - 1:
        other, *_, after = read(from_columns(changed), target="y")
        assert other == layout
    else:
        table = from_columns(changed)
        clock = layout.clock
        assert clock is not None
        after = encode(table, even_grid(table, clock), layout)
    np.testing.assert_array_equal(before.inputs[: row + 1], after.inputs[: row + 1])
    np.testing.assert_array_equal(before.last[: row + 1], after.last[: row + 1])


def test_a_missing_number_is_filled_with_the_last_one_and_flagged() -> None:
    x = np.arange(N) ** 1.5
    x[[0, 1, 5, 6]] = NAN
    layout, *_, matrix = read(from_columns(columns(x=x)), target="y")
    assert layout.flags == [["x"]]
    scale = layout.numbers[1]
    shown = matrix.inputs[:, 1] * scale.std + scale.mean
    assert shown[:2] == pytest.approx(scale.mean, rel=1e-5)  # nothing before: the training mean
    assert shown[4:7] == pytest.approx(x[4], rel=1e-5)
    assert matrix.inputs[:, 2].tolist() == [float(row in (0, 1, 5, 6)) for row in range(N)]


def test_columns_that_are_missing_together_share_a_flag() -> None:
    gone = np.arange(N) % 9 == 4
    layout = read(
        from_columns(
            columns(a=np.where(gone, NAN, 1.0 * np.arange(N) % 5), b=np.where(gone, NAN, np.arange(N) % 3))
        ),
        target="y",
    )[0]
    assert layout.flags == [["a", "b"]]
    assert "a, b missing" in layout.features


def test_words_of_training_are_inputs_and_others_are_not() -> None:
    wind = np.array((["NW", "SE", "cv", None] * N)[:N], object)
    wind[TRAIN + 3] = "N"
    layout, *_, matrix = read(from_columns(columns(wind=wind)), target="y")
    assert layout.categories[0].words == ["NW", "SE", "cv"]
    expected = [[float(word == known) for known in ("NW", "SE", "cv")] for word in wind]
    np.testing.assert_array_equal(matrix.inputs[:, 2:5], expected)


def test_inserted_rows_are_missing_in_every_column() -> None:
    given = columns()
    kept = np.delete(np.arange(N), [10, 11, 50])
    table = from_columns({name: values[kept] for name, values in given.items()})
    *_, grid, matrix = read(table, target="y")
    assert len(matrix) == N
    assert np.flatnonzero(np.isnan(matrix.target)).tolist() == [10, 11, 50]
    assert np.flatnonzero(matrix.numbers == 0).tolist() == [10, 11, 50]
    assert matrix.last[11] == given["y"][9]
    assert "1" in grid.warnings[0]


def test_columns_that_are_not_inputs_are_left_out_with_a_reason() -> None:
    given = columns(
        No=np.arange(N), flat=np.r_[np.ones(TRAIN), np.arange(N - TRAIN)], gone=[None] * N,
        text=[f"word {i}" for i in range(N)], hour=np.arange(N) % 24,
    )  # fmt: skip
    layout, *_ = read(from_columns(given), rows=65, target="y")
    assert {name: why.split(",")[0] for name, why in layout.left_out.items()} == {
        "No": "it numbers the rows",
        "gone": "empty",
        "text": "65 different words",
        "hour": "a part of the time",
        "time of the year": "training rows are less than two years",
    }
    layout, *_ = read(from_columns(given), target="y")
    assert layout.left_out["flat"] == "the same, or missing, in all training rows"


def test_the_time_of_day_and_year_is_periodic() -> None:
    stamps = np.array(["2020-01-01T00", "2020-01-01T06", "2020-07-01T12", "2021-01-01T00"], "datetime64[us]")
    day, year = calendar_columns(stamps, ["day", "year"]).reshape(4, 2, 2).transpose(1, 0, 2)
    np.testing.assert_allclose(day, [[0, 1], [1, 0], [0, -1], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(year[[0, 3]], [[0, 1], [0, 1]], atol=1e-12)
    share = (31 + 29 + 31 + 30 + 31 + 30 + 0.5) / 366
    np.testing.assert_allclose(year[2], [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)])
    monday = calendar_columns(np.array(["2024-01-01"], "datetime64[us]"), ["week"])
    np.testing.assert_allclose(monday, [[0, 1]], atol=1e-12)


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=30))
def test_filling_forward_equals_a_loop(cells: list[float | None]) -> None:
    expected, last = [], 7.0
    for cell in cells:
        last = last if cell is None else cell
        expected.append(last)
    result = filled(np.array([NAN if cell is None else cell for cell in cells], float), 7.0)
    assert result.tolist() == expected


def test_a_layout_is_saved_and_loaded_or_refused() -> None:
    layout = read(from_columns(columns()), target="y")[0]
    config, files = ForecasterConfig(), SeriesAssets(layout).files()
    assert SeriesAssets.read(config, files).layout == layout
    ((name, text),) = files.items()
    for broken in ("", "{}", text.replace('"std"', '"sd"')):
        with pytest.raises(BundleError, match="not a layout of a series"):
            SeriesAssets.read(config, {name: broken})


@pytest.mark.parametrize(
    ("changed", "config", "words"),
    [
        ({}, {}, "the column to forecast is not named; pass --target with one of y, x"),
        ({}, {"target": "z"}, "series.target names 'z'"),
        ({}, {"target": "y", "inputs": ["y", "q"]}, "series.inputs names 'q'"),
        ({"y": ["cold"] * N}, {"target": "y"}, "the target 'y' has no numbers"),
        ({"y": [None] * N}, {"target": "y"}, "the target 'y' has no numbers"),
        ({"y": [3.0] * N}, {"target": "y"}, "the target 'y' is the same in all training rows"),
        ({"y": [NAN] * TRAIN + [1.0, 2.0] * 10}, {"target": "y"}, "'y' is missing in all training rows"),
        (
            {"x": ["1"] * 30 + ["warm"] + ["2"] * 39},
            {"target": "y"},
            "row 31: 'warm' in column 'x' is not a number",
        ),
    ],
)
def test_columns_that_can_not_be_used_are_refused(
    changed: dict[str, Any], config: dict[str, Any], words: str
) -> None:
    with pytest.raises((ConfigError, DataError)) as refused:
        read(from_columns(columns(**changed)), **config)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_only_column_of_numbers_is_the_target() -> None:
    layout, *_, matrix = read(from_columns({"load": np.sin(np.arange(N))}))
    assert (layout.target.name, layout.time, matrix.stamps) == ("load", [], None)


def test_the_layout_of_the_jena_file(tmp_path: Path) -> None:
    lines = jena_lines(5)
    lines[300] = spoil_wind(lines[300])
    lines[450:450] = lines[420:430]  # rows that stand in it twice
    del lines[600:612]
    table = read_table(write_jena(tmp_path / "jena.csv", lines), DataConfig())
    layout, warnings, grid, matrix = read(table, 600, target="T (degC)")
    assert layout.time == ["Date Time"]
    assert layout.spacing == Spacing(600.0)
    assert len(layout.numbers) == 14
    assert warnings[1] == "column 'wv (m/s)': -9999 in 1 cell counts as missing"
    others = [scale.name for scale in layout.numbers if "wv" not in scale.name]
    assert layout.flags == [others, ["wv (m/s)", "max. wv (m/s)"]]  # the gap, and the gap with the wind's
    assert [warning.split(" ")[:2] for warning in grid.warnings] == [["10", "rows"], ["1", "gap"]]
    assert len(matrix) == 5 * 144
    assert np.isfinite(matrix.inputs).all()
    assert np.abs(matrix.inputs).max() < 10


@pytest.mark.parametrize(
    ("values", "result"),
    [
        ([1.0, 2.0, -9999.0], [-9999.0]),
        ([990.0, 999.0, 1010.0], []),
        ([-9999.0, -9999.0], []),
        ([0.0, 1.0, -999.0, 9999.0], [-999.0, 9999.0]),
        ([-5000.0, -9999.0, 300.0], []),
        ([], []),
    ],
)
def test_sentinels_are_far_outside_the_other_values(values: list[float], result: list[float]) -> None:
    assert sentinels_of(np.array(values)) == result
