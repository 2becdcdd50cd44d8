"""The drop-in modules against those of ``torch.nn``: call forms, gradients, errors, what torch computes."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, vmap
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.flop_counter import FlopCounterMode

import recurra
from recurra.torch import calls, stack
from recurra.torch.calls import computes

Settings = dict[str, Any]

KINDS: list[tuple[str, Settings]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("GRU", {}),
]
FORMS = ["time first", "batch first", "single", "packed", "packed unsorted"]
E, H = 5, 7


def pair(name: str, **settings: Any) -> tuple[nn.RNNBase, nn.RNNBase]:
    """A module of torch.nn and ours, with equal random weights."""
    torch.manual_seed(0)
    theirs = getattr(nn, name)(E, H, **settings)
    ours = getattr(recurra.torch, name)(E, H, **settings)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in a returned value."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [part for part in value if part is not None]
    return [tensor for part in value for tensor in tensors(part)]


def call(form: str, module: nn.RNNBase, *, state: bool) -> tuple[list[torch.Tensor], Any, Any]:
    """The leaves, the input and the initial state of a call."""
    torch.manual_seed(1)
    dtype = next(module.parameters()).dtype
    rows: tuple[int, ...] = (3,)
    if form.startswith("packed"):
        lengths = [2, 6, 1] if form.endswith("unsorted") else [6, 3, 3]
        leaves = [torch.randn(length, E).to(dtype).requires_grad_() for length in lengths]
        x: Any = pack_sequence(leaves, enforce_sorted=not form.endswith("unsorted"))
    else:
        shape = {"time first": (4, 3, E), "batch first": (3, 4, E), "single": (4, E)}[form]
        leaves = [torch.randn(shape).to(dtype).requires_grad_()]
        x = leaves[0]
        rows = () if form == "single" else rows
    if not state:
        return leaves, x, None
    states = module.num_layers * (2 if module.bidirectional else 1)
    parts = [
        torch.randn(states, *rows, H).to(dtype).requires_grad_() for _ in range(1 + (module.mode == "LSTM"))
    ]
    return [*leaves, *parts], x, tuple(parts) if module.mode == "LSTM" else parts[0]


def results(form: str, module: nn.RNNBase, *, state: bool) -> list[Any]:
    """Outputs, last states, and the gradients of input, initial states and parameters."""
    leaves, x, hx = call(form, module, state=state)
    torch.manual_seed(2)  # of the dropout
    values = tensors(module(x, hx))
    real = [value for value in values if value.dtype.is_floating_point]
    torch.manual_seed(3)
    loss = sum((value * torch.randn(value.shape)).sum() for value in real)
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    gradients = [leaf.grad for leaf in leaves]
    return [*values, *gradients, *(parameter.grad for parameter in module.parameters())]


def assert_close(ours: list[Any], theirs: list[Any]) -> None:
    for value, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(value, expected.to(value.dtype), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "settings"), KINDS)
@pytest.mark.parametrize(
    ("layers", "bidirectional", "bias", "state"),
    [(1, False, True, False), (2, True, True, True), (1, True, False, True), (3, False, False, False)],
)
def test_every_call_form_gives_what_torch_gives(
    name: str, settings: Settings, form: str, layers: int, bidirectional: bool, bias: bool, state: bool
) -> None:
    """Values and all gradients, against torch in float64."""
    settings = settings | {"num_layers": layers, "bidirectional": bidirectional, "bias": bias}
    theirs, ours = pair(name, **settings, batch_first=form == "batch first")
    _, x, hx = call(form, ours, state=state)
    assert computes(ours, x, hx)
    assert_close(results(form, ours, state=state), results(form, theirs.double(), state=state))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_dropout_between_layers_drops_the_same_elements_as_torch(name: str, form: str) -> None:
    theirs, ours = pair(name, num_layers=3, dropout=0.4, batch_first=form == "batch first")
    assert_close(results(form, ours, state=False), results(form, theirs, state=False))
    ours.dropout = 1.0
    theirs.dropout = 1.0
    assert_close(results(form, ours, state=False), results(form, theirs, state=False))
    ours.eval()
    theirs.eval()
    assert_close(results(form, ours, state=False), results(form, theirs, state=False))


@pytest.mark.parametrize("form", ["time first", "batch first", "single"])
def test_outputs_have_the_memory_layout_that_programs_rely_on(form: str) -> None:
    theirs, ours = pair("GRU", bidirectional=True, batch_first=form == "batch first")
    _, x, _ = call(form, ours, state=False)
    (expected, expected_state), (outputs, state) = theirs(x), ours(x)
    assert outputs.is_contiguous() >= expected.is_contiguous()
    assert state.is_contiguous() >= expected_state.is_contiguous()


def test_a_row_of_a_packed_sequence_gets_what_it_gets_alone() -> None:
    _, ours = pair("LSTM", num_layers=2, bidirectional=True)
    rows = [torch.randn(length, E) for length in (1, 9, 4)]
    packed, (h, _) = ours(pack_sequence(rows, enforce_sorted=False))
    padded, _ = nn.utils.rnn.pad_packed_sequence(packed)
    for number, row in enumerate(rows):
        outputs, (alone, _) = ours(row)
        torch.testing.assert_close(padded[: len(row), number], outputs, atol=1e-6, rtol=0)
        torch.testing.assert_close(h[:, number], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", ["batch first", "packed unsorted"])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_gradients_of_gradients(name: str, form: str) -> None:
    """A penalty on the gradient of the input, as it is used for critics."""
    found = []
    theirs, ours = pair(name, num_layers=2, bidirectional=True, batch_first=form == "batch first")
    for module in (ours, theirs.double()):
        leaves, x, hx = call(form, module, state=True)
        loss = sum(value.square().sum() for value in tensors(module(x, hx)) if value.requires_grad)
        gradients = torch.autograd.grad(loss, leaves, create_graph=True)
        torch.stack([each.square().sum() for each in gradients]).sum().backward()
        found.append([*(leaf.grad for leaf in leaves), *(weight.grad for weight in module.parameters())])
    for value, expected in zip(*found, strict=True):
        torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-4)


# errors


BAD_CALLS: dict[str, tuple[Any, ...]] = {
    "features": (torch.randn(4, 3, E + 1),),
    "dimensions": (torch.randn(4, 3, 2, E),),
    "dtype": (torch.randn(4, 3, E, dtype=torch.float64),),
    "integers": (torch.ones(4, 3, E, dtype=torch.int64),),
    "no steps": (torch.randn(0, 3, E),),
    "rows of the state": (torch.randn(4, 3, E), torch.randn(1, 2, H)),
    "units of the state": (torch.randn(4, 3, E), torch.randn(1, 3, H + 1)),
    "layers of the state": (torch.randn(4, 3, E), torch.randn(2, 3, H)),
    "state without rows": (torch.randn(4, 3, E), torch.randn(1, H)),
    "rows without rows": (torch.randn(4, E), torch.randn(1, 1, H)),
    "dtype of the state": (torch.randn(4, 3, E), torch.randn(1, 3, H, dtype=torch.float64)),
    "packed features": (pack_sequence([torch.randn(4, E + 1)]), torch.randn(1, 1, H)),
    "packed state": (pack_sequence([torch.randn(4, E)]), torch.randn(1, 2, H)),
    "packed dimensions": (pack_sequence([torch.randn(4, E, 1)]), torch.randn(1, 1, H)),
    "nothing": (None,),
    "list": ([1.0],),
}


def refusal(function: Callable[..., Any], *arguments: Any) -> tuple[type[Exception], str]:
    """The type and the message of the exception that a call raises."""
    with pytest.raises(Exception) as raised:  # whatever torch raises
        function(*arguments)
    return raised.type, str(raised.value)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_call_that_torch_refuses_is_refused_with_its_error(name: str, case: str) -> None:
    if name == "LSTM" and case.startswith("packed"):
        pytest.skip("torch does not check them")
    x, *hx = BAD_CALLS[case]
    if hx and name == "LSTM":
        hx = [(hx[0], hx[0])]
    theirs, ours = pair(name)
    assert refusal(ours, x, *hx) == refusal(theirs, x, *hx)


@pytest.mark.parametrize("sizes", [[2, 1], [1, 3], [4, 0]])
def test_batch_sizes_that_do_not_fit_are_left_to_torch(sizes: list[int]) -> None:
    _, ours = pair("LSTM")
    assert not computes(ours, PackedSequence(torch.randn(4, E), torch.tensor(sizes)), None)


@pytest.mark.parametrize("state", [torch.randn(1, 3, H), (torch.randn(1, 3, H),), 1])
def test_a_state_of_lstm_that_is_no_pair_is_refused_with_torchs_error(state: Any) -> None:
    theirs, ours = pair("LSTM")
    x = torch.randn(4, 3, E)
    assert refusal(ours, x, state) == refusal(theirs, x, state)


@pytest.mark.parametrize(
    ("name", "arguments", "settings"),
    [
        ("LSTM", (0, 3), {}),
        ("LSTM", (3, -1), {}),
        ("GRU", (3, 4), {"num_layers": 0}),
        ("GRU", (3, 4), {"proj_size": 2}),
        ("RNN", (3, 4), {"nonlinearity": "sigmoid"}),
        ("RNN", (3, 4, 1, "relu", 1), {}),
        ("LSTM", (3, 4), {"dropout": 1.5}),
        ("LSTM", (3, 4), {"proj_size": 4}),
    ],
)
def test_arguments_that_torch_refuses_are_refused_with_its_error(
    name: str, arguments: tuple[Any, ...], settings: Settings
) -> None:
    with pytest.raises((ValueError, TypeError)) as expected:
        getattr(nn, name)(*arguments, **settings)
    with pytest.raises(type(expected.value)) as found:
        getattr(recurra.torch, name)(*arguments, **settings)
    assert str(found.value) == str(expected.value)


# what torch computes


def test_torch_computes_what_the_kernels_do_not() -> None:
    """Its own numbers, bit for bit."""
    x = torch.randn(4, 3, E)
    cases: list[tuple[str, Settings]] = [("LSTM", {"proj_size": 3}), ("GRU", {"dtype": torch.float64})]
    for name, settings in cases:
        theirs, ours = pair(name, **settings)
        values = x.to(settings.get("dtype"))
        assert not computes(ours, values, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that oneDNN has no projections
            assert torch.equal(ours(values)[0], theirs(values)[0])
    theirs, ours = pair("LSTM")
    with torch.autocast("cpu", dtype=torch.bfloat16):  # torch itself needs a processor with AVX-512
        assert not computes(ours, x, None)
    with FlopCounterMode(display=False) as found:
        ours(x)
    with FlopCounterMode(display=False) as expected:
        theirs(x)
    assert found.get_total_flops() == expected.get_total_flops()
    on_meta = recurra.torch.GRU(E, H, device="meta")
    assert on_meta(x.to("meta"))[0].shape == (4, 3, H)


def test_short_sequences_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "FEWEST_STEPS", {"GRU": 4})
    monkeypatch.setattr(calls, "FEWEST_PACKED_STEPS", 3)
    _, ours = pair("GRU")
    _, batch_first = pair("GRU", batch_first=True)
    for steps in (1, 2, 3, 4):
        row = torch.randn(steps, E)
        found = [
            computes(ours, row, None), computes(ours, row[:, None], None),
            computes(batch_first, row[None].expand(5, -1, -1), None), computes(batch_first, row, None),
        ]  # fmt: skip
        assert found == [steps >= 4] * 4
        assert computes(ours, pack_sequence([row, row[:1]]), None) is (steps >= 3)


def test_transforms_and_forward_mode_differentiation_do_what_torch_does() -> None:
    x = torch.randn(4, 3, E)
    theirs, ours = pair("GRU")
    refused = [refusal(vmap(module), x[None]) for module in (theirs, ours)]
    assert refused[0] == refused[1]
    tangents = []
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore")  # torch's own use of TorchScript
        for module in (theirs, ours):
            dual = forward_ad.make_dual(x.double(), torch.ones(x.shape, dtype=torch.float64))
            tangents.append(forward_ad.unpack_dual(module.double()(dual)[0]).tangent)
    assert_close(tangents[1:], tangents[:1])


def test_tracing_and_scripting_give_a_graph_of_torchs_operations() -> None:
    _, ours = pair("LSTM", num_layers=2)
    model = nn.Sequential(ours)
    x = torch.randn(4, 3, E)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        traced = torch.jit.trace(ours, (x,))
        assert "aten::lstm" in str(traced.inlined_graph)
        scripted = torch.jit.script(model)
    assert_close(tensors(traced(x)), tensors(ours(x)))
    assert_close(tensors(scripted(x)), tensors(ours(x)))
    assert model[0] is ours
    assert type(ours) is nn.LSTM  # scripting undoes the acceleration


def test_a_compiled_model_runs_the_kernels_between_its_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = pair("LSTM", num_layers=2)
    found: list[Any] = []
    forward = stack.forward
    monkeypatch.setattr(stack, "forward", lambda *given: found.append(forward(*given)) or found[-1])
    x = torch.randn(4, 3, E)
    for module in (theirs, ours):
        compiled = torch.compile(nn.Sequential(nn.Tanh(), module), backend="eager")
        compiled(x)[0].square().sum().backward()
    assert len(found) == 1
    assert_close([weight.grad for weight in ours.parameters()], [w.grad for w in theirs.parameters()])


def test_an_exported_graph_has_torchs_operations() -> None:
    _, ours = pair("GRU")
    x = torch.randn(4, 3, E)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on its own modules too
        exported = torch.export.export(ours.eval(), (x,))
    assert "recurra" not in str(exported.graph)
    assert_close(tensors(exported.module()(x)), tensors(ours(x)))


# weights


def test_weights_may_be_replaced_tied_or_computed() -> None:
    modules = pair("LSTM", num_layers=2)
    for module in modules:
        parametrizations.weight_norm(module, "weight_ih_l0")
        module.weight_hh_l1 = module.weight_hh_l0
        module.bias_ih_l0 = nn.Parameter(torch.linspace(-1, 1, 4 * H))
        with torch.no_grad():
            module.parametrizations.weight_ih_l0.original0.mul_(2)
    expected, found = (results("packed", module, state=False) for module in modules)
    assert_close(found, expected)

    x = torch.randn(4, 3, E)
    theirs, ours = pair("GRU")
    other = {name: torch.randn_like(value) for name, value in theirs.named_parameters()}
    assert_close([functional_call(ours, other, (x,))[0]], [functional_call(theirs, other, (x,))[0]])
    assert_close([ours(x)[0]], [theirs(x)[0]])


def test_copies_and_saved_modules_compute_the_same(tmp_path: Any) -> None:
    _, ours = pair("GRU", num_layers=2)
    x = torch.randn(4, 3, E)
    buffer = io.BytesIO()
    torch.save(ours, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(ours), torch.load(buffer, weights_only=False)):
        assert type(other) is recurra.torch.GRU
        assert torch.equal(other(x)[0], ours(x)[0])
    theirs = nn.GRU(E, H, 2)
    torch.save(ours.state_dict(), tmp_path / "weights.pt")
    theirs.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert_close([ours(x)[0]], [theirs(x)[0]])
    assert repr(theirs) == repr(ours)
    assert [[id(weight) for weight in each] for each in ours.all_weights] == [
        [id(getattr(ours, f"{name}_l{depth}")) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        for depth in range(2)
    ]
