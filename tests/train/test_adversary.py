"""The perturbation of word vectors: its direction and size, and the step that trains on both losses."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from train_stand_ins import StandInBatches, TinyModel, loss, make_config, make_model, no_validation

from recurra.errors import ConfigError
from recurra.train.adversary import Adversary
from recurra.train.loop import train


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_only_rows_of_the_batch_move_and_they_come_back(sparse: bool) -> None:
    model = make_model(sparse=sparse).eval()
    weight = model.embedding.weight
    before = weight.detach().clone()
    (batch,) = [next(StandInBatches(6, 6).epoch(1))]
    loss(model, batch).backward()
    gradient = weight.grad.to_dense()  # type: ignore[union-attr]
    read = torch.unique(batch.tokens[batch.tokens > 0])
    with Adversary(model, 0.3).in_place() as perturbed:
        assert perturbed
        moved = weight.detach() - before
    assert torch.equal(weight, before)
    norms = [torch.linalg.vector_norm(values) for values in (before[read], gradient)]
    torch.testing.assert_close(moved, 0.3 * norms[0] / norms[1] * gradient, rtol=1e-4, atol=1e-6)
    assert not moved[torch.tensor([row for row in range(20) if row not in read])].any()


def test_the_loss_increases_more_than_in_a_random_direction() -> None:
    model = make_model().eval()
    (batch,) = [next(StandInBatches().epoch(1))]
    plain = loss(model, batch)
    plain.backward()
    with Adversary(model, 0.1).in_place(), torch.no_grad():
        moved = float(loss(model, batch))
    weight = model.embedding.weight
    with torch.no_grad():
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        weight += 0.1 * noise * torch.linalg.vector_norm(weight) / torch.linalg.vector_norm(noise)
        assert moved > float(loss(model, batch))
    assert moved > plain.item()


def test_without_a_gradient_nothing_moves() -> None:
    model = make_model()
    with Adversary(model, 0.1).in_place() as perturbed:
        assert not perturbed
    model.embedding.weight.grad = torch.zeros_like(model.embedding.weight)
    with Adversary(model, 0.1).in_place() as perturbed:
        assert not perturbed


def test_a_step_adds_both_gradients() -> None:
    """One step of SGD, by hand."""
    batches, config = StandInBatches(8, 8), make_config(
        optimizer="sgd", learning_rate=0.5, epochs=1, adversarial=0.2, clip_norm=None
    )  # fmt: skip
    trained, expected = TinyModel(dropout=0), TinyModel(dropout=0)
    expected.load_state_dict(trained.state_dict())
    train(trained, batches, loss, no_validation, config)
    batch = next(batches.epoch(1))
    loss(expected, batch).backward()
    with Adversary(expected, 0.2).in_place():
        loss(expected, batch).backward()
    torch.optim.SGD(expected.parameters(), lr=0.5).step()
    for name, weight in expected.named_parameters():
        torch.testing.assert_close(trained.get_parameter(name), weight)


def test_a_network_without_word_vectors_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.adversarial: this network has no word vectors"):
        train(nn.Linear(1, 1), StandInBatches(), loss, no_validation, make_config(adversarial=0.1))
