"""Models for other programs: files of ONNX and torch.export, what is beside them, comparison with recurra."""
