"""The bundle of each task."""

from __future__ import annotations

from recurra.bundle.base import Bundle
from recurra.bundle.classifier import ClassifierBundle
from recurra.bundle.forecaster import ForecasterBundle
from recurra.bundle.language import LanguageBundle
from recurra.bundle.tagger import TaggerBundle

__all__ = ["KINDS"]

KINDS: dict[str, type[Bundle]] = {
    kind.task: kind for kind in (ClassifierBundle, ForecasterBundle, LanguageBundle, TaggerBundle)
}
"""By the name of the task."""
