"""Settings of tagging alone."""

from __future__ import annotations

from recurra.config.section import Section

__all__ = ["TaggingConfig"]


class TaggingConfig(Section):
    """What only tagging has."""
