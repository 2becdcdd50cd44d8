"""Settings of forecasting alone."""

from __future__ import annotations

from recurra.config.section import Section

__all__ = ["SeriesConfig"]


class SeriesConfig(Section):
    """What only forecasting has."""
