"""The functions of the toy task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.layers import Embedding
from recurra.layers.network import LayerInfo, Network, layer_info_of, measuring, recurrent_stack
from recurra.store import Assets, Bundle
from recurra.tasks.answers import Answers
from recurra.tasks.base import AssessOptions, PredictRequest, Prepared, Task, TrainingSetup
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part
from recurra.train.objective import supervised
from tests.tasks.toy.settings import VowelConfig


@dataclass(frozen=True)
class VowelAssets(Assets):
    alphabet: str

    def files(self) -> dict[str, str]:
        return {"alphabet.txt": self.alphabet}

    @classmethod
    def read(cls, config: VowelConfig, files: Mapping[str, str]) -> VowelAssets:
        return cls(files["alphabet.txt"])


class VowelNetwork(Network):
    def __init__(self, config: VowelConfig, characters: int) -> None:
        super().__init__()
        self.embedding = Embedding(characters + 2, config.model.embedding)
        self.recurrent = recurrent_stack(config.model, config.model.embedding, return_sequences=False)
        self.head = nn.Linear(self.recurrent.output_size, 1)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        layers = [list(self.embedding.parameters()), *self.recurrent.layer_groups()]
        return [*layers, list(self.head.parameters())]

    def layer_info(self) -> list[LayerInfo]:
        return [*layer_info_of(self.recurrent, last_alone=True)]

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.recurrent(self.embedding(tokens), lengths)
        counts: Tensor = self.head(states)[:, 0]
        return counts


VowelData: TypeAlias = Prepared[VowelConfig, VowelAssets, Part]
VowelBundle: TypeAlias = Bundle[VowelConfig, VowelNetwork, VowelAssets]


def part_of(name: str, where: str, lines: list[str], config: VowelConfig, assets: VowelAssets) -> Part:
    ids = [np.array([assets.alphabet.find(c) + 2 for c in line] or [1], np.int32) for line in lines]
    counts = np.array([sum(c in config.counting.letters for c in line) for line in lines], np.float32)
    examples = Examples.from_arrays(ids, counts[:, None])
    return Part(name, where, examples, np.arange(len(lines)), lambda rows: (lines[row] for row in rows))


def prepare(
    data: Path,
    config: VowelConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> VowelData:
    text = data.read_text()
    lines = text.splitlines()
    assets = VowelAssets("".join(sorted(set(text) - {"\n"})))
    cut = max(1, int(len(lines) * (1 - config.data.valid_fraction)))
    parts = [part_of(name, str(data), some, config, assets) for name, some in
             (("training", lines[:cut]), ("validation", lines[cut:]))]  # fmt: skip
    return Prepared(config, assets, parts[0], parts[1], key=hashlib.sha256(text.encode()).hexdigest())


def build(config: VowelConfig, assets: VowelAssets) -> VowelNetwork:
    return VowelNetwork(config, len(assets.alphabet))


def counted(network: nn.Module, part: Part) -> np.ndarray:
    with measuring(network):
        found = [
            network(batch.tokens, batch.lengths) for batch in Batches(part.examples, part.rows, 1).epoch(0)
        ]
    return torch.cat(found).numpy()


def training_setup(prepared: VowelData, model: VowelNetwork, reporter: Reporter) -> TrainingSetup:
    train, valid = prepared.train, prepared.valid
    return TrainingSetup(
        Batches(train.examples, train.rows, prepared.config.train.batch_size, shuffle=True),
        supervised(lambda counts, labels: functional.mse_loss(counts, labels[:, 0])),
        lambda network: {"loss": float(((counted(network, valid) - valid.labels[:, 0]) ** 2).mean())},
    )


@dataclass(frozen=True)
class VowelAssessment:
    error: float

    def as_json(self) -> dict[str, Any]:
        return {"mean_absolute_error": self.error}


def open_file(bundle: VowelBundle, data: Path, reporter: Reporter) -> Part:
    return part_of("test", str(data), data.read_text().splitlines(), bundle.config, bundle.assets)


def assess(bundle: VowelBundle, part: Part, options: AssessOptions) -> VowelAssessment:
    return VowelAssessment(float(np.abs(counted(bundle.model, part) - part.labels[:, 0]).mean()))


def report_assessment(found: VowelAssessment, reporter: Reporter) -> None:
    reporter.note(f"mean absolute error {found.error:.2f}")


def report_fields(bundle: VowelBundle, found: VowelAssessment, name: str, baseline: object) -> dict[str, Any]:
    return {"title": f"Vowels of {name}"}


def fit_fields(bundle: VowelBundle, prepared: VowelData, found: VowelAssessment) -> dict[str, Any]:
    return {}


def card(bundle: VowelBundle, found: VowelAssessment) -> str:
    return f"Counts vowels, off by {found.error:.2f} in the mean.\n"


def predict(bundle: VowelBundle, request: PredictRequest) -> Answers:
    counts = counted(bundle.model, part_of("texts", "", request.texts, bundle.config, bundle.assets))
    digits = 0 if request.options.get("round") else 3
    records = ({"row": row, "vowels": round(float(n), digits)} for row, n in enumerate(counts, 1))
    return Answers(["row", "vowels"], records)


def sequences(bundle: VowelBundle, data: Path) -> Iterator[Tensor]:
    part = open_file(bundle, data, Reporter())
    table = bundle.model.embedding.weight.detach()
    return (table[batch.tokens[0]] for batch in Batches(part.examples, part.rows, 1).epoch(0))


TASK: Task[VowelData, VowelBundle] = Task(
    prepare=prepare,
    read_assets=VowelAssets.read,
    build=build,
    training_setup=training_setup,
    open_file=open_file,
    assess=assess,
    report_assessment=report_assessment,
    report_fields=report_fields,
    fit_fields=fit_fields,
    card=card,
    predict=predict,
    sequences=sequences,
)
