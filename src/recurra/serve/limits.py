"""The limits of a server: how large, how many and how long requests may be."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recurra.errors import ConfigError

__all__ = ["Limits"]


class Limits(BaseModel):
    """What a server accepts; a request beyond a limit is refused with one line that names the limit.

    Example:
        >>> Limits().body
        1000000
        >>> Limits.of(queue=0)
        Traceback (most recent call last):
        ...
        recurra.errors.ConfigError: limit queue = 0: input should be greater than or equal to 1
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body: int = Field(1_000_000, ge=1_000, description="Bytes of a request, also after decompression (413).")
    texts: int = Field(256, ge=1, description="Texts of a request (413).")
    queue: int = Field(1_024, ge=1, description="Texts that wait for an answer (429).")
    concurrency: int = Field(128, ge=1, description="Requests in progress (429).")
    timeout: float = Field(30.0, gt=0, le=3_600, description="Seconds until an answer (504).")
    generate: int = Field(512, ge=1, description="Tokens that a language model generates for a text (400).")
    explain: int = Field(512, ge=1, description="Words of a text that is explained (400).")
    steps: int = Field(2_048, ge=1, description="Words or rows of a stream (400).")
    batch: int = Field(64, ge=1, le=4_096, description="Texts that are computed together.")

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Returns the limits with these values.

        Raises:
            ConfigError: a limit is unknown or out of its range.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            reason = first["msg"][:1].lower() + first["msg"][1:]
            raise ConfigError(f"limit {name} = {first['input']!r}: {reason}") from None
