"""A forecaster on disk: what the columns of its series are, and their scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from recurra.config import Config, Task
from recurra.store.base import Bundle
from recurra.tasks.forecasting.network import ForecastNetwork
from recurra.tasks.forecasting.series.layout import Layout
from recurra.tasks.forecasting.series.reach import Reach, find_reach

__all__ = ["ForecasterBundle"]

_LAYOUT = "series.json"


@dataclass(kw_only=True)
class ForecasterBundle(Bundle):
    """All that a trained forecaster needs to answer.

    Attributes:
        layout: the columns of the series, as training had them.
    """

    task: ClassVar[Task] = "forecast"

    model: ForecastNetwork
    layout: Layout

    @property
    def reach(self) -> Reach:
        """A window in rows."""
        return find_reach(self.config.series, self.layout.spacing)

    def files(self) -> dict[str, str]:
        """The layout."""
        return {_LAYOUT: self.layout.to_json()}

    @classmethod
    def rebuild(cls, config: Config, files: Mapping[str, str], metrics: dict[str, Any]) -> Self:
        """The bundle with a fresh network."""
        layout = Layout.from_json(files[_LAYOUT])
        series = config.series
        model = ForecastNetwork(
            config.model,
            len(layout.features),
            series.horizon,
            residual=series.residual,
            present=series.relative,
        )
        return cls(config=config, model=model, metrics=dict(metrics), layout=layout)
