"""Trains a bidirectional GRU in a plain PyTorch loop, on sequences of different lengths."""

import torch
from torch import nn

import recurra

torch.manual_seed(0)
table = recurra.Embedding(100, 8)
layer = recurra.GRU(8, 16, bidirectional=True, return_sequences=False)
head = nn.Linear(layer.output_size, 1)
weights = [*table.parameters(), *layer.parameters(), *head.parameters()]
optimizer = torch.optim.Adam(weights, lr=0.01)

lengths = torch.randint(1, 13, (128,))
tokens = torch.randint(1, 100, (128, 12)) * (torch.arange(12) < lengths[:, None])
labels = (tokens[:, 0] > 50).float()  # to be learned: whether the first token is above 50
for epoch in range(5):
    for rows in torch.randperm(128).split(32):
        last, _ = layer(table.lookup(tokens[rows]), lengths[rows])
        loss = nn.functional.binary_cross_entropy_with_logits(head(last)[:, 0], labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}  loss {loss.item():.3f}")
