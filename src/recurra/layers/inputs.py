"""How a recurrent layer is called: lengths, masks, packed sequences, the two forms of a state, dropout masks.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``L`` layers, ``D`` directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recurra.cells.spec import State
from recurra.generators import generator
from recurra.kernels.dispatch import Lookup, check_lengths, has_no_values

__all__ = ["States", "TorchState", "dtype_name", "pack_as", "read_input", "read_state", "sequence_mask"]

States: TypeAlias = tuple[State, ...]
"""``(h,)`` or ``(h, c)`` of ``(B, H)`` for each layer and direction: layer 0 forward, then backward, ..."""

TorchState: TypeAlias = Tensor | State
"""``h`` or ``(h, c)`` of ``(L*D, B, H)``, as ``torch.nn`` has it."""


def read_input(
    x: Tensor | Lookup | PackedSequence,
    lengths: Tensor | None,
    mask: Tensor | None,
    input_size: int,
    like: Tensor,
) -> tuple[Tensor | Lookup, Tensor | None]:
    """Checks the input of a layer and brings it into one form.

    Args:
        x: ``(B, T, E)`` values, a lookup of that shape, or a packed sequence of ``E`` features.
        lengths: ``(B,)`` integers from 0 to ``T``, or None.
        mask: ``(B, T)`` bool, True for the steps to read, or None; not together with ``lengths``.
        input_size: ``E``.
        like: a parameter of the layer, whose dtype and device ``x`` must have.

    Returns:
        ``x`` of shape ``(B, T, E)``, and its lengths ``(B,)`` as int64 on its device; None if no row is
        padded.

    Raises:
        ValueError: a shape, dtype, device or length does not fit, or the padding is not at the end.
    """
    if isinstance(x, PackedSequence):
        if lengths is not None or mask is not None:
            raise ValueError("a PackedSequence has its own lengths; leave out lengths and mask")
        _check_features(x.data, ("steps",), input_size, like)
        x, lengths = pad_packed_sequence(x, batch_first=True)
    else:
        _check_features(x, ("B", "T"), input_size, like)
    B, T, _ = x.shape
    if T == 0:
        raise ValueError(f"x is {tuple(x.shape)} and has no steps; give sequences of 1 step or more")
    if mask is not None:
        if lengths is not None:
            raise ValueError("lengths and mask are both given; give one of them")
        lengths = _lengths_of_mask(mask, B, T)
    if lengths is None:
        return x, None
    _check_lengths_argument(lengths, B, T)
    shortest, _ = check_lengths(lengths, T, B)
    return x, None if shortest == T else lengths.to(x.device, torch.int64)


def _check_features(x: Any, dimensions: tuple[str, ...], input_size: int, like: Tensor) -> None:
    """Checks the dimensions before the features, the features, the dtype and the device of an input."""
    if not isinstance(x, Lookup):
        _check_tensor("x", x)
    values = x.table if isinstance(x, Lookup) else x
    shape = tuple(x.shape)
    if not values.dtype.is_floating_point:
        layer = f"recurra.Embedding(V, {input_size})"
        hint = f"pass token ids through {layer} first, and other integers as x.float()"
    elif len(shape) == len(dimensions) == 2 and shape[1] == input_size:
        hint = "give a single sequence as a batch of one, x[None]"
    elif len(shape) != len(dimensions) + 1:
        hint = "the batch comes first, then time, then features"
    elif shape[-1] == input_size:
        _check_like("x", values, like)
        return
    elif len(shape) == 3 and shape[1] == input_size:
        hint = "if the features come before time, give x.transpose(1, 2)"
    else:
        hint = f"make the layer with input_size={shape[-1]}"
    kind = "" if values.dtype.is_floating_point else f" of {dtype_name(values)}"
    raise ValueError(f"x is {shape}{kind}, not ({', '.join(dimensions)}, {input_size}); {hint}")


def _check_tensor(name: str, value: Any, hint: str = "") -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} is a {type(value).__name__}, not a tensor; give torch.tensor({name}){hint}")


def _check_like(name: str, values: Tensor, like: Tensor) -> None:
    """Checks the device of values and, unless autocast converts them, their dtype."""
    if values.device != like.device:
        raise ValueError(
            f"{name} is on {values.device}, the parameters are on {like.device}; "
            f'move one of them, such as {name}.to("{like.device}")'
        )
    # torch does not answer for the meta device
    if values.dtype != like.dtype and (values.is_meta or not torch.is_autocast_enabled(values.device.type)):
        raise ValueError(
            f"{name} is {dtype_name(values)}, the parameters are {dtype_name(like)}; "
            f"convert one of them, such as {name}.to({like.dtype})"
        )


def _lengths_of_mask(mask: Tensor, B: int, T: int) -> Tensor:
    """The lengths of rows whose mask is True and then False."""
    _check_tensor("mask", mask)
    if mask.dtype != torch.bool:
        raise ValueError(f"mask is {dtype_name(mask)}, not bool; give mask.bool(), True for the real steps")
    if mask.shape != (B, T):
        raise ValueError(f"mask is {tuple(mask.shape)}, not ({B}, {T}); give one value a step, batch first")
    if not has_no_values(mask):
        late = (mask[:, 1:] & ~mask[:, :-1]).any(1)
        if late.any():
            raise ValueError(
                f"mask has False before True in row {int(late.int().argmax())}; only the end of a row may be "
                "padding (True marks real steps: invert a mask in which it marks padding)"
            )
    return mask.sum(1)


def _check_lengths_argument(lengths: Tensor, B: int, T: int) -> None:
    """Checks that lengths are integers, one a row, and not another argument in their place."""
    _check_tensor("lengths", lengths, ", and an initial state by name, state=...")
    if lengths.dim() == 3:
        raise ValueError("lengths has three dimensions; give an initial state by name, state=...")
    if lengths.dtype == torch.bool:
        raise ValueError("lengths is bool; give a mask by name, mask=...")
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex:
        raise ValueError(f"lengths is {dtype_name(lengths)}, not integer; give lengths.long()")
    if lengths.shape != (B,):
        time_first = lengths.shape == (T,)
        hint = "if x is (T, B, E), give x.transpose(0, 1)" if time_first else "give one length a row"
        raise ValueError(f"lengths is {tuple(lengths.shape)}, not ({B},); {hint}")


def read_state(
    state: States | TorchState, widths: Sequence[int], names: Sequence[str], B: int, like: Tensor
) -> States:
    """An initial state in either form as one ``(h,)`` or ``(h, c)`` for each layer and direction.

    Args:
        state: as a layer returns it, or in torch's form.
        widths: ``H`` of each layer and direction, in the order of the states.
        names: of the parts of a state: ``("h",)`` or ``("h", "c")``.
        B: rows of the batch.
        like: a parameter of the layer, whose dtype and device the state must have.

    Raises:
        ValueError: a shape, the number of parts, a dtype or a device does not fit.
    """
    parts: Any = (state,) if isinstance(state, Tensor) else state
    if parts and all(isinstance(part, Tensor) for part in parts):
        parts = _layers_of_torch_state(parts, widths, names, B)
    given = [[tuple(part.shape) for part in each] for each in parts]
    expected = [[(B, H)] * len(names) for H in widths]
    if given != expected:
        raise ValueError(f"state has {given}, not {expected}")
    for each in parts:
        for name, part in zip(names, each, strict=True):
            _check_like(name, part, like)
    return tuple(tuple(each) for each in parts)


def _layers_of_torch_state(parts: State, widths: Sequence[int], names: Sequence[str], B: int) -> States:
    form = ", ".join(f"{name}_0" for name in names)
    form = f"({form})" if len(names) > 1 else form
    if len(set(widths)) > 1:
        raise ValueError(
            f"state is {form} as torch.nn has it, but the layers differ in width; "
            "give one tuple for each layer and direction, as the layer returns them"
        )
    given = [tuple(part.shape) for part in parts]
    expected = [(len(widths), B, widths[0])] * len(names)
    if given != expected:
        hint = f"give {form}, each of (layers * directions, B, H)"
        if given == [(B, len(widths), widths[0])] * len(names):
            hint = "here the batch comes second: give state.transpose(0, 1)"
        raise ValueError(f"state has {given}, not {expected}; {hint}")
    return tuple(zip(*(part.unbind(0) for part in parts), strict=True))


def pack_as(outputs: Tensor, packed: PackedSequence) -> PackedSequence:
    """Outputs ``(B, T, F)`` packed with the lengths and the order of ``packed``."""
    rows = outputs if packed.sorted_indices is None else outputs.index_select(0, packed.sorted_indices)
    lengths = (packed.batch_sizes[:, None] > torch.arange(len(rows), device="cpu")).sum(0)
    return packed._replace(data=pack_padded_sequence(rows, lengths, batch_first=True).data)


def sequence_mask(B: int, features: int, share: float, *, like: Tensor) -> Tensor:
    """A dropout mask for all steps of a sequence (Gal & Ghahramani 2016).

    It is drawn from the training's generator; outside a training of recurra, from torch's.

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
    shares = like.new_full((B, features), keep)
    return torch.bernoulli(shares, generator=generator(like.device)).div_(keep)


def dtype_name(tensor: Tensor) -> str:
    """The dtype of a tensor without ``torch.``, such as ``float32``."""
    return str(tensor.dtype).removeprefix("torch.")
