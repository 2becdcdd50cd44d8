"""Settings of a language model alone."""

from __future__ import annotations

from recurra.config.section import Section

__all__ = ["LanguageConfig"]


class LanguageConfig(Section):
    """What only a language model has."""
