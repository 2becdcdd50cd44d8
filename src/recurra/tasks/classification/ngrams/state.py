"""Arrays of a saved model, checked when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import BundleError

__all__ = ["Arrays", "damaged", "text_array"]


class Arrays:
    """Arrays by name, of which each is taken with the type and the shape that it must have.

    Example:
        >>> arrays = Arrays({"biases": np.zeros(3)})
        >>> arrays.take("biases", np.float64, 3).tolist()
        [0.0, 0.0, 0.0]
        >>> try:
        ...     arrays.take("biases", np.float64, 4)
        ... except BundleError as error:
        ...     print(error.what)
        the n-grams are damaged: biases is float64 (3,) instead of float64 (4,)
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def take(self, name: str, dtype: type[np.generic], *shape: int) -> NDArray[Any]:
        """Returns an array; a length of -1 may be any.

        Raises:
            BundleError: it is missing, has another type or shape, or is not finite.
        """
        found = self._arrays.get(name)
        if found is None:
            raise damaged(f"{name} is missing")
        fits = found.ndim == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if found.dtype != np.dtype(dtype) or not fits:
            wanted = tuple(length if length >= 0 else "any" for length in shape)
            raise damaged(f"{name} is {found.dtype} {found.shape} instead of {np.dtype(dtype)} {wanted}")
        if not np.isfinite(found).all():
            raise damaged(f"{name} holds values that are not finite")
        return found

    def between(self, name: str, low: int, high: int, *shape: int) -> NDArray[np.int64]:
        """Returns an array of integers from ``low`` up to, but without ``high``."""
        found: NDArray[np.int64] = self.take(name, np.int64, *shape)
        if found.size and not (low <= found.min() and found.max() < high):
            raise damaged(f"{name} holds a number that is not from {low} to {high - 1}")
        return found

    def text(self, name: str) -> str:
        """Returns the text of an array of UTF-8 bytes."""
        try:
            return bytes(self.take(name, np.uint8, -1)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise damaged(f"{name} is no text") from error


def damaged(what: str) -> BundleError:
    """Returns the error of an array that can't be used."""
    return BundleError(f"the n-grams are damaged: {what}", hint="copy the whole directory again")


def text_array(text: str) -> NDArray[np.uint8]:
    """Returns a text as UTF-8 bytes."""
    return np.frombuffer(text.encode("utf-8", "replace"), np.uint8).copy()
