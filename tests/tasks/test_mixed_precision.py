"""Training under autocast in bfloat16, as on a GPU: here on the CPU, which takes the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from recurra.cells import BUILT_IN, cell_named
from recurra.config import ModelConfig, TrainConfig
from recurra.generators import Generators, initial_weights
from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.kernels import cpu
from recurra.kernels.cpu.host import host
from recurra.layers import Head
from recurra.layers.network import measuring
from recurra.tasks.classification.estimator import TextClassifier
from recurra.tasks.classification.network import Classifier, classification_loss
from recurra.tasks.language.network import LanguageNetwork, StreamObjective
from recurra.tasks.language.settings import LanguageConfig
from recurra.tasks.language.streams import StreamBatch
from recurra.tasks.training import is_mixed
from recurra.tasks.use import load
from recurra.train.loop import train
from recurra.train.objective import MixedPrecision, Objective, supervised

CPU = torch.device("cpu")
STANDARD = ("simple_rnn", "lstm", "gru")
# Of the norm of all gradients. Rounding to 8 bits changes a factor by 2^-9 of its size at most; a gradient
# has gone through some ten products, forwards and backwards.
BOUND = 10 * 2**-9


def batches(rows: int = 12) -> Batches:
    random = np.random.default_rng(0)
    texts = [random.integers(2, 20, length).astype(np.int32) for length in random.integers(1, 9, rows)]
    return Batches(Examples.from_arrays(texts, random.integers(0, 3, rows)), None, rows)


def classifier(cell: str, **settings: Any) -> Classifier:
    given = {
        "cell": cell,
        "units": 8,
        "embedding": 5,
        "pooling": ["attention", "last"],
        "precision": "bfloat16",
    }
    config = ModelConfig.model_validate(given | settings)
    with initial_weights(1):
        return Classifier(config, 20, 3, "multiclass", embedding_rows="touched")


def gradients(model: nn.Module, objective: Objective, batch: Any) -> tuple[float, Tensor]:
    """The loss, and all gradients in one vector; each is of float32."""
    model.zero_grad()
    with Generators(3).in_use():
        loss = objective(model.train(), batch)
    assert loss.dtype == torch.float32
    loss.backward()  # type: ignore[no-untyped-call]
    found = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert {gradient.dtype for gradient in found} == {torch.float32}
    return loss.item(), torch.cat([gradient.to_dense().reshape(-1) for gradient in found])


@contextmanager
def outputs_of(model: nn.Module, kind: type[nn.Module]) -> Iterator[list[torch.dtype]]:
    """The dtypes of the outputs of all layers of a kind."""
    seen: list[torch.dtype] = []
    handles: list[RemovableHandle] = [
        layer.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
        for layer in model.modules()
        if type(layer) is kind
    ]
    yield seen
    for handle in handles:
        handle.remove()


def assert_near(mixed: tuple[float, Tensor], exact: tuple[float, Tensor]) -> None:
    assert mixed[0] == pytest.approx(exact[0], rel=BOUND)
    assert float((mixed[1] - exact[1]).norm()) < BOUND * float(exact[1].norm())
    assert not torch.equal(mixed[1], exact[1]), "nothing was rounded"


@pytest.mark.parametrize("masked", [False, True], ids=["", "recurrent dropout"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["", "bidirectional"])
@pytest.mark.parametrize("cell", BUILT_IN)
def test_gradients_of_every_cell_are_near_those_of_float32(
    cell: str, bidirectional: bool, masked: bool
) -> None:
    if masked and not cell_named(cell).recurrent_dropout:
        pytest.skip("the cell has no recurrent dropout")
    backend = "torch" if cell in STANDARD and not masked else "reference"
    model = classifier(
        cell, bidirectional=bidirectional, backend=backend, recurrent_dropout=0.3 if masked else 0.0
    )
    objective, batch = supervised(classification_loss("multiclass")), next(batches().epoch(1))
    with outputs_of(model, nn.Linear) as attention, outputs_of(model.head, type(model.head)) as head:
        mixed = gradients(model, MixedPrecision(objective, CPU), batch)
    assert set(attention) == {torch.bfloat16}
    assert set(head) == {torch.float32}
    model.recurrent.precision = "float32"
    assert_near(mixed, gradients(model, objective, batch))


LANGUAGE: dict[str, dict[str, Any]] = {
    "full": {},
    "tied": {"tie": True},
    "sampled": {"output": "sampled", "samples": 6},
    "adaptive": {"output": "adaptive"},
}


def language_model(name: str) -> LanguageNetwork:
    config = ModelConfig(cell="lstm", units=8, embedding=5, backend="torch", precision="bfloat16")
    with initial_weights(1):
        return LanguageNetwork(config, LanguageConfig.model_validate(LANGUAGE[name]), 20)


def windows() -> list[StreamBatch]:
    ids = torch.from_numpy(np.random.default_rng(0).integers(1, 20, (3, 15)))
    return [StreamBatch(ids[:, at : at + 7], ids[:, at + 1 : at + 8], None, fresh=at == 0) for at in (0, 7)]


@pytest.mark.parametrize("name", LANGUAGE)
def test_gradients_of_a_language_model_are_near_those_of_float32(name: str) -> None:
    model = language_model(name)
    found = []
    for precision, wrapped in (("bfloat16", True), ("float32", False)):
        model.recurrent.precision = precision  # type: ignore[assignment]
        objective: Objective = StreamObjective()
        objective = MixedPrecision(objective, CPU) if wrapped else objective
        each = [gradients(model, objective, window) for window in windows()]
        assert {part.dtype for part in objective.state_dict().values()} == {torch.float32}
        found.append((sum(loss for loss, _ in each), torch.cat([gradient for _, gradient in each])))
    assert_near(*found)


def test_states_of_a_checkpoint_go_to_the_device_of_the_model() -> None:
    """They are read to the CPU; tensors on the device meta stand for those on a GPU."""
    first, second = windows()
    before = StreamObjective()
    model = language_model("full")
    before(model, first)
    after = StreamObjective()
    after.load_state_dict(before.state_dict())
    model.recurrent.precision = "float32"
    assert after(model.to("meta"), second).device.type == "meta"


def test_predictions_round_the_recurrent_layers_alone() -> None:
    model = classifier("slstm", backend="reference").eval()
    batch = next(batches().epoch(1))
    with outputs_of(model, nn.Linear) as attention, torch.autocast("cpu", torch.bfloat16), measuring(model):
        logits = model(batch.tokens, batch.lengths)
    assert set(attention) == {logits.dtype} == {torch.float32}
    model.recurrent.precision = "float32"
    with measuring(model):
        exact = model(batch.tokens, batch.lengths)
    assert 0 < float((logits - exact).abs().max()) < BOUND * float(exact.abs().max())


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_training_keeps_weights_and_the_optimizer_in_float32(adversarial: float) -> None:
    model = classifier("lstm", backend="torch")
    objective = MixedPrecision(supervised(classification_loss("multiclass")), CPU)
    config = TrainConfig(epochs=8, learning_rate=0.02, adversarial=adversarial)

    def validate(network: nn.Module) -> Mapping[str, float]:
        return {}

    outcome = train(model, batches(), objective, validate, config)
    assert outcome.history[-1].train_loss < outcome.history[0].train_loss
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_which_trainings_are_mixed() -> None:
    gpu = torch.device("cuda", 1)
    for backend, device, expected in [("auto", CPU, False), ("torch", CPU, True), ("auto", gpu, True)]:
        assert is_mixed(ModelConfig(precision="bfloat16", backend=backend), device) == expected
        assert not is_mixed(ModelConfig(backend=backend), device)


def test_a_head_is_computed_in_the_dtype_of_its_weights() -> None:
    head, x = Head(4, 3), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = nn.Linear.forward(head, x)
        found = head(x)
    assert (found.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(found, head(x))


def test_a_model_of_a_gpu_is_used_on_a_cpu_without_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TextClassifier(
        recipe="lstm", units=4, epochs=1, backend="torch", precision="bfloat16", vocab_size=20
    )
    model.fit(["good film", "bad film"] * 8, [1, 0] * 8).save(tmp_path / "model")
    rounded = model.predict_proba(["good film"])
    monkeypatch.setattr(cpu, "host", lambda: host()._replace(bf16=None))
    loaded = load(tmp_path / "model")
    assert loaded.model.recurrent.precision == "float32"
    assert loaded.config.model.precision == "bfloat16"
    found = TextClassifier.load(tmp_path / "model").predict_proba(["good film"])
    np.testing.assert_allclose(found, rounded, atol=BOUND)
