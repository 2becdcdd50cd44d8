"""``accelerate`` on models of a user: what is swapped, what stays, and that training is the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recurra


class OwnLSTM(nn.LSTM):
    """A user's subclass."""


class Tagger(nn.Module):
    """Packed LSTM between an embedding and a linear layer, as a user writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 6)
        self.recurrent = nn.LSTM(6, 5, num_layers=2, bidirectional=True, dropout=0.3, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> Any:
        packed = pack_padded_sequence(self.table(tokens), lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        return self.head(outputs)


def trained(model: Tagger, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """The losses of some training steps on the same batches."""
    torch.manual_seed(1)
    losses = []
    for _ in range(steps):
        lengths = torch.tensor([7, 2, 4])
        tokens = torch.randint(50, (3, 7))
        loss = nn.functional.cross_entropy(model(tokens, lengths).flatten(0, 1), (tokens % 3).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_is_the_same_across_acceleration_and_back() -> None:
    torch.manual_seed(0)
    plain, model = Tagger(), Tagger()
    model.load_state_dict(plain.state_dict())
    optimizers = [torch.optim.Adam(each.parameters(), lr=0.01) for each in (plain, model)]
    for accelerated in (True, False, True):
        assert recurra.accelerate(model, undo=not accelerated) is model
        assert isinstance(model.recurrent, recurra.torch.LSTM) is accelerated
        expected, found = (trained(*each, 5) for each in zip((plain, model), optimizers, strict=True))
        assert found == pytest.approx(expected, abs=1e-4)
    assert list(model.state_dict()) == list(plain.state_dict())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-4, rtol=0)


def test_only_the_class_changes() -> None:
    model = nn.ModuleDict({"a": nn.ModuleList([nn.GRU(3, 4)]), "rnn": nn.RNN(3, 4), "own": OwnLSTM(3, 4)})
    model["shared"] = model["rnn"]
    model["rnn"].weight_hh_l0.requires_grad_(False)
    calls: list[str] = []
    model["rnn"].register_forward_hook(lambda *_: calls.append("hook"))
    model.eval()
    modules, parameters = list(model.modules()), list(model.parameters())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    own = {name: dict(vars(module)) for name, module in model.named_modules()}

    recurra.accelerate(model)

    assert type(model["a"][0]) is recurra.torch.GRU
    assert type(model["own"]) is OwnLSTM
    assert type(model["rnn"]) is recurra.torch.RNN
    assert model["shared"] is model["rnn"]
    assert all(now is before for now, before in zip(model.modules(), modules, strict=True))
    assert all(now is before for now, before in zip(model.parameters(), parameters, strict=True))
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == own
    model["rnn"](torch.randn(2, 3))
    assert calls == ["hook"]

    recurra.accelerate(recurra.accelerate(model, undo=True), undo=True)
    assert [type(module) for module in (model["a"][0], model["rnn"])] == [nn.GRU, nn.RNN]


def test_a_module_alone_and_an_accelerated_copy() -> None:
    module = nn.LSTM(3, 4)
    other = recurra.accelerate(copy.deepcopy(module))
    assert (type(module), type(other)) == (nn.LSTM, recurra.torch.LSTM)
    assert recurra.accelerate(other) is other


def test_parametrized_modules_keep_their_parametrization() -> None:
    theirs = parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0")
    untouched = copy.deepcopy(theirs)
    ours = recurra.accelerate(copy.deepcopy(theirs))
    x = torch.randn(5, 2, 3)
    assert isinstance(ours, recurra.torch.GRU)
    assert not isinstance(untouched, recurra.torch.GRU)
    results = []
    for module in (theirs, ours):
        with torch.no_grad():
            module.parametrizations.weight_hh_l0.original0.mul_(2)
        module(x)[0].square().sum().backward()
        results.append([module(x)[0], *(parameter.grad for parameter in module.parameters())])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    parametrize.remove_parametrizations(ours, "weight_hh_l0")
    assert type(ours) is recurra.torch.GRU
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", [nn.Linear(3, 4), OwnLSTM(3, 4)])
def test_a_model_without_the_modules_is_said_to_have_none(model: nn.Module) -> None:
    with pytest.warns(UserWarning, match=r"has no nn\.RNN, nn\.LSTM or nn\.GRU to accelerate"):
        recurra.accelerate(model)
    assert recurra.accelerate(model, undo=True) is model
