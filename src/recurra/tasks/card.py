"""What the report and the card of every trained network say alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from recurra.config import Config, ModelConfig
from recurra.layers.summary import summarize
from recurra.measure.report_data import ModelRow
from recurra.runtime import facts
from recurra.store import AnyBundle
from recurra.train.loop import Outcome

__all__ = ["began_from", "network_fields", "network_name", "today", "training_fields"]

_CELLS = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
_VERSIONS = ("recurra", "python", "torch", "numpy")


def network_name(model: ModelConfig) -> str:
    """What sentences call the network, such as ``the bidirectional LSTM``.

    Example:
        >>> network_name(ModelConfig(cell="gru", layers=2))
        'the stacked GRU'
    """
    words = ["the"]
    if model.layers > 1:
        words.append("stacked")
    if model.bidirectional:
        words.append("bidirectional")
    return " ".join([*words, _CELLS[model.cell]])


def today() -> str:
    """The date in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def network_fields(bundle: AnyBundle) -> dict[str, Any]:
    """The fields of a report that say which network it is of: name, time, layers, settings."""
    return {
        "model_name": network_name(bundle.config.model),
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
    """The fields of a report that say how it was trained, and how to do it again."""
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
    """A paragraph on what training began from; nothing where it began from nothing."""
    found = bundle.pretrained
    if found is None:
        return ""
    train = bundle.config.train
    layers = f" and its lowest recurrent layers ({found['layers']})" if found["layers"] else ""
    then = "trained on"
    if train.freeze:
        then = "left as they were"
    elif train.unfreeze_after is not None:
        then = f"left as they were for {train.unfreeze_after} epochs"
    return f"""
Its word vectors{layers} were taken from `{found["name"]}` and {then}.
SHA-256 of its weights: `{found["sha256"]}`.
It had {found["words"]:,} of {found["vocabulary"]:,} words, {100 * found["token_share"]:.1f}% of the tokens.
"""
