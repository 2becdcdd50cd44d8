"""What the page shows about a model: its card, its figures, and what it reads and answers."""

from __future__ import annotations

import math
from typing import Any

from recurra.layers.summary import summarize
from recurra.serve.models import Model
from recurra.tasks.registry import task_info

__all__ = ["card_of"]

_PRIVATE = {"training"}  # has the paths of files


def card_of(model: Model) -> dict[str, Any]:
    """Returns JSON values on a model, without paths of this machine."""
    bundle = model.bundle
    labels = getattr(bundle.assets, "labels", None)
    layout = getattr(bundle.assets, "layout", None)
    about: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "task": bundle.task,
        "title": task_info(bundle.task).title,
        "recipe": bundle.config.recipe,
        "cell": bundle.config.model.cell,
        "bidirectional": bundle.config.model.bidirectional,
        "parameters": summarize(bundle.model).total,
        "options": sorted(task_info(bundle.task).options),
        "classes": None if labels is None else list(labels.names),
        "card": model.card,
        "figures": _finite({name: value for name, value in bundle.metrics.items() if name not in _PRIVATE}),
    }
    if layout is not None:
        about["columns"] = layout.columns
        about["target"] = layout.target.name
    return about


def _finite(value: Any) -> Any:
    """The value with null in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
