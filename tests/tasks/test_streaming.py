"""Answers while a text or a series arrives equal the answers to each prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recurra import Forecaster, LanguageModel, SequenceTagger, TextClassifier
from recurra.cells import cell_names
from recurra.config import ModelConfig
from recurra.errors import ConfigError, DataError
from recurra.layers.network import pooled, pooling_of, recurrent_stack
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.network import Classifier
from recurra.tasks.streaming import CarriedStack, pieces_of
from recurra.tasks.use import answers_of, stream_of

POOLINGS = ["last", "mean", "max", "attention", ["mean", "max", "last", "attention"]]
TEXTS = ["a great film, really great", "a dull film , not worth it", "it was great!", "it was dull"]
LABELS = ["pos", "neg", "pos", "neg"]


@pytest.mark.parametrize("cell", cell_names())
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_the_features_after_each_step_are_those_of_the_prefix(cell: str, pooling: Any) -> None:
    torch.manual_seed(1)
    config = ModelConfig(cell=cell, units=[8, 12], layers=2, pooling=pooling)
    stack = recurrent_stack(config, 3, return_sequences=config.poolings != ["last"]).eval()
    layer = pooling_of(config, 12)
    x, carried = torch.randn(1, 9, 3), CarriedStack(stack, layer)
    with torch.inference_mode():
        for begin, end in ((0, 1), (1, 2), (2, 5), (5, 5), (5, 6), (6, 9)):
            found = carried.feed(x[:, begin:end], range(begin, end))
            expected = pooled(stack, layer, x[:, :end], torch.tensor([end]))
            torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


def test_a_stack_goes_back_to_where_the_sequences_differ() -> None:
    torch.manual_seed(1)
    config = ModelConfig(cell="gru", units=4, pooling=["mean", "max"])
    stack, layer = recurrent_stack(config, 3, return_sequences=True).eval(), pooling_of(config, 4)
    x, carried = torch.randn(1, 200, 3), CarriedStack(stack, layer)
    with torch.inference_mode():
        for step in range(200):
            carried.feed(x[:, step : step + 1], [step])
        assert carried.rewind([*range(190), -1, -2]) == 190
        found = carried.feed(x[:, 190:191], [-1])
        torch.testing.assert_close(found, pooled(stack, layer, x[:, :191], None))
        # The steps from 1 to 100 are not kept any more.
        assert carried.rewind(range(50)) == 0
        assert carried.rewind([7]) == 0
        found = carried.feed(x[:, :50], range(50))
        torch.testing.assert_close(found, pooled(stack, layer, x[:, :50], None))


def classifier(**parameters: Any) -> TextClassifier:
    sizes = {"units": 6, "embedding": 5, "epochs": 1, "batch_size": 8}
    return TextClassifier(parameters.pop("recipe", "lstm"), **sizes, **parameters).fit(TEXTS * 8, LABELS * 8)


@pytest.mark.parametrize(
    "parameters",
    [
        {"pooling": "last"},
        {"cell": "gru", "pooling": ["mean", "max"]},
        {"settings": {"model": {"bigrams": 64}}},
        {
            "recipe": "default",
            "bidirectional": False,
            "settings": {"model": {"evidence": 512, "members": 2}},
        },
        {"max_tokens": 4, "cut": "start"},
        {"max_tokens": 4, "cut": "end"},
        {"level": "character"},
    ],
    ids=str,
)
def test_an_answer_after_each_word_is_that_of_the_prefix(parameters: dict[str, Any]) -> None:
    model = classifier(**parameters)
    text, so_far = "It was great: not a dull film! 很好", ""
    found = list(model.stream(text))
    assert len(found) == len(pieces_of(text))
    for step, answer in enumerate(found, 1):
        assert answer["step"] == step
        so_far += answer["piece"]
        (expected,) = answers_of(model.bundle_, PredictRequest(texts=[so_far])).records
        assert answer.keys() - {"step", "piece"} == expected.keys() - {"row"}
        values = [np.array(list(record["probabilities"].values())) for record in (answer, expected)]
        np.testing.assert_allclose(*values, atol=2e-6)
    assert so_far == text


def test_the_network_reads_each_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = classifier(), []
    inner = Classifier.vectors

    def counted(self: Classifier, tokens: torch.Tensor, *more: Any) -> torch.Tensor:
        vectors = inner(self, tokens, *more)
        read.append(vectors.shape[1])
        return vectors

    monkeypatch.setattr(Classifier, "vectors", counted)
    list(model.stream(" ".join(["film"] * 50)))
    assert len(read) == 50
    assert max(read) <= 4  # the new token, and two before it for n-grams that end there; the start


def test_pieces_are_asked_for_one_by_one() -> None:
    asked = []

    def arriving() -> Iterator[str]:
        for piece in ("It was ", "gr", "eat"):
            asked.append(piece)
            yield piece

    model = classifier()
    stream = model.stream(arriving())
    assert next(stream)["piece"] == "It was "
    assert asked == ["It was "]
    *_, last = stream
    assert last["label"] == model.predict(["It was great"])[0]
    with pytest.raises(DataError, match="piece 1 is int"):
        next(model.stream([3]))  # type: ignore[list-item]


def test_a_bidirectional_network_recomputes_or_refuses() -> None:
    model = classifier(bidirectional=True)
    with pytest.raises(ConfigError, match="its states can't be carried; compute each prefix anew"):
        model.stream("a film")
    found = list(model.stream("It was great", recompute=True))
    expected = model.predict_proba(["It", "It was", "It was great"])
    values = [list(answer["probabilities"].values()) for answer in found]
    np.testing.assert_allclose(values, expected, atol=2e-6)


@pytest.mark.parametrize("characters", [0, 4])
def test_tags_after_each_word_are_those_of_the_prefix(characters: int) -> None:
    words, tags = ["the", "old", "cat", "sleeps", "at", "home"], ["D", "A", "N", "V", "P", "N"]
    settings = {"tagging": {"character_units": characters}}
    sizes = {"units": 6, "embedding": 5, "epochs": 2, "settings": settings}
    model = SequenceTagger(bidirectional=False, **sizes).fit([words] * 12, [tags] * 12)
    for sentence in (words, ["unseen", "cat", "unheard", "cat"]):
        found = list(model.stream(sentence))
        assert [answer["piece"] for answer in found] == sentence
        for step, answer in enumerate(found, 1):
            (record,) = answer["words"]  # no earlier word changes
            assert (record["position"], record["word"]) == (step, sentence[step - 1])
            assert record["tag"] == model.predict([sentence[:step]])[0][-1]
            p = model.predict_proba([sentence[:step]])[0][-1].max()
            assert abs(record["probability"] - p) < 2e-6
    both = SequenceTagger(bidirectional=True, **sizes).fit([words] * 12, [tags] * 12)
    with pytest.raises(ConfigError, match="bidirectional"):
        both.stream(words)
    *_, last = both.stream(words, recompute=True)
    assert last["words"][-1]["position"] == len(words)
    with pytest.raises(DataError, match="word 2 is"):
        list(model.stream(["a", " "]))


@pytest.mark.parametrize("level", ["word", "character", "subword"])
def test_generated_pieces_make_up_the_generated_text(level: str) -> None:
    texts = ["the cat sleeps at home, 很好", "the dog runs: at night"] * 20
    model = LanguageModel(level=level, units=8, embedding=8, layers=1, bptt=8, batch_size=4, epochs=1)
    model.fit(texts)
    for options in ({"seed": 3}, {"temperature": 0}, {"top_k": 2, "seed": 1}):
        whole = model.generate("the cat", 12, **options)
        pieces = list(model.stream("the cat", 12, **options))
        assert len(pieces) == 12
        assert model.generate("the cat", 0) + "".join(pieces) == whole
        assert not any("\ufffd" in piece for piece in pieces[:-1])
    with pytest.raises(ConfigError, match="temperature"):
        model.stream("the cat", 3, temperature=-1)
    with pytest.raises(ConfigError, match="set generate"):
        stream_of(model.bundle_, "the cat")


def test_forecasts_after_each_row_are_those_of_the_prefix(tmp_path: Path) -> None:
    wave = np.round(np.sin(np.arange(120) / 4), 3)
    columns = {"wave": wave, "cause": np.cos(np.arange(120) / 4)}
    model = Forecaster(target="wave", lookback=8, delay=2, units=4, epochs=1, batch_size=16).fit(columns)
    rows = [{name: float(column[at]) for name, column in columns.items()} for at in range(20)]
    expected = model.predict({name: column[:20] for name, column in columns.items()})
    path = tmp_path / "rows.csv"
    path.write_text("wave,cause\n" + "".join(f"{row['wave']!r},{row['cause']!r}\n" for row in rows))
    for given in (rows, {name: column[:20] for name, column in columns.items()}, path):
        found = list(model.stream(given))
        assert [answer["step"] for answer in found] == list(range(1, 21))
        assert [answer["forecasts"] for answer in found[:7]] == [[]] * 7
        values = [answer["forecasts"][0]["wave"] for answer in found[7:]]
        np.testing.assert_allclose(values, expected[7:], atol=1e-6)
        assert [answer["forecasts"][0]["row"] for answer in found[7:]] == list(range(8, 21))
    with pytest.raises(DataError, match="row 2 has the columns other"):
        list(model.stream([rows[0], {"other": 1.0}]))
    with pytest.raises(DataError, match="row 1 is int"):
        list(model.stream([3]))
