"""Settings of the network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from recurra.cells import cell_named, cell_names
from recurra.config.section import Choice, Fraction, Section, Width

__all__ = ["ModelConfig"]

Activation = Literal["tanh", "relu"]
Pooling = Literal["last", "mean", "max", "attention"]
Backend = Literal["auto", "cpu", "reference", "torch"]
Precision = Literal["float32", "bfloat16"]


class ModelConfig(Section):
    """The network."""

    cell: Annotated[str, Choice(cell_names, "one registered with recurra.register_cell")] = Field(
        "lstm", description="the recurrent cell"
    )
    units: Width | list[Width] = Field(
        100, description="hidden units, or a list with the units of each layer"
    )
    layers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="number of recurrent layers")
    bidirectional: bool = Field(False, description="process the sequence in both directions")
    dropout: Fraction = Field(
        0.0, description="dropout on the input of every recurrent layer, one mask per sequence"
    )
    recurrent_dropout: Fraction = Field(
        0.0, description="dropout on the state before the recurrent product, one mask per sequence"
    )
    activation: Activation | list[Activation] = Field(
        "tanh",
        description="activation of the candidate (and of the LSTM's output), or a list with that of each "
        "layer",
    )
    pooling: Pooling = Field("last", description="how the states of all steps are reduced to one vector")
    embedding: Width = Field(32, description="size of the token embedding")
    head_dropout: Fraction = Field(
        0.0,
        description="dropout on the pooled vector before the head, or on all states in a language model",
    )
    backend: Backend = Field("auto", description="implementation of the recurrence")
    initial_weights: Literal["keras", "torch"] = Field(
        "keras",
        description="initialization of the recurrent layers: keras, with orthogonal recurrent weights and a "
        "forget bias of 1; torch, uniform within 1 / sqrt(units)",
    )
    precision: Precision = Field(
        "float32",
        description="bfloat16 rounds the factors of the recurrent layers' matrix products, forward and "
        "backward",
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_set_layers(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and "layers" not in settings:
            for name in ("units", "activation"):
                if isinstance(settings.get(name), list):
                    return {**settings, "layers": len(settings[name])}
        return settings

    @model_validator(mode="after")
    def _recurrent_dropout_has_a_product(self) -> ModelConfig:
        if self.recurrent_dropout and not cell_named(self.cell).recurrent_dropout:
            raise ValueError(
                f"recurrent_dropout needs a recurrent product, which {self.cell} does not have; use dropout"
            )
        return self

    @model_validator(mode="after")
    def _lists_fit_layers(self) -> ModelConfig:
        for name, value in (("units", self.units), ("activation", self.activation)):
            if isinstance(value, list) and len(value) != self.layers:
                raise ValueError(f"{name} has {len(value)} entries, but layers = {self.layers}")
        return self

    @property
    def layer_units(self) -> list[int]:
        """Number of hidden units of each layer, first to last."""
        return self.units if isinstance(self.units, list) else [self.units] * self.layers

    @property
    def layer_activations(self) -> list[Activation]:
        """Activation of each layer, first to last."""
        if isinstance(self.activation, list):
            return self.activation
        return [self.activation] * self.layers
