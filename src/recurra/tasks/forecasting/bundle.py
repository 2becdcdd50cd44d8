"""The assets of a forecaster: the columns of its series. Builds the network from settings and assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from recurra.errors import BundleError, ConfigError
from recurra.store import Assets, Bundle
from recurra.tasks.base import Prepared
from recurra.tasks.forecasting.network import ForecastNetwork
from recurra.tasks.forecasting.series.clock import PARTS
from recurra.tasks.forecasting.series.layout import Layout
from recurra.tasks.forecasting.series.reach import Reach, find_reach
from recurra.tasks.forecasting.settings import ForecasterConfig

__all__ = ["ForecasterBundle", "SeriesAssets", "SeriesSource", "build", "layout_of", "reach_of"]

_LAYOUT = "series.json"


@dataclass(frozen=True)
class SeriesAssets(Assets):
    """What a forecaster needs besides settings and weights: the columns of its series in training."""

    layout: Layout

    def files(self) -> dict[str, str]:
        """Returns the layout as JSON, by the name of its file."""
        return {_LAYOUT: self.layout.model_dump_json(indent=1) + "\n"}

    @classmethod
    def read(cls, config: ForecasterConfig, files: Mapping[str, str]) -> SeriesAssets:
        """Returns the assets that `files` wrote.

        Raises:
            BundleError: the file is not a layout.
        """
        try:
            return cls(Layout.model_validate_json(files[_LAYOUT]))
        except ValidationError as error:
            raise BundleError(f"is not a layout of a series ({error.errors()[0]['msg']})") from error


ForecasterBundle: TypeAlias = Bundle[ForecasterConfig, ForecastNetwork, SeriesAssets]
SeriesSource: TypeAlias = ForecasterBundle | Prepared[ForecasterConfig, SeriesAssets, Any]
"""A model or the data for one: both have the settings and the layout of a series."""


def build(config: ForecasterConfig, assets: SeriesAssets) -> ForecastNetwork:
    """Builds the network: recurrent layers, pooling, head."""
    series, features = config.series, len(assets.layout.features)
    return ForecastNetwork(
        config.model, features, series.horizon, residual=series.residual, present=series.relative
    )


def layout_of(bundle: ForecasterBundle) -> Layout:
    """Returns the layout of training, for a file whose times are in the format of the settings.

    As in training, times in columns of their parts need no format.

    Raises:
        ConfigError: a format is set, and rows have no time.
    """
    layout, written = bundle.assets.layout, bundle.config.series.time_format
    if written is None or layout.time_format in (written, PARTS):
        return layout
    if layout.clock is None:
        what = f"setting series.time_format = {written!r} is not used: the rows of training had no time"
        raise ConfigError(what, hint="leave it out")
    return Layout.model_validate({**layout.model_dump(), "time_format": written})


def reach_of(source: SeriesSource) -> Reach:
    """Returns the input and target rows of a window."""
    return find_reach(source.config.series, source.assets.layout.spacing)
