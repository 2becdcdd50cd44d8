"""The mixture of a network and n-grams: its shares, its probabilities, and its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra import LanguageModel
from recurra.config import load_recipe
from recurra.errors import BundleError
from recurra.io.examples import Examples
from recurra.tasks.base import PredictRequest
from recurra.tasks.fit import pretrain_files
from recurra.tasks.language import experts
from recurra.tasks.language.answers import answer
from recurra.tasks.language.baseline import NgramModel
from recurra.tasks.language.mixture import Mixture, fit_mixture
from recurra.tasks.language.scores import (
    generate,
    next_tokens,
    stream_log_probability,
    text_log_probabilities,
)
from recurra.tasks.language.streams import TokenStream
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.use import load

V = 9
WORDS = ["red", "blue", "green", "one", "two", "three"]


def stream(texts: int, seed: int) -> np.ndarray:
    """Texts in which a token is often followed by the next one."""
    random, tokens = np.random.default_rng(seed), [1]
    for _ in range(texts):
        token = int(random.integers(2, V))
        for _ in range(int(random.integers(0, 9))):
            tokens.append(token)
            token = 2 + (token - 1) % (V - 2) if random.random() < 0.7 else int(random.integers(2, V))
        tokens.append(1)
    return np.array(tokens)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_the_next_token_has_the_probability_of_the_stream(order: int) -> None:
    ngrams, tokens = NgramModel(order, V).fit(stream(200, 0)), stream(30, 1)
    log_p, known = ngrams.scored(tokens)
    for place in range(1, len(tokens)):
        p, length = ngrams.following(tokens[:place])
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert p[0] == 0
        assert np.log(p[tokens[place]]) == pytest.approx(log_p[place - 1], abs=1e-12)
        assert length == known[place - 1] <= order - 1


@given(st.lists(st.lists(st.integers(2, V - 1), max_size=6), min_size=1, max_size=6), st.integers(2, 6))
def test_n_grams_of_any_texts_survive_their_file(texts: list[list[int]], order: int) -> None:
    tokens = np.array([1, *(token for text in texts for token in [*text, 1])])
    ngrams = NgramModel(order, V).fit(tokens)
    again = NgramModel.from_state(order, V, 1, ngrams.state())
    other = stream(5, 3)
    np.testing.assert_array_equal(again.log_probability(other), ngrams.log_probability(other))
    np.testing.assert_array_equal(again.counts, ngrams.counts)
    assert np.isfinite(again.log_probability(other)).all()


@given(st.integers(0, 40), st.integers(1, 40), st.integers(2, 5), st.integers(0, 9))
def test_joined_n_grams_are_those_of_all_texts(first: int, second: int, order: int, seed: int) -> None:
    one, two = stream(first + 1, seed), stream(second, seed + 100)
    joined = NgramModel(order, V).fit(one).joined(NgramModel(order, V).fit(two))
    both = NgramModel(order, V).fit(np.r_[one, two[1:]])
    for name, array in both.state().items():
        np.testing.assert_array_equal(joined.state()[name], array)
    with pytest.raises(ValueError, match="differ"):
        joined.joined(NgramModel(order + 1, V).fit(two))


def test_the_shares_are_those_of_the_greatest_likelihood() -> None:
    ngrams, tokens = NgramModel(3, V).fit(stream(300, 0)), stream(400, 1)
    network = np.full(len(tokens) - 1, -np.log(V - 1))  # knows nothing
    mixture = fit_mixture(ngrams, network, tokens)
    assert mixture is not None
    log_p, known = ngrams.scored(tokens)

    def loss(share: float) -> float:
        return -float(np.logaddexp(np.log(share) + network, np.log(1 - share) + log_p)[known == 2].mean())

    best = min(np.linspace(0.001, 0.999, 999), key=loss)
    assert mixture.shares[2] == pytest.approx(best, abs=0.05)  # 100 tokens with the mean share count too
    assert -mixture.mixed(network, tokens).mean() < min(-network.mean(), -log_p.mean())


def test_n_grams_that_add_nothing_are_left_out() -> None:
    ngrams, tokens = NgramModel(3, V).fit(stream(3, 0)), stream(400, 1)
    true = NgramModel(3, V).fit(tokens).log_probability(tokens)
    assert fit_mixture(ngrams, np.minimum(true + 2, -1e-3), tokens) is None


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(60)]
    texts += ["red one blue two green three"] * 60
    return LanguageModel(
        units=4, layers=1, embedding=4, epochs=1, batch_size=4, bptt=8, experts=["ngrams", "recurrent"]
    ).fit(texts)


def test_every_answer_is_that_of_the_mixture(model: LanguageModel) -> None:
    bundle = model.bundle_
    mixture, tokenizer = bundle.assets.mixture, bundle.assets.tokenizer
    assert mixture is not None
    texts = ["red one blue", "", "unheard of"]
    ids = tokenizer.encode(texts).ids
    scored = text_log_probabilities(bundle.model, ids, mixture=mixture)
    alone = text_log_probabilities(bundle.model, ids)
    for text, one, log_p, network in zip(texts, ids, scored, alone, strict=True):
        single = text_log_probabilities(bundle.model, [one], mixture=mixture)[0]
        np.testing.assert_array_equal(single, log_p)
        assert model.log_probability([text])[0] == pytest.approx(log_p.sum(), abs=1e-5)
        for place, value in enumerate(log_p):
            p = next_tokens(bundle.model, one[: place + 1], mixture)
            token = np.r_[one, 1][place + 1]
            assert p.sum() == pytest.approx(1, abs=1e-5)
            assert np.log(p[token]) == pytest.approx(value, abs=1e-4)
        assert not np.allclose(log_p, network)
    stream_of_texts = TokenStream(Examples.from_arrays(ids))
    np.testing.assert_allclose(
        np.exp(stream_log_probability(bundle.model, stream_of_texts, mixture)[:4]), np.exp(scored[0]), 1e-4
    )
    likely = int(next_tokens(bundle.model, ids[0], mixture).argmax())
    assert next(generate(bundle.model, ids[0], 1, temperature=0, mixture=mixture)) == likely
    assert model.predict_next("red one", 1)[0][0] == "blue"


def test_a_saved_mixture_answers_the_same(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    again = LanguageModel.load(tmp_path / "m")
    texts = ["red one blue", "two three"]
    np.testing.assert_array_equal(again.log_probability(texts), model.log_probability(texts))
    assert again.generate("red", 12, seed=3) == model.generate("red", 12, seed=3)
    assert again.bundle_.assets.mixture is not None
    (record,) = answer(again.bundle_, PredictRequest(texts=["red one blue"])).records
    expected = float(model.log_probability(["red one blue"])[0]) / np.log(2)
    assert record["log2_probability"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "damage",
    [
        {"order": 3},
        {"order": 40, "shares": [0.5] * 40},
        {"shares": [0.5, 2.0, 0.5, 0.5, 0.5]},
        {"shares": "many"},
        {"share": None},
    ],
)
def test_damaged_experts_are_one_line(
    model: LanguageModel, tmp_path: Path, damage: dict[str, object]
) -> None:
    model.save(tmp_path / "m")
    path = tmp_path / "m" / "experts.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    (tmp_path / "m" / "manifest.json").unlink()
    with pytest.raises(BundleError):
        load(tmp_path / "m")


def test_damaged_n_grams_are_errors(model: LanguageModel) -> None:
    mixture = model.bundle_.assets.mixture
    assert mixture is not None
    tokenizer, text = model.bundle_.assets.tokenizer, mixture.to_json()
    for change in (
        {"keys_2": np.arange(3)},
        {"keys_2": mixture.state()["keys_2"][::-1].copy()},
        {"counts_1": np.zeros(2, np.uint32)},
        {"tokens": np.zeros((2, 2), np.int64)},
    ):
        with pytest.raises(BundleError, match="n-grams are damaged"):
            Mixture.read(text, {**mixture.state(), **change}, tokenizer.vocab_size, 1)
    with pytest.raises(BundleError):
        Mixture.read(text, {}, tokenizer.vocab_size, 1)


def test_the_network_alone_is_saved_without_n_grams(model: LanguageModel, tmp_path: Path) -> None:
    plain = LanguageModel(units=4, layers=1, embedding=4, epochs=1, batch_size=4, bptt=8, experts="recurrent")
    plain.fit(["red one blue two"] * 40).save(tmp_path / "m")
    assert plain.bundle_.assets.mixture is None
    assert not (tmp_path / "m" / "ngrams.safetensors").exists()


def test_a_model_of_many_n_grams_has_shorter_ones_than_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    texts = [" ".join(random.choice(WORDS, 8)) for _ in range(100)]
    texts += ["red one blue two green three"] * 100
    monkeypatch.setattr(experts, "_MOST_NGRAMS", 400)
    few = LanguageModel(
        units=4, layers=1, embedding=4, epochs=1, batch_size=4, bptt=8, experts=["ngrams", "recurrent"]
    ).fit(texts)
    mixture = few.bundle_.assets.mixture
    assert mixture is not None
    assert mixture.ngrams.order == len(mixture.shares) == 3
    assert sum(mixture.ngrams.sizes) <= 400
    assert experts.own_baseline(few.bundle_) is None  # the baseline has 5-grams
    assert few.perplexity(texts[:3]) > 0


def test_pretraining_counts_no_n_grams(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(["red one blue two", "green three"] * 30))
    small = {"model": {"units": 4, "embedding": 4}, "train": {"epochs": 1, "batch_size": 4}}
    config = build_config(load_recipe("language-model"), small)
    assert "ngrams" in config.model.experts
    pretrain_files(tmp_path / "texts.txt", config, tmp_path / "m", reporter=Reporter())
    assert load(tmp_path / "m").assets.mixture is None
