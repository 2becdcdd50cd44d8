"""Report fields and model card text that all tasks share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from recurra.cells import cell_named
from recurra.config import Config, ModelConfig
from recurra.layers.summary import summarize
from recurra.measure.report import ModelRow
from recurra.runtime import facts
from recurra.store import AnyBundle
from recurra.train.loop import Outcome

__all__ = ["began_from", "network_fields", "network_name", "today", "training_fields"]

_VERSIONS = ("recurra", "python", "torch", "numpy")


def network_name(model: ModelConfig) -> str:
    """Returns the name of the network in sentences, such as ``the bidirectional LSTM``.

    Example:
        >>> network_name(ModelConfig(cell="gru", layers=2))
        'the stacked GRU'
    """
    words = ["the"]
    if model.layers > 1:
        words.append("stacked")
    if model.bidirectional:
        words.append("bidirectional")
    return " ".join([*words, cell_named(model.cell).title])


def today() -> str:
    """Returns the date in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def network_fields(bundle: AnyBundle) -> dict[str, Any]:
    """Returns the fields of a report that describe the network: time of creation, settings, layers."""
    return {
        "created": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "settings": bundle.config.plain(),
        "summary": [
            ModelRow(
                name=row.name,
                layer=row.layer,
                output_shape=row.output_shape,
                parameters=row.parameters,
                trainable=row.trainable,
            )
            for row in summarize(bundle.model).rows
        ],
    }


def training_fields(config: Config, outcome: Outcome, command: str) -> dict[str, Any]:
    """Returns the fields of a report that describe the training and how to reproduce it."""
    machine = facts()
    return {
        "history": [{k: float(v) for k, v in record.row().items()} for record in outcome.history],
        "best_epoch": outcome.best_epoch,
        "stopped": outcome.stopped,
        "command": command,
        "seed": config.train.seed,
        "versions": {name: machine[name] for name in _VERSIONS},
        "hardware": {name: value for name, value in machine.items() if name not in _VERSIONS},
    }


def began_from(bundle: AnyBundle) -> str:
    """Returns a paragraph on the pretrained weights that training started from; empty without them."""
    origin = bundle.pretrained
    if origin is None:
        return ""
    train = bundle.config.train
    layers = f" and the lowest recurrent layers ({origin['layers']})" if origin["layers"] else ""
    treatment = "trained further"
    if train.freeze:
        treatment = "not trained further"
    elif train.unfreeze_after is not None:
        treatment = f"trained further after {train.unfreeze_after} epochs"
    share = f"{100 * origin['token_share']:.1f}%"
    return f"""
The word vectors{layers} were initialized from `{origin["name"]}` and {treatment}.
They cover {origin["words"]:,} of {origin["vocabulary"]:,} words, {share} of the tokens.
SHA-256 of the weights: `{origin["sha256"]}`.
"""
