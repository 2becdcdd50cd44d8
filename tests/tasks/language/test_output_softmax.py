"""Full, sampled and adaptive softmax compared with plain formulas."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from recurra.layers import Embedding
from recurra.tasks.language import output_softmax
from recurra.tasks.language.output_softmax import AdaptiveSoftmax, Output, Softmax


def states_and_targets(N: int, features: int, V: int) -> tuple[Tensor, Tensor]:
    return torch.randn(N, features, requires_grad=True), torch.randint(1, V, (N,))


def plain(output: Softmax, states: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    logits = states @ weight.t() + output.bias
    return functional.cross_entropy(logits, targets - 1)


@pytest.mark.parametrize("chunk", [1, 37, 1 << 21])
@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_and_every_gradient_are_those_of_torch(
    chunk: int, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_softmax, "_CHUNK", chunk)
    torch.manual_seed(1)
    embedding = Embedding(11, 5)
    output = Softmax(5, 11, tied=embedding if tied else None)
    torch.nn.init.normal_(output.bias)
    states, targets = states_and_targets(7, 5, 11)
    twin = states.detach().clone().requires_grad_()
    (3 * output.loss(states, targets)).backward()  # times 3: a gradient from above is passed on
    weight = embedding.weight if output.weight is None else output.weight
    own, bias = weight.grad.clone(), output.bias.grad.clone()
    weight.grad = output.bias.grad = None
    (3 * plain(output, twin, targets, weight[1:] if tied else weight)).backward()
    torch.testing.assert_close(states.grad, twin.grad)
    torch.testing.assert_close(own, weight.grad)
    torch.testing.assert_close(bias, output.bias.grad)


def test_the_loss_is_finite_where_logits_are_huge() -> None:
    output = Softmax(2, 4)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[500.0, 0], [0, 500], [-500, 0]]))  # type: ignore[union-attr]
    loss = output.loss(torch.tensor([[1.0, 0.0]]), torch.tensor([3]))
    assert loss.item() == pytest.approx(1000)


def test_a_sample_of_all_tokens_is_the_full_softmax() -> None:
    torch.manual_seed(2)
    full, sampled = Softmax(5, 9), Softmax(5, 9, samples=3)
    sampled.load_state_dict(full.state_dict())
    states, targets = states_and_targets(6, 5, 9)
    sampled.train()
    everything = torch.arange(8), torch.ones(8, dtype=torch.float64)
    sampled.draw = lambda device=None: everything  # type: ignore[method-assign]
    twin = states.detach().clone().requires_grad_()
    one, other = full.loss(states, targets), sampled.loss(twin, targets)
    torch.testing.assert_close(one, other)
    one.backward()
    other.backward()
    torch.testing.assert_close(states.grad, twin.grad)
    for name, weight in full.named_parameters():
        torch.testing.assert_close(weight.grad, sampled.get_parameter(name).grad)


@pytest.mark.parametrize("proposal", ["log_uniform", "uniform"])
def test_the_sum_over_a_sample_estimates_the_sum_over_all(proposal: output_softmax.Proposal) -> None:
    torch.manual_seed(3)
    output = Softmax(4, 41, samples=8, proposal=proposal)
    logits = torch.randn(40, dtype=torch.float64)
    truth = logits.exp().sum()
    estimates = []
    seen = torch.zeros(40)
    for _ in range(4000):
        classes, chance = output.draw()
        assert torch.equal(classes, classes.unique())
        seen[classes] += 1
        estimates.append((logits[classes].exp() / chance).sum())
    found = torch.stack(estimates)
    assert abs(found.mean() - truth) < 4 * found.std() / math.sqrt(len(found))
    _, each = Softmax(4, 41, samples=8, proposal=proposal).draw()
    assert ((each > 0) & (each < 1)).all()
    if proposal == "log_uniform":
        assert seen[0] > 3 * seen[39]


def test_in_evaluation_a_sampled_output_is_exact() -> None:
    torch.manual_seed(4)
    output = Softmax(4, 30, samples=2).eval()
    states, targets = states_and_targets(5, 4, 30)
    exact = plain(output, states, targets, output.weight)  # type: ignore[arg-type]
    torch.testing.assert_close(output.loss(states, targets), exact)
    torch.testing.assert_close(-output.log_probability(states, targets).mean(), exact)


def outputs() -> list[Output]:
    torch.manual_seed(5)
    return [
        Softmax(6, 23),
        Softmax(6, 23, samples=5),
        Softmax(6, 23, tied=Embedding(23, 6)),
        Softmax(6, 23, tied=Embedding(23, 4)),
        AdaptiveSoftmax(6, 23),
        AdaptiveSoftmax(6, 23, [2, 7, 15]),
    ]


@pytest.mark.parametrize("output", outputs(), ids=lambda output: str(output).split("\n")[0])
def test_probabilities_sum_to_one_without_padding(output: Output) -> None:
    output.eval()
    states = torch.randn(3, 6)
    found = output.log_probabilities(states)
    assert found.shape == (3, 23)
    assert (found[:, 0] == -math.inf).all()
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(3))
    targets = torch.tensor([1, 9, 22])
    torch.testing.assert_close(output.log_probability(states, targets), found[range(3), targets])
    assert output.loss(states, targets).item() == pytest.approx(-found[range(3), targets].mean().item())


def test_the_bias_is_initialized_with_frequencies() -> None:
    output = Softmax(4, 6)
    output.expect(torch.tensor([50, 9, 0, 4, 1, 1]))  # padding's count is nobody's
    found = output.log_probabilities(torch.zeros(1, 4)).exp()[0]
    torch.testing.assert_close(found, torch.tensor([0, 10, 1, 5, 2, 2]) / 20)


def test_tied_weights_are_saved_once_and_copied() -> None:
    embedding = Embedding(10, 4)
    pair = torch.nn.ModuleDict({"embedding": embedding, "output": Softmax(4, 10, tied=embedding)})
    assert set(pair.state_dict()) == {"embedding.weight", "output.bias"}
    other = copy.deepcopy(pair)
    with torch.no_grad():
        other["embedding"].weight.mul_(2)  # type: ignore[operator]
    states = torch.randn(2, 4)
    one, two = (each["output"].log_probabilities(states) for each in (pair, other))  # type: ignore[operator]
    assert not torch.allclose(one, two)


@given(st.integers(1, 40), st.integers(4, 60), st.integers(1, 100))
def test_sampled_losses_are_finite_for_any_sizes(N: int, V: int, samples: int) -> None:
    states, targets = states_and_targets(N, 3, V)
    for output in (Softmax(3, V, samples=samples), AdaptiveSoftmax(3, V)):
        loss = output.loss(states, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        assert torch.isfinite(loss)
