"""Random numbers of a training are its own: equal for equal seeds, whatever the caller or a thread does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recurra
from recurra.generators import Generators, generator, initial_weights
from recurra.layers import Dropout


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def default_states() -> list[int]:
    return list(torch.get_rng_state().tolist())


def test_outside_a_training_torchs_generator_is_drawn_from() -> None:
    assert generator("cpu") is None
    torch.manual_seed(3)
    expected = nn.Dropout(0.5)(torch.ones(50))
    torch.manual_seed(3)
    assert torch.equal(Dropout(0.5)(torch.ones(50)), expected)


def test_generators_in_use_end_with_their_block_also_after_an_error() -> None:
    outer, inner = Generators(1), Generators(2)

    def fail() -> None:
        with inner.in_use():
            assert generator("cpu") is inner.on("cpu")
            raise ValueError("stop")

    with outer.in_use():
        with pytest.raises(ValueError, match="stop"):
            fail()
        assert generator("cpu") is outer.on("cpu")
    assert generator("cpu") is None


def test_the_mask_of_a_value_does_not_depend_on_the_layout_in_memory() -> None:
    dropout, x = Dropout(0.5), torch.ones(4, 6)
    masked = []
    for layout in (x, torch.ones(6, 4).t()):
        with Generators(1).in_use():
            masked.append(dropout(layout))
    assert torch.equal(masked[0], masked[1])
    assert 0 < masked[0].count_nonzero() < 24


def test_another_thread_has_no_part_in_the_generators() -> None:
    found: list[object] = []
    with Generators(1).in_use():
        thread = threading.Thread(target=lambda: found.append(generator("cpu")))
        thread.start()
        thread.join()
    assert found == [None]


def draw() -> list[Tensor]:
    """What a training draws: masks of layers, of single values, and of code that takes the generator."""
    layer = recurra.LSTM(4, 3, dropout=0.4, recurrent_dropout=0.4).train()
    layer.load_state_dict({name: torch.ones_like(value) for name, value in layer.state_dict().items()})
    own = generator("cpu")
    return [layer(torch.ones(2, 5, 4))[0], Dropout(0.5)(torch.ones(9)), torch.rand(3, generator=own)]


def test_the_masks_depend_on_the_seed_alone_and_continue_from_a_saved_state() -> None:
    def drawn(seed: int, ahead: int) -> list[Tensor]:
        torch.rand(ahead)
        with Generators(seed).in_use():
            return draw()

    first, again, other = drawn(5, 1), drawn(5, 100), drawn(6, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    generators, later = Generators(5), Generators(9)
    with generators.in_use():
        draw()
        state = generators.on("cpu").get_state()
        second = draw()
    with later.in_use():
        draw()
        later.on("cpu").set_state(state)
        assert all(torch.equal(a, b) for a, b in zip(second, draw(), strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3, 4),
        lambda: nn.Embedding(5, 3),
        lambda: nn.LSTM(3, 4),
        lambda: recurra.LSTM(3, 4, initial_weights="torch"),
        lambda: recurra.GRU(3, 4, bidirectional=True),
        lambda: recurra.Embedding(5, 3),
        lambda: nn.ParameterList([torch.rand(3), torch.randn(3), torch.zeros(2).exponential_()]),
        lambda: nn.ParameterList([nn.init.trunc_normal_(torch.empty(4))]),
        lambda: nn.ParameterList([nn.init.kaiming_normal_(torch.ones(2, 2))]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_initial_weights_are_those_of_the_seeded_default_generator(
    make: Callable[[], nn.Module], dtype: torch.dtype
) -> None:
    torch.manual_seed(4)
    expected = make().state_dict()
    torch.manual_seed(5)
    before = default_states()
    with default_dtype(dtype), torch.device("meta"), initial_weights(4):
        found = make().state_dict()
    assert default_states() == before
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name].dtype, found[name].device.type) == (torch.float32, "cpu"), name
        assert torch.equal(found[name], value), name


def test_shapes_alone_have_no_values() -> None:
    before = default_states()
    with default_dtype(torch.float64), initial_weights(4, "meta"):
        layers = [nn.Linear(3, 4), recurra.LSTM(3, 4), recurra.Embedding(5, 3)]
    weights = [weight for layer in layers for weight in layer.parameters()]
    assert {(weight.device.type, weight.dtype) for weight in weights} == {("meta", torch.float32)}
    assert default_states() == before


def test_threads_draw_independently_of_each_other() -> None:
    def weights(seed: int) -> Tensor:
        with initial_weights(seed):
            return torch.cat([nn.Linear(20, 20).weight.detach().flatten() for _ in range(30)])

    alone = [weights(seed) for seed in range(4)]
    found: dict[int, Tensor] = {}

    def work(seed: int) -> None:
        found[seed] = weights(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[seed], alone[seed]) for seed in range(4))


def test_a_compiled_layer_still_draws_from_torchs_generator() -> None:
    layer: Any = torch.compile(Dropout(0.5), backend="eager", fullgraph=True)
    torch.manual_seed(3)
    expected = nn.Dropout(0.5)(torch.ones(20))
    torch.manual_seed(3)
    assert torch.equal(layer(torch.ones(20)), expected)
