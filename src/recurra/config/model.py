"""Settings of the network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from recurra.cells import BUILT_IN, cell_names
from recurra.config.section import Fraction, Section, Width

__all__ = ["ModelConfig"]

Activation = Literal["tanh", "relu"]
Pooling = Literal["last", "mean", "max", "attention"]
Backend = Literal["auto", "cpu", "reference", "torch"]
Precision = Literal["float32", "bfloat16"]


def _known_cell(name: str) -> str:
    if name not in cell_names():
        raise ValueError(
            f"there is no such cell; there are {', '.join(cell_names())} "
            "(register one of your own with recurra.register_cell)"
        )
    return name


class ModelConfig(Section):
    """The network."""

    cell: Annotated[str, AfterValidator(_known_cell)] = Field(
        "lstm",
        description=f"the recurrent cell: {', '.join(f'`{name}`' for name in BUILT_IN)}, or one that "
        "`recurra.register_cell` added",
    )
    units: Width | list[Width] = Field(100, description="hidden units; a list gives each layer its own")
    layers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="recurrent layers")
    bidirectional: bool = Field(False, description="read from both ends")
    dropout: Fraction = Field(0.0, description="on the input of every recurrent layer, one mask a sequence")
    recurrent_dropout: Fraction = Field(
        0.0, description="on the state entering the recurrent product, one mask a sequence"
    )
    activation: Activation | list[Activation] = Field(
        "tanh", description="of the candidate (and LSTM's output); a list gives each layer its own"
    )
    pooling: Pooling = Field("last", description="how all states become one vector")
    embedding: Width = Field(32, description="features of a token")
    head_dropout: Fraction = Field(
        0.0,
        description="on the pooled vector before the head; on all states before a language model's output",
    )
    backend: Backend = Field("auto", description="the kernels that compute the recurrence")
    initial_weights: Literal["keras", "torch"] = Field(
        "keras",
        description="of the recurrent layers: orthogonal recurrent weights and a forget bias of 1, or all "
        "uniform within 1 / sqrt(units)",
    )
    precision: Precision = Field(
        "float32",
        description="bfloat16 rounds the factors of the recurrent layers' products, forwards and backwards",
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_give_layers(cls, given: Any) -> Any:
        if isinstance(given, dict) and "layers" not in given:
            for name in ("units", "activation"):
                if isinstance(given.get(name), list):
                    return {**given, "layers": len(given[name])}
        return given

    @model_validator(mode="after")
    def _lists_fit_layers(self) -> ModelConfig:
        for name, value in (("units", self.units), ("activation", self.activation)):
            if isinstance(value, list) and len(value) != self.layers:
                raise ValueError(f"{name} lists {len(value)} layers where there are {self.layers}")
        return self

    @property
    def layer_units(self) -> list[int]:
        """The width of each layer, first to last."""
        return self.units if isinstance(self.units, list) else [self.units] * self.layers

    @property
    def layer_activations(self) -> list[Activation]:
        """The activation of each layer, first to last."""
        if isinstance(self.activation, list):
            return self.activation
        return [self.activation] * self.layers
