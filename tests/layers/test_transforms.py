"""Layers inside ``torch.func``'s transforms: the plain loops compute them, other backends refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacrev, jvp, stack_module_state, vmap

from recurra.errors import BackendError
from recurra.layers import GRU, LSTM, Embedding, Recurrent, SimpleRNN

# of torch itself, on the way into its own forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

KINDS = [SimpleRNN, LSTM, GRU]
LENGTHS = torch.tensor([5, 2, 0, 3])


def made(kind: type[Recurrent], **settings: Any) -> tuple[Recurrent, torch.Tensor]:
    torch.manual_seed(0)
    layer = kind(3, 4, bidirectional=True, dtype=torch.float64, **settings)
    return layer, torch.randn(4, 5, 3, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_each_row_are_those_of_a_loop(kind: type[Recurrent]) -> None:
    """``vmap`` of ``grad`` over rows with lengths or masks, against ``backward`` row by row."""
    layer, x = made(kind, layers=2)
    weights = {name: parameter.detach() for name, parameter in layer.named_parameters()}

    def loss(weights: Any, row: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        outputs, states = functional_call(layer, weights, (row[None], length[None]))
        return outputs.square().sum() + states[-1][0].sum()

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, LENGTHS)
    for row in range(4):
        layer.zero_grad()
        outputs, states = layer(x[row : row + 1], LENGTHS[row : row + 1])
        (outputs.square().sum() + states[-1][0].sum()).backward()
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(gradients[name][row], parameter.grad, rtol=0, atol=1e-12)
    mask = torch.arange(5) < LENGTHS[:, None]
    masked = vmap(lambda row, real: layer(row[None], mask=real[None])[0][0])(x, mask)
    torch.testing.assert_close(masked, layer(x, LENGTHS)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_one_shape_run_as_an_ensemble(kind: type[Recurrent]) -> None:
    layers = [made(kind)[0] for _ in range(3)]
    for number, layer in enumerate(layers):
        for parameter in layer.parameters():
            parameter.data.add_(0.1 * number)
    x = made(kind)[1]
    weights, buffers = stack_module_state(layers)
    outputs, states = vmap(
        lambda weights, buffers: functional_call(layers[0], (weights, buffers), (x, LENGTHS))
    )(weights, buffers)
    for number, layer in enumerate(layers):
        expected, last = layer(x, LENGTHS)
        torch.testing.assert_close(outputs[number], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(states[0][0][number], last[0][0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_other_kinds(kind: type[Recurrent]) -> None:
    """Forward mode and the Jacobian against reverse mode; the Hessian against twice reverse mode."""
    layer, x = made(kind)
    direction = torch.randn_like(x)

    def outputs(x: torch.Tensor) -> torch.Tensor:
        return layer(x, LENGTHS)[0]

    other = made(kind, backend="torch")[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: other(x)[0], x)
    torch.testing.assert_close(jacrev(lambda x: layer(x)[0])(x), jacobian, rtol=0, atol=1e-12)
    _, tangent = jvp(outputs, (x,), (direction,))
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(outputs(forward_ad.make_dual(x, direction))).tangent
    masked = jacrev(outputs)(x)
    expected = torch.einsum("btfcde,cde->btf", masked, direction)
    torch.testing.assert_close(tangent, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(dual, expected, rtol=0, atol=1e-12)

    row = x[:1, :2]
    second = hessian(lambda x: layer(x)[0].sum())(row)
    reference = made(kind, backend="reference")[0]
    expected = torch.autograd.functional.hessian(lambda x: reference(x)[0].sum(), row)
    torch.testing.assert_close(second, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rows", ["all", "touched"])
def test_tokens_are_looked_up_inside_a_transform(rows: Any) -> None:
    torch.manual_seed(1)
    table = Embedding(6, 3, rows=rows, dtype=torch.float64)
    layer, _ = made(GRU)
    tokens = torch.tensor([[1, 5, 0], [2, 0, 5]])

    def loss(weight: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        vectors = functional_call(Lookups(table), {"table.weight": weight}, (tokens[None],))
        return layer(vectors)[0].square().sum()

    gradients = vmap(grad(loss), in_dims=(None, 0))(table.weight.detach(), tokens)
    for row in range(2):
        table.weight.grad = None
        layer(table.lookup(tokens[row : row + 1]))[0].square().sum().backward()
        torch.testing.assert_close(gradients[row], table.weight.grad.to_dense(), rtol=0, atol=1e-12)
        assert not gradients[row, 0].any()


class Lookups(torch.nn.Module):
    """``lookup`` as a module's forward, for ``functional_call``."""

    def __init__(self, table: Embedding) -> None:
        super().__init__()
        self.table = table

    def forward(self, tokens: torch.Tensor) -> Any:
        return self.table.lookup(tokens)


def test_dropout_differs_where_vmap_is_told_so() -> None:
    layer, x = made(GRU, dropout=0.5, recurrent_dropout=0.5)
    same = x[:1].expand(3, -1, -1)
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda row: layer(row[None])[0])(same)
    outputs = vmap(lambda row: layer(row[None])[0], randomness="different")(same)
    assert not torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_other_backends_refuse_transforms(backend: str) -> None:
    layer = LSTM(3, 4, backend=backend)
    message = f"backend '{backend}' has no torch.func transforms or forward-mode differentiation; use backend"
    with pytest.raises(BackendError, match=message):
        grad(lambda x: layer(x)[0].sum())(torch.randn(2, 5, 3))
    x = torch.randn(2, 5, 3)
    with forward_ad.dual_level(), torch.no_grad(), pytest.raises(BackendError, match=message):
        layer(forward_ad.make_dual(x, x))
    with pytest.raises(BackendError, match=r"'reference' has torch.func transforms.*use precision 'float32'"):
        grad(lambda x: LSTM(3, 4, precision="bfloat16")(x)[0].sum())(x)
    assert layer(x)[0].shape == (2, 5, 4)
