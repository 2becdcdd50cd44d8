"""What the sections of the settings share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Cell", "Fraction", "Section", "Width"]

Cell = Literal["simple_rnn", "lstm", "gru"]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class Section(BaseModel):
    """Settings that refuse an unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
