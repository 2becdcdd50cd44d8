"""The bundle of each task."""

from __future__ import annotations

from recurra.bundle.base import Bundle
from recurra.bundle.classifier import ClassifierBundle

__all__ = ["KINDS"]

KINDS: dict[str, type[Bundle]] = {kind.task: kind for kind in (ClassifierBundle,)}
"""By the name of the task."""
