"""Settings: defaults, ranges, merging, and error messages that suggest the closest key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recurra.config import load_recipe, parse_set, read_settings, recipe_names, updated
from recurra.errors import ConfigError
from recurra.tasks.settings import build_config, parse_assignment
from tests.conftest import ROOT

COURSE = {"simple-rnn", "lstm", "gru", "stacked-lstm", "bi-lstm", "stacked-gru"}

SECTIONS = [
    "recipe",
    "task",
    "data",
    "tokenizer",
    "unlabeled",
    "language",
    "tagging",
    "series",
    "model",
    "train",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def test_every_recipe_is_valid_and_records_its_name() -> None:
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


def test_later_settings_take_precedence_and_others_are_kept() -> None:
    config = build_config(load_recipe("lstm"), {"model": {"units": 7}}, parse_set("model.dropout=0.5"))
    assert (config.model.units, config.model.dropout, config.model.embedding) == (7, 0.5, 32)


def test_yaml_round_trip_writes_every_default(tmp_path: Path) -> None:
    config = build_config(load_recipe("stacked-gru"), {"train": {"class_weight": {"neg": 2.0}}})
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    again = read_settings(tmp_path / "config.yaml")
    assert build_config(again) == config
    assert list(again) == ["recipe", "task", "data", "tokenizer", "unlabeled", "predict", "model", "train"]
    assert set(again["train"]) == set(type(config.train).model_fields)


def test_a_section_of_another_task_is_an_error() -> None:
    with pytest.raises(ConfigError, match="tokenizer are for the task classify or lm, not for tag"):
        build_config({"task": "tag", "tokenizer": {"vocab_size": 10}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": {"unit": 3}}, "there is no setting 'model.unit'; did you mean model.units?"),
        ({"model": {"recurent_dropout": 0.1}}, "did you mean model.recurrent_dropout?"),
        ({"train": {"learningrate": 1}}, "did you mean train.learning_rate?"),
        ({"modle": {}}, "there is no setting 'modle'; did you mean model?"),
        ({"units": 3}, "there is no setting 'units'; did you mean model.units?"),
        ({"model": {"units": 0}}, "setting model.units = 0: input should be greater than or equal to 1"),
        ({"model": {"dropout": 1.0}}, "setting model.dropout = 1.0: input should be less than 1"),
        ({"model": {"cell": "ltsm"}}, "setting model.cell = 'ltsm': it should be one of gru, lstm"),
        ({"model": {"units": [1, 2], "layers": 3}}, "units has 2 entries, but layers = 3"),
        ({"model": {"units": [1, 2], "activation": ["tanh"]}}, "activation has 1 entries, but layers = 2"),
        ({"model": {"units": []}}, "input should be greater than or equal to 1"),
        ({"train": {"learning_rate": float("nan")}}, "setting train.learning_rate = nan"),
        ({"train": {"batch_size": "many"}}, "setting train.batch_size = 'many'"),
        ({"model": 3}, "setting model = 3"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(settings, where="c.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("c.yaml: ")
    assert "\n" not in str(caught.value)


NUMBERS = [
    "model.units", "model.layers", "model.dropout", "train.epochs", "train.seed", "train.clip_norm",
    "data.valid_fraction", "data.valid_rows", "tokenizer.vocab_size",
    "series.lookback", "series.horizon", "series.test_fraction", "series.missing",
]  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("typed", ["true", "False"])
def test_a_truth_value_is_no_number(name: str, typed: str, tmp_path: Path) -> None:
    section, key = name.split(".")
    base = {"task": "forecast"} if section == "series" else {}
    (tmp_path / "c.yaml").write_text(f"{section}:\n  {key}: {typed}\n", encoding="utf-8")
    truth = typed == "true"
    for settings in (
        parse_assignment(f"{name}={typed}"),
        read_settings(tmp_path / "c.yaml"),
        {section: {key: np.bool_(truth)}},
        {section: {key: [truth]}},
    ):
        with pytest.raises(
            ConfigError, match=f"setting {name} = .*: it should be a number, not a truth value"
        ):
            build_config(base, settings)
        with pytest.raises(ConfigError, match="it should be a number, not a truth value"):
            updated(build_config(base), settings)


def test_settings_that_are_true_or_false_and_numbers_of_numpy_are_taken() -> None:
    config = build_config(
        {"model": {"bidirectional": True, "units": [np.int64(3), 4], "dropout": np.float64(0.5)}},
        {"train": {"freeze": False, "epochs": np.int32(2)}, "data": {"header": True, "label": True}},
    )
    assert (config.model.bidirectional, config.model.units, config.model.dropout) == (True, [3, 4], 0.5)
    assert (config.train.freeze, config.train.epochs) == (False, 2)
    assert (config.data.header, config.data.label) == (True, "true")


def test_the_former_name_of_label_kind_means_the_same() -> None:
    old = {"data": {"task": "binary"}}
    assert build_config(old).data.label_kind == "binary"
    assert build_config(old, {"data": {"label_kind": "multilabel"}}).data.label_kind == "multilabel"
    assert build_config({"data": {"label_kind": "multilabel"}}, old).data.label_kind == "binary"


def test_an_unknown_recipe_suggests_the_closest() -> None:
    with pytest.raises(ConfigError, match="did you mean bi-lstm"):
        load_recipe("bilstm")


@pytest.mark.parametrize(
    "assignment", ["model.units", "=3", "model..units=3", "a=[1", "a=!!python/name:os.system"]
)
def test_an_invalid_assignment_is_an_error(assignment: str) -> None:
    with pytest.raises(ConfigError):
        parse_set(assignment)


@pytest.mark.parametrize(
    "content", ["- a\n- b\n", "a: [", "\x00", "!!python/object/apply:os.system ['true']", "1: 2"]
)
def test_an_invalid_settings_file_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        read_settings(path)


def test_a_missing_settings_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_settings(tmp_path / "nowhere.yaml")


@given(st.dictionaries(st.sampled_from([*SECTIONS, "other"]), json_values, max_size=3))
def test_any_settings_are_valid_or_give_a_one_line_error(settings: dict[str, Any]) -> None:
    message = ""
    try:
        config = build_config(settings)
    except ConfigError as error:
        message = str(error)
    else:
        assert build_config(yaml.safe_load(config.to_yaml())) == config
    assert "\n" not in message


@given(st.text(max_size=30))
def test_any_assignment_parses_or_is_an_error(assignment: str) -> None:
    try:
        parsed = parse_set(assignment)
    except ConfigError:
        return
    assert isinstance(parsed, dict)


@pytest.mark.parametrize(
    ("assignment", "section", "name", "value"),
    [
        ("data.text=review", "data", "text", ["review"]),
        ("data.text='review'", "data", "text", ["review"]),
        ("data.text=[review]", "data", "text", ["review"]),
        ("data.text=[title, 1, yes, 2024-01-31]", "data", "text", ["title", "1", "yes", "2024-01-31"]),
        ("data.text=0", "data", "text", ["0"]),
        ("data.text={a: 1}", "data", "text", ["{a: 1}"]),
        ("data.text=null", "data", "text", None),
        ("data.label=1", "data", "label", "1"),
        ("data.label=yes", "data", "label", "yes"),
        ("data.label=on", "data", "label", "on"),
        ("data.label=true", "data", "label", "true"),
        ("data.label=#tag: [x", "data", "label", "#tag: [x"),
        ("data.label=12:30", "data", "label", "12:30"),
        ("data.label=", "data", "label", None),
        ("data.label_separator=,", "data", "label_separator", ","),
        ("data.label_separator=|", "data", "label_separator", "|"),
        ("data.label_separator= ", "data", "label_separator", " "),
        ("data.label_separator=', '", "data", "label_separator", ", "),
        ("data.delimiter=;", "data", "delimiter", ";"),
        (r"data.delimiter=\t", "data", "delimiter", "\t"),
        (r'data.delimiter="\t"', "data", "delimiter", "\t"),
        ("data.header=no", "data", "header", False),
        ("data.header=on", "data", "header", True),
        ("model.units=[8, 4]", "model", "units", [8, 4]),
        ("model.cell=gru", "model", "cell", "gru"),
        ("train.learning_rate=1e-3", "train", "learning_rate", 0.001),
        ("train.class_weight={yes: 2, 1: 1e-1}", "train", "class_weight", {"yes": 2.0, "1": 0.1}),
        ("train.clip_norm=null", "train", "clip_norm", None),
    ],
)
def test_a_setting_is_read_as_it_is_typed(assignment: str, section: str, name: str, value: Any) -> None:
    config = build_config(parse_assignment(assignment))
    assert getattr(getattr(config, section), name) == value
    assert build_config(yaml.safe_load(config.to_yaml())) == config


def test_series_are_set_as_they_are_typed() -> None:
    names = ("series.time=2020", "series.inputs=t1", "series.target=yes", "series.lookback=12")
    config = build_config({"task": "forecast"}, *map(parse_assignment, names))
    series = config.series  # type: ignore[attr-defined]
    assert (series.time, series.inputs, series.target) == ("2020", ["t1"], "yes")
    again = build_config({"task": "forecast"}, parse_assignment("series.time=[date, hour]"))
    assert again.series.time == ["date", "hour"]  # type: ignore[attr-defined]


def test_a_settings_file_may_leave_out_quotes(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {text: review, label: 1, group: no}\ntrain: {class_weight: {on: 1, off: 2}}\n")
    config = build_config(read_settings(path))
    assert (config.data.text, config.data.label, config.data.group) == (["review"], "1", "no")
    assert config.train.class_weight == {"on": 1.0, "off": 2.0}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.seed=2024-13-45", "setting train.seed = '2024-13-45': input should be a valid integer"),
        ("train.seed=2024-01-31", "setting train.seed = '2024-01-31': input should be a valid integer"),
        ("train.seed=!!timestamp x", "a value does not have the form of its type"),
        ("train.seed=!!int x", "a value does not have the form of its type"),
        ("train.seed=!what x", "could not determine a constructor for the tag '!what'"),
        ("data.text=[a", "write data.text=NAME, or data.text='[NAME, NAME]' for several"),
        ("data.text=[[a]]", "write data.text=NAME, or data.text='[NAME, NAME]' for several"),
        ("data.header=perhaps", "write data.header=true or data.header=false"),
        ("model.units=a", "write one value, or a list: model.units='[A, B]'"),
        ("data.delimiter=ab", "should have at most 1 character"),
    ],
)
def test_a_value_that_does_not_fit_is_answered_with_what_does(
    tmp_path: Path, assignment: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(parse_assignment(assignment))
    assert message in str(caught.value)
    key, _, value = assignment.partition("=")
    section, _, name = key.partition(".")
    path = tmp_path / "c.yaml"
    path.write_text(f"{section}:\n  {name}: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        build_config(read_settings(path))
    assert "\n" not in str(caught.value)


def test_an_update_is_validated_and_keeps_what_was_set() -> None:
    config = build_config(load_recipe("lstm"))
    changed = updated(config, {"model": {"units": 7}, "data": {"valid_fraction": 0.5}})
    assert (changed.model.units, changed.data.valid_fraction, changed.model.embedding) == (7, 0.5, 32)
    assert changed.data.model_fields_set == {"valid_fraction"}
    assert config.model.units == 100
    assert updated(changed, {"model": {"units": 100}, "data": {"valid_fraction": 0.1}}) == config
    with pytest.raises(ConfigError, match=r"^setting data\.valid_fraction = 5: input should be less"):
        updated(config, {"data": {"valid_fraction": 5}})
    with pytest.raises(ConfigError, match=r"no setting 'model\.nits'; did you mean model\.units\?"):
        updated(config, {"model": {"nits": 7}})


def test_nothing_is_updated_without_validation() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert "model_copy(" not in path.read_text(encoding="utf-8"), f"{path}: use recurra.config.updated"


@pytest.mark.parametrize(
    ("task", "setting", "value", "message"),
    [
        ("classify", "model.units", [3, 0], "entry 2 is 0: input should be greater than or equal to 1"),
        ("classify", "model.units", [3, "x"], "entry 2 is 'x': input should be a valid integer"),
        ("classify", "model.dropout", [0.1, 2], "entry 2 is 2: input should be less than 1"),
        ("classify", "model.recurrent_dropout", [None], "entry 1 is None: input should be a valid number"),
        ("classify", "model.activation", ["tanh", "rellu"], "entry 2 is 'rellu': input should be 'tanh', "),
        ("forecast", "series.calendar", ["day", "hour"], "entry 2 is 'hour': input should be 'day'"),
        ("forecast", "series.missing", [-1, "x"], "entry 2 is 'x': input should be a valid number"),
        ("forecast", "series.time", ["a", None], "entry 2 is None: input should be a valid string"),
        ("lm", "language.cutoffs", [10, 0], "entry 2 is 0: input should be greater than or equal to 1"),
    ],
)
def test_the_wrong_entry_of_a_list_is_named(task: str, setting: str, value: Any, message: str) -> None:
    section, key = setting.split(".")
    with pytest.raises(ConfigError, match=rf"^setting {re.escape(setting)}: {re.escape(message)}"):
        build_config({"task": task}, {section: {key: value}})


@pytest.mark.parametrize(
    ("task", "setting", "value", "message"),
    [
        ("classify", "model.units", 0, "= 0: input should be greater than or equal to 1"),
        (
            "classify",
            "model.units",
            "x",
            "= 'x': .*; write one value, or a list: model.units=",
        ),
        ("classify", "model.activation", "rellu", "= 'rellu': input should be 'tanh', 'relu'"),
        ("forecast", "series.lookback", "2x", "= '2x': '2x' is not a duration"),
        ("forecast", "series.calendar", "day", r"= 'day': .*; write a list: series.calendar='\[A, B\]'"),
        ("forecast", "series.missing", 3, r"= 3: .*; write a list: series.missing='\[A, B\]'"),
        ("tag", "tagging.column", 0, "= 0: give upos, xpos, feats or the number of a column"),
    ],
)
def test_a_wrong_value_is_named_with_its_spelling(task: str, setting: str, value: Any, message: str) -> None:
    section, key = setting.split(".")
    with pytest.raises(ConfigError, match=rf"^setting {re.escape(setting)} {message}"):
        build_config({"task": task}, {section: {key: value}})
