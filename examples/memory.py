"""Compares how much gradient reaches a distant step in SimpleRNN and LSTM, for several spectral radii."""

import torch

import recurra

torch.manual_seed(0)
inputs = [torch.randn(60, 8) for _ in range(8)]
for kind in (recurra.SimpleRNN, recurra.LSTM):
    layer = kind(8, 16)
    for radius in (0.5, 0.9, 1.1):
        gradient = recurra.memory(layer, inputs, radius=radius, steps=40).gradient
        print(f"{kind.__name__:<10} radius {radius}  gradient 40 steps back {gradient.median[40]:.1e}")
