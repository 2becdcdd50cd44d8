"""What the page shows about a model: its card, its figures, and what it reads and answers."""

from __future__ import annotations

from typing import Any

from recurra.layers.summary import summarize
from recurra.serve.models import Model
from recurra.tasks.answer_files import finite
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
        "figures": finite({name: value for name, value in bundle.metrics.items() if name not in _PRIVATE}),
    }
    if layout is not None:
        about["columns"] = layout.columns
        about["target"] = layout.target.name
    return about
