"""The bundle of each task."""

from __future__ import annotations

from recurra.store.base import Bundle
from recurra.tasks.classification.bundle import ClassifierBundle
from recurra.tasks.forecasting.bundle import ForecasterBundle
from recurra.tasks.language.bundle import LanguageBundle
from recurra.tasks.tagging.bundle import TaggerBundle

__all__ = ["KINDS"]

KINDS: dict[str, type[Bundle]] = {
    kind.task: kind for kind in (ClassifierBundle, ForecasterBundle, LanguageBundle, TaggerBundle)
}
"""By the name of the task."""
