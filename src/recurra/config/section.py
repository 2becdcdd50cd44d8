"""The base class of settings sections, and types that several sections use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["Choice", "Fraction", "Section", "Width"]

Fraction = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=65_536)]


@dataclass(frozen=True)
class Choice:
    """Annotates a string setting whose values are the names of a table, which can be extended at run time.

    Attributes:
        names: a function that returns the names.
        others: a description of other values, for the error message.
    """

    names: Callable[[], Iterable[str]]
    others: str = ""

    def check(self, value: str) -> str:
        """Returns ``value`` if it is one of the names.

        Raises:
            ValueError: ``value`` is not one of the names.
        """
        names = list(self.names())
        if value not in names:
            others = f", or {self.others}" if self.others else ""
            raise ValueError(f"it should be one of {', '.join(names)}{others}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


class Section(BaseModel):
    """Base class of settings; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
