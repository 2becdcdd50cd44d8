"""The course's LSTM as a plain PyTorch program, in the style of PyTorch's tutorials.

    python benchmarks/torch_course.py ids.npz --form packed  # pack_padded_sequence: no padding is computed
    python benchmarks/torch_course.py ids.npz --form padded  # reviews padded to 500 at the front, as in Keras

Ids, turns and protocol are as in `keras_course.py`: Adam 0.001, shuffled batches of 64, the weights of the
epoch with the lowest validation loss. Everything else is PyTorch's default.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from pathlib import Path

import numpy as np
import torch
from course_ids import Part, load
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset
from turns import Turns


class Sentiment(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10_000, 32)
        self.lstm = nn.LSTM(32, 100, batch_first=True)
        self.head = nn.Linear(100, 1)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        x = self.embedding(tokens)
        if lengths is not None:
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(x)
        return self.head(h[-1]).squeeze(1)


def packed_loader(part: Part, batch: int, shuffle: bool) -> DataLoader:
    """Returns batches of tokens (B, T) padded to the longest review, lengths (B,) and labels (B,)."""
    reviews = [torch.from_numpy(ids.astype(np.int64)) for ids in part.ids]
    labels = torch.from_numpy(part.labels).float()

    def collate(rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        chosen = [reviews[row] for row in rows]
        lengths = torch.tensor([len(review) for review in chosen])
        return pad_sequence(chosen, batch_first=True), lengths, labels[rows]

    return DataLoader(range(len(reviews)), batch, shuffle, collate_fn=collate)


def padded_loader(part: Part, batch: int, shuffle: bool) -> DataLoader:
    """Returns batches of tokens (B, 500), padded at the front, and labels (B,)."""
    tokens = torch.zeros(len(part.ids), 500, dtype=torch.int64)
    for row, ids in zip(tokens, part.ids, strict=True):
        row[-len(ids) :] = torch.from_numpy(ids)
    return DataLoader(TensorDataset(tokens, torch.from_numpy(part.labels).float()), batch, shuffle)


@torch.no_grad()
def evaluate(model: nn.Module, batches: DataLoader) -> tuple[float, float]:
    """Returns the mean loss and the accuracy."""
    model.eval()
    results = [(model(*inputs), labels) for *inputs, labels in batches]
    logits, labels = (torch.cat(parts) for parts in zip(*results, strict=True))
    loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
    return loss.item(), ((logits > 0) == (labels > 0)).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("ids", type=Path, help="the .npz of course_ids.py")
    parser.add_argument("--form", required=True, choices=("packed", "padded"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--flush-denormal",
        action="store_true",
        help="flush denormal numbers, which gradients of long texts become",
    )
    options = parser.parse_args()
    torch.set_flush_denormal(options.flush_denormal)  # before threads start, which inherit it
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    turns = Turns()
    loader = packed_loader if options.form == "packed" else padded_loader
    batches, validation, *test = [
        loader(part, 256 if number else 64, number == 0) for number, part in enumerate(load(options.ids))
    ]
    model = Sentiment()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.BCEWithLogitsLoss()
    best, best_loss, waited = model.state_dict(), float("inf"), 0

    turns.over("ready")
    for _ in range(options.epochs):
        start = time.perf_counter()
        model.train()
        for *inputs, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(*inputs), labels)
            loss.backward()
            optimizer.step()
        seconds = time.perf_counter() - start
        valid_loss, valid_accuracy = evaluate(model, validation)
        waited += 1
        if valid_loss < best_loss:
            best, best_loss, waited = copy.deepcopy(model.state_dict()), valid_loss, 0
        turns.over("epoch", train_seconds=seconds, valid_loss=valid_loss, valid_accuracy=valid_accuracy)
        if waited >= options.patience:
            break

    model.load_state_dict(best)
    turns.over(
        "done",
        system=f"torch {torch.__version__}",
        parameters=sum(weight.numel() for weight in model.parameters()),
        test_accuracy=evaluate(model, *test)[1] if test else None,
    )


if __name__ == "__main__":
    main()
