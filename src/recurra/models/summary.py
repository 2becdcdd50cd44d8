"""The summary of a model as a table: layer, output shape, parameters, and whether they are trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from recurra.models.classifier import Classifier

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


def summarize(model: Classifier) -> Summary:
    """The summary of a classifier, counted from its parameters.

    Each recurrent layer of a stack has its row. Pooling ``last`` is no layer of its own: the last recurrent
    layer then gives one vector, as in Keras without ``return_sequences``.
    """
    stack = model.recurrent
    rows = [
        _row(
            "embedding",
            "Embedding",
            (None, None, model.embedding.embedding_dim),
            model.embedding.parameters(),
        )
    ]
    kind = type(stack).__name__
    floors = model.floors()
    for layer, H in enumerate(stack.units):
        name = stack.cell if stack.layers == 1 else f"{stack.cell}_{layer + 1}"
        one_vector = model.pooling is None and layer == stack.layers - 1
        features = stack.directions * H
        shape = (None, features) if one_vector else (None, None, features)
        title = f"Bidirectional {kind}" if stack.bidirectional else kind
        rows.append(_row(name, title, shape, floors[layer + 1]))
    if model.pooling is not None:
        pooling = type(model.pooling).__name__
        rows.append(_row("pooling", pooling, (None, stack.output_size), model.pooling.parameters()))
    if model.head_dropout.p:
        rows.append(_row("head_dropout", "Dropout", (None, stack.output_size), ()))
    rows.append(_row("head", "Dense", (None, model.head.out_features), model.head.parameters()))
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Summary(rows, total, trainable, total - trainable)


def _row(name: str, layer: str, shape: tuple[int | None, ...], parameters: Iterable[nn.Parameter]) -> Row:
    mine = list(parameters)
    trainable = any(p.requires_grad for p in mine)
    return Row(name, layer, str(shape), sum(p.numel() for p in mine), trainable)


def _answer(row: Row) -> str:
    return "-" if row.parameters == 0 else "yes" if row.trainable else "no"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left, shape, count, answer = cells
    return f"{left:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  {answer:<{widths[3]}}".rstrip()
