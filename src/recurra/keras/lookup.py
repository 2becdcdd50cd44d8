"""The ids behind the output of an embedding, which a recurrent layer can read in its place.

The kernels then add up the gradient of the table's rows themselves, without a gradient of the output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.kernels.dispatch import Lookup

__all__ = ["behind", "remember"]

_NAME = "_recurra_lookup"


def remember(outputs: Tensor, table: Any, ids: Any) -> Tensor:
    """Notes on the outputs ``(B, T, E)`` of an embedding the table ``(V, E)`` and the ids ``(B, T)``.

    Args:
        outputs: as Keras's layer computed them.
        table: its values, of any dtype; nothing is noted if the outputs are of another.
        ids: as the layer was given them; negative ids count from the end of the table.
    """
    if outputs.dim() == 3 and table.dtype == outputs.dtype:
        ids = ids.long()
        ids = torch.where(ids < 0, ids + len(table), ids)
        setattr(outputs, _NAME, (Lookup(table, ids), outputs._version))
    return outputs


def behind(x: Tensor) -> Tensor | Lookup:
    """Returns the lookup that was noted on an input, or the input.

    It is the input if it was changed since, or if its own gradient is wanted.
    """
    lookup, version = getattr(x, _NAME, (x, None))
    if version != x._version or x.retains_grad or x._backward_hooks:
        return x
    found: Tensor | Lookup = lookup
    return found
