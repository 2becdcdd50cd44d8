"""The summary of a model as a table: layer, output shape, parameters, and whether they are trained."""

from __future__ import annotations

from dataclasses import dataclass

from recurra.layers.network import Network

__all__ = ["Row", "Summary", "summarize"]


@dataclass(frozen=True)
class Row:
    """One layer; ``output_shape`` begins with None for the batch, and has None for time."""

    name: str
    layer: str
    output_shape: str
    parameters: int
    trainable: bool


@dataclass(frozen=True)
class Summary:
    """The layers of a model in the order of its data, and the sums of its parameters."""

    rows: list[Row]
    total: int
    trainable: int
    frozen: int

    def text(self) -> str:
        """The table as text."""
        head = ("Layer (type)", "Output shape", "Parameters", "Trainable")
        cells = [
            (f"{row.name} ({row.layer})", row.output_shape, f"{row.parameters:,}", _answer(row))
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in [head, *cells]) for column in range(4)]
        rule = "-" * (sum(widths) + 6)
        lines = [_line(head, widths), rule, *(_line(line, widths) for line in cells), rule]
        sums = {"Total": self.total, "Trainable": self.trainable, "Frozen": self.frozen}
        lines += [f"{name + ' parameters:':<22}{count:>14,}" for name, count in sums.items()]
        return "\n".join(lines)


def summarize(model: Network) -> Summary:
    """The summary of a network, counted from its parameters; each recurrent layer of a stack has its row."""
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


def _answer(row: Row) -> str:
    return "-" if row.parameters == 0 else "yes" if row.trainable else "no"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left, shape, count, answer = cells
    return f"{left:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  {answer:<{widths[3]}}".rstrip()
