"""The checkpoint file: tensors as safetensors, other state as JSON in its header, and a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recurra.errors import BundleError, OutputError
from recurra.files import replacing

__all__ = ["FILE_NAME", "load_checkpoint", "save_checkpoint"]

FILE_NAME = "checkpoint.safetensors"
_FORMAT = "1"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Writes a checkpoint atomically: if writing fails, the previous file at ``path`` is unchanged.

    Args:
        path: the file to write.
        tensors: tensors by name, of any shape, dtype and device.
        state: JSON values; floats are restored bit for bit.

    Raises:
        OutputError: ``path`` can't be written, or the disk is full.
    """
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    contiguous = torch.contiguous_format
    copies = {name: t.detach().cpu().clone(memory_format=contiguous) for name, t in tensors.items()}
    text = json.dumps(state)
    with replacing(path) as temporary:
        try:
            save_file(
                copies,
                temporary,
                metadata={"format": _FORMAT, "state": text, "digest": _digest(copies, text)},
            )
        except SafetensorError as error:
            raise OutputError(
                f"can't be written ({_plain(error)})",
                where=path,
                hint="free some space or choose another folder; the previous file is unchanged",
            ) from error


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors (on the CPU) and the state that ``save_checkpoint`` wrote.

    Raises:
        BundleError: the file is missing, truncated, modified, or of another format version.
    """
    if not path.is_file():
        raise BundleError("there is no checkpoint", where=path, hint="train without --resume first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copies: the tensors must not refer to the memory-mapped file, which will be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(path, _plain(error)) from error
    text = metadata.get("state", "")
    if metadata.get("format") != _FORMAT:
        raise BundleError(
            f"the checkpoint has format {metadata.get('format')}; this version of recurra reads {_FORMAT}",
            where=path,
            hint="use the version of recurra that wrote it, or train without --resume",
        )
    if metadata.get("digest") != _digest(tensors, text):
        raise _damaged(path, "its digest does not match")
    state: dict[str, Any] = json.loads(text)
    return tensors, state


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """Returns the SHA-256 of the state and of every tensor's name, shape, dtype and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        # Reshaped first: a scalar can't be viewed as bytes.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _damaged(path: Path, reason: str) -> BundleError:
    return BundleError(f"the checkpoint is damaged ({reason})", where=path, hint="delete it and train again")


def _plain(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
