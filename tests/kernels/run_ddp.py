"""One of two processes that train one model by ``DistributedDataParallel``, each on a half of the batch.

Arguments: the rank, the file where the two meet, and the file for rank 0's weights after training.
"""

from __future__ import annotations

import sys

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from recurra.layers import LSTM


class Reader(nn.Module):
    """Float sequences to a number, through one recurrent layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = LSTM(5, 5, backend="cpu")
        self.head = nn.Linear(5, 1)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        outputs, state = self.recurrent(x, lengths)
        outputs, state = self.recurrent(outputs, lengths, state)
        return self.head(state[0][0]).squeeze(1)


def trained(model: nn.Module, rows: slice) -> None:
    """Four steps on these rows of the batch."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(8, 6, 5, generator=generator), torch.randn(8, generator=generator)
    lengths = torch.tensor([6, 1, 3, 6, 2, 5, 4, 6])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(4):
        optimizer.zero_grad()
        (model(x[rows], lengths[rows]) - y[rows]).square().mean().backward()
        optimizer.step()


def main() -> None:
    rank = int(sys.argv[1])
    distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # rank 0's weights are the ones that count
    model = DistributedDataParallel(Reader())
    trained(model, slice(4 * rank, 4 * rank + 4))
    if rank == 0:
        torch.save(model.module.state_dict(), sys.argv[3])
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
