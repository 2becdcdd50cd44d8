"""What is compared reads as it is typed, and what can't be read is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from recurra.comparison.arms import parse_arms
from recurra.errors import ConfigError
from recurra.tasks.settings import build_config, recipe_under


def test_the_course_s_arms(tmp_path: Path) -> None:
    typed = "simple-rnn, lstm,gru,bi-lstm,stacked-lstm,lstm+recurrent-dropout"
    typed += ",lstm+pretrained,lstm+pretrained-tuned"
    arms = parse_arms(typed, tmp_path)
    assert [arm.name for arm in arms] == [
        "SimpleRNN", "LSTM", "GRU", "Bidirectional LSTM", "Stacked LSTM", "LSTM + recurrent dropout",
        "LSTM + pretrained embedding, frozen", "LSTM + pretrained embedding, tuned",
    ]  # fmt: skip
    built = [build_config(recipe_under(arm.recipe, *arm.settings), *arm.settings) for arm in arms]
    assert [config.model.recurrent_dropout for config in built] == [0, 0, 0, 0, 0, 0.2, 0, 0]
    assert [config.train.freeze for config in built][-2:] == [True, False]
    assert built[-1].train.pretrained == str(tmp_path)
    assert built[1].train.pretrained is None


def test_any_setting_goes_on_top() -> None:
    first, second = parse_arms(
        "lstm+model.units=[32,64]+train.learning_rate=0.01,gru+model.bidirectional=true"
    )
    assert first.settings == ({"model": {"units": [32, 64]}}, {"train": {"learning_rate": 0.01}})
    assert first.name == "LSTM + model.units=[32,64] + train.learning_rate=0.01"
    assert second.name == "GRU + bidirectional"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("lstm,gruu", "did you mean gru?"),
        ("lstm", "name two recipes"),
        ("", "name two recipes"),
        ("lstm,gru,lstm", "lstm is named twice"),
        ("lstm,lstm+dropout", "there is no technique 'dropout' (in 'lstm+dropout')"),
        ("lstm,lstm+pretrained", "give --pretrained EMB"),
        ("lstm,lstm+", "there is no technique ''"),
        ("lstm,lstm+=3", "is not KEY=VALUE"),
    ],
)
def test_bad_arms_are_one_line(typed: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_arms(typed)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
