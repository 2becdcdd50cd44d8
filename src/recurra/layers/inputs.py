"""How a recurrent layer is called: lengths, masks, packed sequences, the two forms of a state, dropout masks.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``L`` layers, ``D`` directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recurra.cells.spec import State
from recurra.kernels.dispatch import Lookup, check_lengths, is_batched

__all__ = [
    "Padded",
    "States",
    "TorchState",
    "pack_as",
    "read_input",
    "read_state",
    "sequence_mask",
    "stacked",
]

States: TypeAlias = tuple[State, ...]
"""``(h,)`` or ``(h, c)`` of ``(B, H)`` for each layer and direction: layer 0 forward, then backward, ..."""

TorchState: TypeAlias = Tensor | State
"""``h`` or ``(h, c)`` of ``(L*D, B, H)``, as ``torch.nn`` has it."""


class Padded(NamedTuple):
    """A batch as the kernels read it."""

    x: Tensor | Lookup
    """``(B, T, E)``"""
    lengths: Tensor | None
    """``(B,)`` int64 true steps of each row, on the device of ``x``; None if no row is padded."""


def read_input(
    x: Tensor | Lookup | PackedSequence,
    lengths: Tensor | None,
    mask: Tensor | None,
    input_size: int,
    like: Tensor,
) -> Padded:
    """Checks the input of a layer and brings it into one form.

    Args:
        x: ``(B, T, E)`` values, a lookup of that shape, or a packed sequence of ``E`` features.
        lengths: ``(B,)`` integers from 0 to ``T``, or None.
        mask: ``(B, T)`` bool, True for the steps to read, or None; not together with ``lengths``.
        input_size: ``E``.
        like: a parameter of the layer, whose dtype and device ``x`` must have.

    Raises:
        ValueError: a shape, dtype, device or length does not fit, or the padding is not at the end.
    """
    if isinstance(x, PackedSequence):
        if lengths is not None or mask is not None:
            raise ValueError("a PackedSequence has its own lengths; leave out lengths and mask")
        _check_features(x.data, 2, input_size, like)
        x, lengths = pad_packed_sequence(x, batch_first=True)
    else:
        _check_features(x, 3, input_size, like)
    B, T, _ = x.shape
    if T == 0:
        raise ValueError(f"x is {tuple(x.shape)} and has no steps; give sequences of 1 step or more")
    if mask is not None:
        if lengths is not None:
            raise ValueError("lengths and mask are both given; give one of them")
        lengths = _lengths_of_mask(mask, B, T)
    if lengths is None:
        return Padded(x, None)
    _refuse_other_arguments(lengths, B, T)
    shortest, _ = check_lengths(lengths, T, B)
    return Padded(x, None if shortest == T else lengths.to(x.device, torch.int64))


def _check_features(x: Tensor | Lookup, dimensions: int, input_size: int, like: Tensor) -> None:
    """Checks the dimensions, features, dtype and device of an input.

    Raises:
        ValueError: one of them does not fit.
    """
    values = x.table if isinstance(x, Lookup) else x
    shape = tuple(x.shape)
    fits = len(shape) == dimensions and shape[-1] == input_size
    if fits and values.dtype == like.dtype and values.device == like.device:
        return
    expected = f"not (B, T, {input_size})" if dimensions == 3 else f"not (steps, {input_size})"
    if not values.dtype.is_floating_point:
        raise ValueError(
            f"x is {shape} of {_name(values.dtype)}, {expected}; pass token ids through "
            f"recurra.Embedding(V, {input_size}) first, and other integers as x.float()"
        )
    if len(shape) == 2 and dimensions == 3 and shape[1] == input_size:
        raise ValueError(f"x is {shape}, {expected}; give a single sequence as a batch of one, x[None]")
    if len(shape) != dimensions:
        raise ValueError(f"x is {shape}, {expected}; the batch comes first, then time, then features")
    if shape[-1] != input_size:
        hint = f"make the layer with input_size={shape[-1]}"
        if dimensions == 3 and shape[1] == input_size:
            hint = "if the features come before time, give x.transpose(1, 2)"
        raise ValueError(f"x is {shape}, {expected}; {hint}")
    if values.device != like.device:
        raise ValueError(
            f"x is on {values.device}, the parameters are on {like.device}; "
            f'move one of them, such as x.to("{like.device}")'
        )
    if not torch.is_autocast_enabled(values.device.type):
        raise ValueError(
            f"x is {_name(values.dtype)}, the parameters are {_name(like.dtype)}; "
            f"convert one of them, such as x.to({like.dtype})"
        )


def _lengths_of_mask(mask: Tensor, B: int, T: int) -> Tensor:
    """The lengths of rows whose mask is True and then False.

    Raises:
        ValueError: the mask is of another shape or dtype, or has False before True.
    """
    if mask.dtype != torch.bool:
        raise ValueError(f"mask is {_name(mask.dtype)}, not bool; give mask.bool(), True for the real steps")
    if mask.shape != (B, T):
        raise ValueError(f"mask is {tuple(mask.shape)}, not ({B}, {T}); give one value a step, batch first")
    if not is_batched(mask):
        late = (mask[:, 1:] & ~mask[:, :-1]).any(1)
        if late.any():
            raise ValueError(
                f"mask has False before True in row {int(late.int().argmax())}; only the end of a row may be "
                "padding (True marks real steps: invert a mask in which it marks padding)"
            )
    return mask.sum(1)


def _refuse_other_arguments(lengths: Any, B: int, T: int) -> None:
    """Checks the type, dtype and shape of lengths.

    Raises:
        ValueError: they are no tensor, not integers, or not one a row.
    """
    if not isinstance(lengths, Tensor):
        raise ValueError(
            f"lengths is a {type(lengths).__name__}, not a tensor; give torch.tensor(lengths), "
            "and an initial state by name, state=..."
        )
    if lengths.dim() == 3:
        raise ValueError("lengths has three dimensions; give an initial state by name, state=...")
    if lengths.dtype == torch.bool:
        raise ValueError("lengths is bool; give a mask by name, mask=...")
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex:
        raise ValueError(f"lengths is {_name(lengths.dtype)}, not integer; give lengths.long()")
    if lengths.shape != (B,):
        hint = "give one length a row"
        if lengths.shape == (T,):
            hint = "if x is (T, B, E), give x.transpose(0, 1)"
        raise ValueError(f"lengths is {tuple(lengths.shape)}, not ({B},); {hint}")


def read_state(state: States | TorchState, widths: Sequence[int], names: Sequence[str], B: int) -> States:
    """An initial state in either form as one ``(h,)`` or ``(h, c)`` for each layer and direction.

    Args:
        state: as a layer returns it, or in torch's form.
        widths: ``H`` of each layer and direction, in the order of the states.
        names: of the parts of a state: ``("h",)`` or ``("h", "c")``.
        B: rows of the batch.

    Raises:
        ValueError: a shape or the number of parts does not fit.
    """
    parts = (state,) if isinstance(state, Tensor) else state
    if parts and all(isinstance(part, Tensor) for part in parts):
        return _read_torch_state(parts, widths, names, B)  # type: ignore[arg-type]  # checked one line above
    given = [[tuple(part.shape) for part in each] for each in parts]
    expected = [[(B, H)] * len(names) for H in widths]
    if given != expected:
        raise ValueError(f"state has {given}, not {expected}")
    return parts  # type: ignore[return-value]  # its shapes are those of States


def _read_torch_state(parts: State, widths: Sequence[int], names: Sequence[str], B: int) -> States:
    form = ", ".join(f"{name}_0" for name in names)
    form = f"({form})" if len(names) > 1 else form
    if len(set(widths)) > 1:
        raise ValueError(
            f"state is {form} as torch.nn has it, but the layers differ in width; "
            "give one tuple for each layer and direction, as the layer returns them"
        )
    expected = (len(widths), B, widths[0])
    given = [tuple(part.shape) for part in parts]
    if given != [expected] * len(names):
        hint = f"give {form}, each of (layers * directions, B, H)"
        if given == [(B, len(widths), widths[0])] * len(names):
            hint = "here the batch comes second: give state.transpose(0, 1)"
        raise ValueError(f"state has {given}, not {[expected] * len(names)}; {hint}")
    return tuple(zip(*(part.unbind(0) for part in parts), strict=True))


def stacked(states: States) -> TorchState:
    """States of equal width in torch's form: ``h`` or ``(h, c)`` of ``(L*D, B, H)``."""
    parts = tuple(torch.stack(part) for part in zip(*states, strict=True))
    return parts if len(parts) > 1 else parts[0]


def pack_as(outputs: Tensor, packed: PackedSequence) -> PackedSequence:
    """Outputs ``(B, T, F)`` packed with the lengths and the order of ``packed``."""
    rows = outputs if packed.sorted_indices is None else outputs.index_select(0, packed.sorted_indices)
    lengths = (packed.batch_sizes[:, None] > torch.arange(len(rows), device="cpu")).sum(0)
    data = pack_padded_sequence(rows, lengths, batch_first=True).data
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def sequence_mask(B: int, features: int, share: float, *, like: Tensor) -> Tensor:
    """A dropout mask for all steps of a sequence (Gal & Ghahramani 2016), drawn from torch's generator.

    Args:
        B: rows of the batch.
        features: features of a step.
        share: the probability that a feature is dropped, from 0 to below 1.
        like: a tensor of the device and floating dtype that the mask gets.

    Returns:
        ``(B, features)``, 0 with probability ``share``, else ``1 / (1 - share)``.

    Example:
        >>> mask = sequence_mask(2, 3, 0.5, like=torch.zeros(()))
        >>> mask.shape, set(mask.flatten().tolist()) <= {0.0, 2.0}
        (torch.Size([2, 3]), True)
    """
    keep = 1.0 - share
    return torch.bernoulli(like.new_full((B, features), keep)).div_(keep)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
