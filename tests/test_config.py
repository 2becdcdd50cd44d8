"""Settings: defaults, ranges, merging, and complaints that name the nearest known key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recurra.config import load_recipe, parse_set, read_settings, recipe_names
from recurra.errors import ConfigError
from recurra.tasks.settings import build_config

COURSE = {"simple-rnn", "lstm", "gru", "stacked-lstm", "bi-lstm", "stacked-gru"}

SECTIONS = ["recipe", "task", "data", "tokenizer", "language", "tagging", "series", "model", "train"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def test_every_recipe_is_valid_and_knows_its_name() -> None:
    assert set(recipe_names()) >= COURSE | {"default", "sample"}
    for name in recipe_names():
        assert build_config(load_recipe(name)).recipe == name


def test_the_course_recipes_have_the_course_settings() -> None:
    built = {name: build_config(load_recipe(name)) for name in COURSE}
    for config in built.values():
        assert (config.tokenizer.vocab_size, config.tokenizer.max_tokens) == (10_000, 500)
        assert config.model.embedding == 32
    assert built["simple-rnn"].train.optimizer == "rmsprop"
    assert built["simple-rnn"].train.batch_size == 32
    assert built["lstm"].model.layer_units == [100]
    assert (built["lstm"].train.patience, built["lstm"].train.epochs) == (10, 10)
    assert built["stacked-lstm"].model.layer_units == [32, 32, 32]
    assert built["stacked-gru"].model.layer_units == [32, 64]
    assert built["stacked-gru"].model.layer_activations == ["tanh", "relu"]
    assert built["stacked-gru"].model.recurrent_dropout == 0.5


def test_later_settings_win_and_siblings_stay() -> None:
    config = build_config(load_recipe("lstm"), {"model": {"units": 7}}, parse_set("model.dropout=0.5"))
    assert (config.model.units, config.model.dropout, config.model.embedding) == (7, 0.5, 32)


def test_yaml_round_trip_writes_every_default(tmp_path: Path) -> None:
    config = build_config(load_recipe("stacked-gru"), {"train": {"class_weight": {"neg": 2.0}}})
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    again = read_settings(tmp_path / "config.yaml")
    assert build_config(again) == config
    assert list(again) == ["recipe", "task", "data", "tokenizer", "model", "train"]
    assert set(again["train"]) == set(type(config.train).model_fields)


def test_a_section_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="tokenizer has settings of classify and lm, and the task is tag"):
        build_config({"task": "tag", "tokenizer": {"vocab_size": 10}})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": {"unit": 3}}, "there is no setting 'model.unit'; did you mean model.units?"),
        ({"model": {"recurent_dropout": 0.1}}, "did you mean model.recurrent_dropout?"),
        ({"train": {"learningrate": 1}}, "did you mean train.learning_rate?"),
        ({"modle": {}}, "there is no setting 'modle'; did you mean model?"),
        ({"units": 3}, "there is no setting 'units'; did you mean model.units?"),
        ({"model": {"units": 0}}, "setting model.units = 0: input should be greater than or equal to 1"),
        ({"model": {"dropout": 1.0}}, "setting model.dropout = 1.0: input should be less than 1"),
        ({"model": {"cell": "ltsm"}}, "setting model.cell = 'ltsm': input should be 'simple_rnn', 'lstm' or"),
        ({"model": {"units": [1, 2], "layers": 3}}, "units lists 2 layers where there are 3"),
        ({"model": {"units": [1, 2], "activation": ["tanh"]}}, "activation lists 1 layers where there are 2"),
        ({"model": {"units": []}}, "input should be greater than or equal to 1"),
        ({"train": {"learning_rate": float("nan")}}, "setting train.learning_rate = nan"),
        ({"train": {"batch_size": "many"}}, "setting train.batch_size = 'many'"),
        ({"model": 3}, "setting model = 3"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(settings, where="c.yaml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("c.yaml: ")
    assert "\n" not in str(caught.value)


def test_the_former_name_of_label_kind_means_the_same() -> None:
    old = {"data": {"task": "binary"}}
    assert build_config(old).data.label_kind == "binary"
    assert build_config(old, {"data": {"label_kind": "multilabel"}}).data.label_kind == "multilabel"
    assert build_config({"data": {"label_kind": "multilabel"}}, old).data.label_kind == "binary"


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean bi-lstm"):
        load_recipe("bilstm")


@pytest.mark.parametrize(
    "assignment", ["model.units", "=3", "model..units=3", "a=[1", "a=!!python/name:os.system"]
)
def test_a_broken_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError):
        parse_set(assignment)


@pytest.mark.parametrize(
    "content", ["- a\n- b\n", "a: [", "\x00", "!!python/object/apply:os.system ['true']", "1: 2"]
)
def test_a_broken_settings_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        read_settings(path)


def test_a_missing_settings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "nowhere.yaml")


@given(st.dictionaries(st.sampled_from([*SECTIONS, "other"]), json_values, max_size=3))
def test_whatever_is_asked_builds_or_is_refused_in_one_line(settings: dict[str, Any]) -> None:
    complaint = ""
    try:
        config = build_config(settings)
    except ConfigError as error:
        complaint = str(error)
    else:
        assert build_config(yaml.safe_load(config.to_yaml())) == config
    assert "\n" not in complaint


@given(st.text(max_size=30))
def test_any_assignment_parses_or_is_refused(assignment: str) -> None:
    try:
        found = parse_set(assignment)
    except ConfigError:
        return
    assert isinstance(found, dict)
