"""The summary of a network as a table: layer, output shape, parameters, and whether they are trained."""

from __future__ import annotations

from dataclasses import dataclass

from recurra.layers.network import Network

__all__ = ["Row", "Summary", "summarize"]


@dataclass(frozen=True)
class Row:
    """One layer; ``output_shape`` has None for the batch and for time."""

    name: str
    layer: str
    output_shape: str
    parameters: int
    trainable: bool


@dataclass(frozen=True)
class Summary:
    """The layers of a network in the order in which the data passes them, and its parameter counts.

    Example:
        >>> print(Summary([Row("lstm", "LSTM", "(None, 4)", 112, True)], 112, 112, 0).text())
        Layer (type)  Output shape  Parameters  Trainable
        -------------------------------------------------
        lstm (LSTM)   (None, 4)            112  yes
        -------------------------------------------------
        Total parameters:                112
        Trainable parameters:            112
        Frozen parameters:                 0
    """

    rows: list[Row]
    total: int
    trainable: int
    frozen: int

    def text(self) -> str:
        """Returns the table as text."""
        table = [("Layer (type)", "Output shape", "Parameters", "Trainable")]
        for row in self.rows:
            trainable = "-" if row.parameters == 0 else "yes" if row.trainable else "no"
            table.append((f"{row.name} ({row.layer})", row.output_shape, f"{row.parameters:,}", trainable))
        first, second, third, fourth = (max(map(len, column)) for column in zip(*table, strict=True))
        lines = [
            f"{name:<{first}}  {shape:<{second}}  {count:>{third}}  {trainable}"
            for name, shape, count, trainable in table
        ]
        rule = "-" * (first + second + third + fourth + 6)
        sums = {"Total": self.total, "Trainable": self.trainable, "Frozen": self.frozen}
        counts = [f"{name + ' parameters:':<22}{count:>14,}" for name, count in sums.items()]
        return "\n".join([lines[0], rule, *lines[1:], rule, *counts])


def summarize(model: Network) -> Summary:
    """Returns the summary of a network; each recurrent layer of a stack has a row of its own."""
    rows = [
        Row(
            line.name,
            line.layer,
            str(line.shape),
            sum(weight.numel() for weight in line.weights),
            any(weight.requires_grad for weight in line.weights),
        )
        for line in model.layer_info()
    ]
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Summary(rows, total, trainable, total - trainable)
