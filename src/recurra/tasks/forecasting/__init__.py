"""Forecasting: predict future values of a time series."""

from pathlib import Path

from recurra.tasks.base import TEXT_FILE, TaskInfo


def _owns_file(path: Path) -> bool:
    from recurra.tasks.forecasting.series.evidence import is_series

    return is_series(path)


INFO = TaskInfo(
    name="forecast",
    title="forecast a series",
    package=__name__,
    config="ForecasterConfig",
    estimator="Forecaster",
    recipe="forecaster",
    words=False,
    file_settings=TEXT_FILE - {"data.text"} | {"series.time_format"},
    split_settings=frozenset(f"series.{n}" for n in ("stride", "windows", "valid_fraction", "test_fraction")),
    owns_file=_owns_file,
    options=frozenset({"all"}),
)
