"""Forecasting: predict future values of a time series."""

from recurra.tasks.base import TaskInfo

INFO = TaskInfo(
    name="forecast",
    title="forecast a series",
    package=__name__,
    config="ForecasterConfig",
    estimator="Forecaster",
    recipe="forecaster",
    words=False,
    options=frozenset({"all"}),
)
