"""The tasks whose models can be exported."""

from __future__ import annotations

import copy
import importlib
from dataclasses import replace

from recurra.errors import ConfigError
from recurra.export.plan import Plan
from recurra.layers import Recurrent
from recurra.store import AnyBundle

__all__ = ["plan_of"]

_MODULES = {
    "classify": "recurra.export.classification",
    "tag": "recurra.export.tagging",
    "lm": "recurra.export.language",
    "forecast": "recurra.export.forecasting",
}


def plan_of(bundle: AnyBundle) -> Plan:
    """Returns what is exported of a model.

    Raises:
        ConfigError: models of its task can't be exported.
    """
    if bundle.task not in _MODULES:
        raise ConfigError(f"a model of task {bundle.task} can't be exported")
    bundle, notes = _in_float32(bundle)
    found: Plan = importlib.import_module(_MODULES[bundle.task]).plan(bundle)
    return replace(found, notes=(*notes, *found.notes))


def _in_float32(bundle: AnyBundle) -> tuple[AnyBundle, list[str]]:
    """Returns a copy of the bundle whose recurrent layers compute in float32, and a note if they did not."""
    model = copy.deepcopy(bundle.model).eval()
    rounded = [
        layer for layer in model.modules() if isinstance(layer, Recurrent) and layer.precision != "float32"
    ]
    for layer in rounded:
        layer.precision = "float32"
    notes = ["the recurrent layers compute in float32, in recurra in bfloat16"] if rounded else []
    return replace(bundle, model=model), notes
