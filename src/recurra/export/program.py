"""Programs of torch.export: written, and run as PyTorch loads them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from recurra.errors import OutputError
from recurra.export.plan import Arrays, Plan, Probe, Run

__all__ = ["write_program"]


def write_program(plan: Plan, probes: Sequence[Probe], path: Path) -> Run:
    """Writes a program with free batch and time; returns what runs the file as it is loaded from the disk.

    Raises:
        OutputError: PyTorch can't export the model.
    """
    inputs, outputs = ([value["name"] for value in plan.signature[kind]] for kind in ("inputs", "outputs"))
    largest = probes[-1].inputs
    example = tuple(torch.from_numpy(largest[name]) for name in inputs)
    names = sorted({d for value in plan.signature["inputs"] for d in value["shape"] if isinstance(d, str)})
    free = {name: Dim(name) for name in names}
    each = tuple(
        {axis: free[dim] for axis, dim in enumerate(value["shape"]) if isinstance(dim, str)}
        for value in plan.signature["inputs"]
    )
    module = plan.program().eval()
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    named = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shapes = each if named == len(kinds) else (*each[:named], each[named:])  # those of *inputs are one tuple
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
            torch.export.save(program, path)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise OutputError(f"PyTorch can't export the model ({reason})", hint="use --to onnx") from error
    return _loaded(path, inputs, outputs)


def _loaded(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: Any = torch.export.load(path).module()

    def run(feeds: Arrays) -> Arrays:
        with torch.no_grad():
            found = module(*(torch.from_numpy(feeds[name]) for name in inputs))
        return {name: value.numpy() for name, value in zip(outputs, found, strict=True)}

    return run
