"""Programs of torch.export: written, and run as PyTorch loads them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from recurra.errors import OutputError
from recurra.export.plan import Arrays, Plan, Run

__all__ = ["write_program"]


def write_program(plan: Plan, path: Path) -> Run:
    """Writes a program with free batch and time; returns what runs the file as it is loaded from the disk.

    Raises:
        OutputError: PyTorch can't export the model.
    """
    inputs, outputs = ([value["name"] for value in plan.signature[kind]] for kind in ("inputs", "outputs"))
    module = plan.program().eval()
    names = sorted({d for value in plan.signature["inputs"] for d in value["shape"] if isinstance(d, str)})
    # A free size must not be that of a weight by chance: PyTorch would take one for the other.
    taken = {size for tensor in module.state_dict().values() for size in tensor.shape}
    sizes = dict(zip(names, (size for size in count(11) if size not in taken), strict=False))
    free = {name: Dim(name) for name in names}
    example, each = [], []
    for value in plan.signature["inputs"]:
        shape = [sizes.get(dim, dim) for dim in value["shape"]]
        example.append(torch.zeros(shape, dtype=getattr(torch, value["type"])))
        each.append({axis: free[dim] for axis, dim in enumerate(value["shape"]) if isinstance(dim, str)})
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    named = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shapes = (*each,) if named == len(kinds) else (*each[:named], (*each[named:],))  # *inputs are one tuple
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch._dynamo.reset()  # what was traced before in this process would fix the free sizes
            program = torch.export.export(module, tuple(example), dynamic_shapes=shapes, strict=False)
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
