"""Forecasting: predict future values of a time series."""

from recurra.tasks.base import TEXT_FILE, TaskInfo

INFO = TaskInfo(
    name="forecast",
    title="forecast a series",
    package=__name__,
    config="ForecasterConfig",
    estimator="Forecaster",
    recipe="forecaster",
    words=False,
    file_settings=TEXT_FILE - {"data.text"},
    options=frozenset({"all"}),
)
