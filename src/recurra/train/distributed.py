"""The processes that train one model together: each computes the gradient of its share of every batch.

The sum of the gradients, weighted by the true counts of the shares, is the gradient of the whole batch, so
that all processes make the same step. The first process leads: it decides when to stop, validates, writes
checkpoints and observes; the others follow (docs/decisions/0048-distributed.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed
from torch import Tensor, nn

from recurra.train.objective import AnyBatch
from recurra.train.touched_rows import coalesced

__all__ = ["ALONE", "Group", "World"]


class World:
    """The processes of a training. This class is a training by one process, for which nothing is exchanged.

    Example:
        >>> ALONE.size, ALONE.leads, ALONE.agree(True, False), ALONE.told({"epochs": 3})
        (1, True, (True, False), {'epochs': 3})
    """

    rank: int = 0
    """The number of this process, from 0."""
    size: int = 1
    """The number of processes."""
    threads: int | None = None
    """The number of threads of each process while they train; None for those that it has."""
    threads_alone: int | None = None
    """The number of threads of the first process while the others wait; None for those that it has."""

    @property
    def leads(self) -> bool:
        """Whether this process is the first one."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """Returns the seed of this process's dropout masks; that of the first process is ``seed``."""
        return seed

    def device(self, device: torch.device) -> torch.device:
        """Returns the device of this process where ``device`` is any of the GPUs of a machine."""
        return device

    def share(self, batch: AnyBatch) -> AnyBatch:
        """Returns the part of a batch that this process computes; it may be empty."""
        return batch

    def sum_gradients(self, model: nn.Module, loss: float) -> float:
        """Replaces the gradients of a model by their sums over all processes, and returns that of ``loss``.

        A weight that has a gradient in no process has none afterwards.
        """
        return loss

    def copy_weights(self, model: nn.Module) -> None:
        """Copies the weights and buffers of the first process to the others."""

    def agree(self, *facts: bool) -> tuple[bool, ...]:
        """Returns what the first process knows."""
        return facts

    def told(self, value: Any) -> Any:
        """Returns the JSON value of the first process; those of the others are not looked at."""
        return value

    def sent(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors of the first process, on the CPU; those of the others are not looked at."""
        return dict(tensors)

    def gathered(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Returns the tensors of every process but the first, to that one; the others get an empty list."""
        return []

    def wait(self) -> None:
        """Returns when all processes have called it."""

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Context that the first process leaves before the others enter it.

        What it puts into a cache in this context, they find there.
        """
        yield


ALONE = World()
"""A training by one process."""


class Group(World):
    """A training by several processes, which are joined as torch's default process group.

    Args:
        lost: returns the exception to raise if a process has ended or can't be reached.
        nccl: whether tensors on GPUs are exchanged by NCCL; otherwise they go through the memory of the host.
        place: the number of this process among those of its machine.
        threads, threads_alone: see `World`.
    """

    def __init__(
        self,
        lost: Callable[[], BaseException],
        *,
        nccl: bool = False,
        place: int = 0,
        threads: int | None = None,
        threads_alone: int | None = None,
    ) -> None:
        self.rank = torch.distributed.get_rank()
        self.size = torch.distributed.get_world_size()
        self.threads, self.threads_alone = threads, threads_alone
        self._lost, self._nccl, self._place = lost, nccl, place

    def device(self, device: torch.device) -> torch.device:
        """Returns a GPU of the machine by the number of this process, if ``device`` is any of them."""
        if str(device) != "cuda":
            return device
        return torch.device("cuda", self._place % torch.cuda.device_count())

    def seed(self, seed: int) -> int:
        """Returns a seed that depends on the rank; for the first process it is ``seed``."""
        if self.leads:
            return seed
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1, np.uint64)[0] >> 1)

    def share(self, batch: AnyBatch) -> AnyBatch:
        """Returns the part of a batch that has the number of this process."""
        return batch.part(self.rank, self.size)

    def sum_gradients(self, model: nn.Module, loss: float) -> float:
        """See `World.sum_gradients`; every process gets the same bits.

        Dense gradients travel as one vector, with a mark for each weight that has one and with the loss.
        Sparse ones travel as row numbers and rows, and are added in the order of the processes.
        """
        sparse = {each.weight for each in model.modules() if isinstance(each, nn.Embedding) and each.sparse}
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        dense = [weight for weight in weights if weight not in sparse]
        total = self._sum_dense(dense, loss, next(model.parameters()).device)
        for weight in weights:
            if weight in sparse:
                self._sum_rows(weight)
        return total

    def _sum_dense(self, weights: list[nn.Parameter], loss: float, device: torch.device) -> float:
        dtype = torch.float32
        for weight in weights:
            dtype = torch.promote_types(dtype, weight.dtype)
        marks = torch.tensor([*(weight.grad is not None for weight in weights), loss], dtype=dtype)
        parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in weights]
        flat = torch.cat([*(part.reshape(-1).to(dtype) for part in parts), marks.to(device)])
        with self._reaching():
            flat = self._everywhere(flat, torch.distributed.all_reduce)
        *sums, marks = torch.split(flat, [*(weight.numel() for weight in weights), len(marks)])
        *present, total = marks.tolist()
        for weight, found, summed in zip(weights, present, sums, strict=True):
            if found:
                if weight.grad is None:
                    weight.grad = torch.empty_like(weight)
                weight.grad.copy_(summed.view(weight.shape))
        return float(total)

    def _sum_rows(self, weight: nn.Parameter) -> None:
        own = None if weight.grad is None else coalesced(weight.grad)
        rows = weight.new_empty(0, dtype=torch.int64) if own is None else own.indices()[0]
        values = weight.new_empty(0, *weight.shape[1:]) if own is None else own.values()
        counts = [int(count) for count in self._all(torch.tensor([-1 if own is None else len(rows)]))]
        most = max(counts)
        if most < 0:
            return
        padding = most - len(rows)
        every_row = self._all(torch.cat([rows, rows.new_zeros(padding)])) if most else [rows] * self.size
        every_value = [values] * self.size
        if most:
            every_value = self._all(torch.cat([values, values.new_zeros(padding, *weight.shape[1:])]))
        found = [part[: max(0, count)] for part, count in zip(every_row, counts, strict=True)]
        union = torch.unique(torch.cat(found))
        total = weight.new_zeros(len(union), *weight.shape[1:])
        for part, summands in zip(found, every_value, strict=True):  # rows are unique within a part
            total.index_add_(0, torch.searchsorted(union, part), summands[: len(part)])
        weight.grad = torch.sparse_coo_tensor(
            union[None], total, weight.shape, is_coalesced=True, check_invariants=False
        )

    def copy_weights(self, model: nn.Module) -> None:
        """Copies the weights and buffers of the first process to the others, in place."""
        with self._reaching(), torch.no_grad():
            for tensor in model.state_dict(keep_vars=True).values():
                if not tensor.numel():
                    continue
                flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
                sent = self._everywhere(flat, lambda wire: torch.distributed.broadcast(wire, 0))
                if not self.leads:
                    tensor.copy_(sent.view(tensor.dtype).view(tensor.shape))

    def agree(self, *facts: bool) -> tuple[bool, ...]:
        """Returns the facts of the first process."""
        with self._reaching():
            wire = torch.tensor(facts, dtype=torch.uint8)
            torch.distributed.broadcast(wire, 0)
        return tuple(bool(fact) for fact in wire.tolist())

    def told(self, value: Any) -> Any:
        """Returns the JSON value of the first process."""
        text = json.dumps(value).encode() if self.leads else b""
        with self._reaching():
            length = torch.tensor([len(text)])
            torch.distributed.broadcast(length, 0)
            wire = torch.zeros(int(length), dtype=torch.uint8)
            if self.leads:
                wire = _as_tensor(text)
            torch.distributed.broadcast(wire, 0)
        return json.loads(bytes(wire.numpy()))

    def sent(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors of the first process, one after the other."""
        kinds = [[name, list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in tensors.items()]
        found: dict[str, Tensor] = {}
        for name, shape, dtype in self.told(kinds):
            tensor = torch.empty(shape, dtype=getattr(torch, dtype))
            if self.leads:
                tensor = tensors[name].detach().cpu().contiguous()
            if tensor.numel():
                with self._reaching():
                    torch.distributed.broadcast(tensor.reshape(-1).view(torch.uint8), 0)
            found[name] = tensor
        return found

    def gathered(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Returns the tensors of the other processes to the first one."""
        copies = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        wire = _as_tensor(safetensors.torch.save(copies))
        lengths = [int(length) for length in self._all(torch.tensor([len(wire)]))]
        padded = torch.cat([wire, wire.new_zeros(max(lengths) - len(wire))])
        parts = self._all(padded)
        if not self.leads:
            return []
        cut = [bytes(part[:length].numpy()) for part, length in zip(parts, lengths, strict=True)]
        return [safetensors.torch.load(part) for part in cut[1:]]

    def wait(self) -> None:
        """Returns when all processes have called it."""
        self._all(torch.zeros(1))

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Context that the first process leaves before the others enter it."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def _all(self, tensor: Tensor) -> list[Tensor]:
        """Returns the tensors of all processes, which are of the same shape, on the device of ``tensor``."""
        with self._reaching():
            wire = tensor if self._nccl else tensor.cpu()
            parts = [torch.empty_like(wire) for _ in range(self.size)]
            torch.distributed.all_gather(parts, wire.contiguous())
        return [part.to(tensor.device) for part in parts]

    def _everywhere(self, tensor: Tensor, operation: Callable[[Tensor], Any]) -> Tensor:
        """Applies an operation that changes a tensor in place, on the CPU unless NCCL is used."""
        wire = tensor if self._nccl else tensor.cpu()
        operation(wire)
        return wire.to(tensor.device)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Context in which a lost connection raises what ``lost`` returns."""
        try:
            yield
        except RuntimeError as error:
            raise self._lost() from error


def _as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
