"""The table of the forecasting benchmark."""

from __future__ import annotations

from benchmarks import forecast


def test_the_table_is_sorted_by_error_and_has_the_difference_to_ridge() -> None:
    rows = [
        {
            "data": "etth1", "windows": 90, "block": 24, "recipe": "forecaster", "mae": 1.5, "rmse": 2.0,
            "interval": [1.4, 1.6], "parameters": 4849, "seeds": [1, 2],
            "runs": [{"mae": 1.4, "seconds": 10.0}, {"mae": 1.6, "seconds": 14.0}],
            "beside": {"ridge regression": {"difference": -0.5, "interval": [-0.7, -0.3]}},
        },
        {"data": "etth1", "recipe": "persistence", "mae": 1.6, "rmse": 2.2, "interval": [1.5, 1.7]},
        {"data": "etth1", "recipe": "ridge regression", "mae": 2.0, "rmse": 3.0, "interval": [1.9, 2.1]},
    ]  # fmt: skip
    lines = forecast.table(rows).splitlines()
    assert lines[0] == "etth1, OT 24 hours ahead, 90 test windows:"
    assert lines[4] == (
        "| forecaster | 1.500 (1.400 to 1.600) | 1.400, 1.600 | 2.000 | +6.2% | -0.500 (-0.700 to -0.300) "
        "| 4,849 | 12 |"
    )
    assert [line.split(" | ")[0] for line in lines[5:7]] == ["| persistence", "| ridge regression"]


def test_settings_after_the_name_of_a_recipe_take_precedence() -> None:
    config = forecast.config_of("forecaster+model.cell=lstm+series.lookback=10d", "beijing", 3)
    assert (config.model.cell, config.series.lookback, config.series.target) == ("lstm", "10d", "TEMP")
    assert config.train.seed == 3
    assert forecast.config_of("forecaster", "etth1", 1).series.lookback == "3d"
