"""The network of a language model: states, scores, generation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.config import ModelConfig
from recurra.errors import ConfigError
from recurra.io.examples import Examples
from recurra.io.tokenizer import TextTokenizer
from recurra.layers.summary import summarize
from recurra.tasks.language.network import LanguageNetwork
from recurra.tasks.language.scores import (
    generate,
    next_tokens,
    stream_log_probability,
    text_log_probabilities,
)
from recurra.tasks.language.settings import LanguageConfig
from recurra.tasks.language.streams import StreamBatch, Streams, TokenStream

V = 12


def network(cell: str = "lstm", **language: object) -> LanguageNetwork:
    torch.manual_seed(1)
    config = ModelConfig.model_validate({"cell": cell, "units": [6, 5], "embedding": 5, "dropout": 0.3})
    found = LanguageNetwork(config, LanguageConfig.model_validate(language), V)
    with torch.no_grad():  # the initial vectors are so small that all tokens are alike
        found.embedding.weight[1:].normal_()
    return found


def texts(count: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [np.r_[1, random.integers(2, V, random.integers(0, 9))] for _ in range(count)]


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_windows_with_carried_states_give_what_one_long_sequence_gives(cell: str) -> None:
    model = network(cell).eval()
    tokens = torch.randint(1, V, (3, 23))
    whole, last = model(tokens)
    parts, state = [], None
    for begin in range(0, 23, 7):
        states, state = model(tokens[:, begin : begin + 7], None, state)
        parts.append(states)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    for layer, expected_layer in zip(state or (), last, strict=True):
        for part, expected in zip(layer, expected_layer, strict=True):
            torch.testing.assert_close(part, expected)


def test_a_stream_is_scored_as_one_sequence_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network().eval()
    stream = TokenStream(Examples.from_arrays(texts(15)))
    ids = torch.from_numpy(stream.read(0, len(stream)))
    states, _ = model(ids[None, :-1])
    truth = model.output.log_probabilities(states[0]).gather(1, ids[1:, None]).squeeze(1)
    for window in (1, 5, 1000):
        monkeypatch.setattr("recurra.tasks.language.scores._WINDOW", window)
        found = stream_log_probability(model, stream)
        np.testing.assert_allclose(found, truth.detach().numpy(), rtol=1e-4)
    monkeypatch.setattr("recurra.tasks.language.scores._TOKENS_A_ROW", 10)
    parallel = stream_log_probability(
        model, stream
    )  # rows start without context, and every token is still predicted
    assert parallel.shape == found.shape
    assert (np.isfinite(parallel) & (parallel < 0)).all()


def test_a_text_has_the_same_score_alone_and_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.tasks.language.scores._WINDOW", 4)
    monkeypatch.setattr("recurra.tasks.language.scores._ROWS", 3)
    model = network()
    some = texts(10)
    together = text_log_probabilities(model, some)
    assert model.training  # as it was
    for ids, found in zip(some, together, strict=True):
        np.testing.assert_allclose(text_log_probabilities(model, [ids])[0], found, rtol=1e-5)
        states, _ = model.eval()(torch.from_numpy(ids)[None])
        truth = model.output.log_probabilities(states[0])
        log_p = [truth[at, token].item() for at, token in enumerate([*ids[1:], 1])]
        np.testing.assert_allclose(found, log_p, rtol=1e-4)
        model.train()


def test_next_token_probabilities_sum_to_one_without_padding() -> None:
    for ids in texts(4):
        p = next_tokens(network(), ids)
        assert p.shape == (V,)
        assert p[0] == 0
        assert p.sum() == pytest.approx(1, rel=1e-5)


def test_the_next_token_does_not_depend_on_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.tasks.language.scores._WINDOW", 3)
    model = network()
    for ids in texts(9):
        p = next_tokens(model, ids)
        states, _ = model.eval()(torch.from_numpy(ids)[None])
        truth = model.output.log_probabilities(states[0, -1:]).exp()[0].detach().numpy()
        np.testing.assert_allclose(p, truth, rtol=1e-4)


def test_generation_follows_the_seed_the_temperature_and_the_top() -> None:
    model = network()
    start = np.array([1, 4])

    def drawn(**options: object) -> list[int]:
        return list(generate(model, start, 30, **options))  # type: ignore[arg-type]

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn(temperature=0) == drawn(top_k=1, seed=5)
    greedy = drawn(temperature=0)
    assert greedy[0] == int(next_tokens(model, start).argmax())
    assert greedy[1] == int(next_tokens(model, np.r_[start, greedy[0]]).argmax())
    assert not {0, 3} & set(drawn(never=(0, 3), temperature=50.0))
    assert len(set(drawn(temperature=50.0))) > len(set(drawn(top_k=2)))


def test_samples_follow_the_probabilities() -> None:
    model = network()
    p = next_tokens(model, np.array([1]))
    first = [next(iter(generate(model, np.array([1]), 1, seed=seed))) for seed in range(1500)]
    found = np.bincount(first, minlength=V) / len(first)
    assert np.abs(found - p).max() < 4 * math.sqrt(0.25 / len(first))


def test_dropout_of_the_output_is_one_mask_a_window() -> None:
    config = ModelConfig(units=50, embedding=4, head_dropout=0.5)
    model = LanguageNetwork(config, LanguageConfig(), V).train()
    states, _ = model(torch.randint(1, V, (2, 9)))
    blank = states == 0
    assert (blank == blank[:, :1]).all()
    assert 10 < blank[0, 0].sum() < 40
    assert not (blank[0, 0] == blank[1, 0]).all()


def test_word_dropout_changes_the_words_that_are_read() -> None:
    config = ModelConfig(units=6, embedding=5, word_dropout=0.5)
    model = LanguageNetwork(config, LanguageConfig(tie=True), V)
    with torch.no_grad():
        model.embedding.weight[1:].normal_()
    tokens = torch.arange(3, V).repeat(20, 1)
    unknown = torch.full_like(tokens, TextTokenizer.unknown_id)
    first_steps = model(tokens)[0][:, 0]
    model.eval()
    read, replaced = (model(ids)[0][:1, 0] for ids in (tokens, unknown))
    dropped = (first_steps == replaced).all(dim=1)
    assert 2 <= int(dropped.sum()) <= 18
    torch.testing.assert_close(first_steps[~dropped], read.expand(int((~dropped).sum()), -1))


def test_a_bidirectional_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="can't be bidirectional"):
        LanguageNetwork(ModelConfig(bidirectional=True), LanguageConfig(), V)


@pytest.mark.parametrize("cutoffs", [[11], [2, 30]])
def test_cutoffs_beyond_the_vocabulary_are_errors(cutoffs: list[int]) -> None:
    with pytest.raises(ConfigError, match="clusters don't fit 11 words"):
        network(output="adaptive", cutoffs=cutoffs)


def test_incompatible_settings_are_errors() -> None:
    with pytest.raises(ConfigError, match="can't be tied to the embedding"):
        network(tie=True, output="adaptive")
    with pytest.raises(ValueError, match="must be strictly increasing"):
        LanguageConfig(cutoffs=[5, 3])


@pytest.mark.parametrize(
    ("language", "above"),
    [
        ({}, 11 * 5 + 11),
        ({"tie": True}, 11),
        ({"output": "adaptive", "cutoffs": [4]}, (4 + 1) * 5 + (1 * 5 + 7 * 1)),
    ],
)
def test_the_summary_counts_tied_weights_once(language: dict[str, object], above: int) -> None:
    model = network(**language)
    found = summarize(model)
    assert (
        found.total
        == sum(row.parameters for row in found.rows)
        == found.rows[0].parameters + sum(weight.numel() for weight in model.recurrent.parameters()) + above
    )
    layer_groups = model.layer_groups()
    assert len(layer_groups) == 4
    assert sum(weight.numel() for group in layer_groups for weight in group) == found.total


def test_a_window_of_the_training_stream_has_the_loss_of_its_tokens() -> None:
    from recurra.tasks.language.network import StreamObjective

    model = network().eval()  # no dropout
    windows = list(Streams(TokenStream(Examples.from_arrays(texts(20))), 2, 5).epoch(1))
    objective = StreamObjective()
    losses = [objective(model, window) for window in windows]
    tokens = torch.cat([window.tokens for window in windows], dim=1)
    targets = torch.cat([window.targets for window in windows], dim=1)
    states, _ = model(tokens)
    log_p = model.output.log_probability(states.reshape(-1, 5), targets.reshape(-1))
    mean = sum(loss.item() * window.size for loss, window in zip(losses, windows, strict=True))
    assert mean / targets.numel() == pytest.approx(-log_p.mean().item(), rel=1e-5)


def test_the_objective_restores_its_states_and_cuts_gradients() -> None:
    from recurra.tasks.language.network import StreamObjective

    model = network("gru").eval()
    windows = list(Streams(TokenStream(Examples.from_arrays(texts(20))), 2, 5).epoch(1))
    one, other = StreamObjective(), StreamObjective()
    assert other.state_dict() == {}
    one(model, windows[0])
    other.load_state_dict(one.state_dict())
    assert {name: tuple(part.shape) for name, part in other.state_dict().items()} == {
        "0/h": (2, 6),
        "1/h": (2, 5),
    }
    assert not any(part.requires_grad for part in other.state_dict().values())
    assert torch.equal(one(model, windows[1]), other(model, windows[1]))
    fresh = StreamObjective()
    again = StreamBatch(windows[1].tokens, windows[1].targets, None, fresh=True)
    assert not torch.equal(one(model, again), one(model, windows[1]))
    assert torch.equal(fresh(model, windows[0]), one(model, windows[0]))


def test_the_states_of_a_cell_with_any_number_of_parts_are_restored() -> None:
    from recurra.tasks.language.network import StreamObjective

    objective = StreamObjective()
    objective._states = tuple(tuple(torch.full((2, 3), 3.0 * n + k) for k in range(3)) for n in range(2))
    restored = StreamObjective()
    restored.load_state_dict(dict(sorted(objective.state_dict().items())))
    assert set(objective.state_dict()) == {f"{n}/{part}" for n in (0, 1) for part in ("h", "c", "2")}
    assert torch.equal(torch.stack(restored._states[1]), torch.stack(objective._states[1]))
    restored.load_state_dict({})
    assert restored._states is None
