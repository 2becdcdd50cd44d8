"""The search spaces: settings that exist, values that are valid, and what the user set left alone."""

from __future__ import annotations

import pytest

from recurra.config import merged_settings
from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS, task_info
from recurra.tasks.settings import build_config, recipe_under
from recurra.tuning.space import changes, names_in, space_of

TASK_NAMES = [task.name for task in TASKS]


@pytest.mark.parametrize("task", TASK_NAMES)
@pytest.mark.parametrize("end", [0, -1])
def test_both_ends_of_every_space_are_valid_settings(task: str, end: int) -> None:
    recipe = recipe_under(task_info(task).recipe, {"task": task})
    config, space = build_config(recipe), space_of(task)
    ends = {
        name: dimension.values[end] if dimension.values else (dimension.low, dimension.high)[end]
        for name, dimension in space.items()
    }
    built = build_config(recipe, changes(ends, config))
    for name, value in ends.items():
        section, key = name.split(".")
        expected = 0.0 if name == "model.recurrent_dropout" and built.model.cell == "sru" else value
        assert getattr(getattr(built, section), key) == expected
        assert len(space[name].why) > 10


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_default_recipe_has_a_place_in_its_space(task: str) -> None:
    config, space = build_config(recipe_under(task_info(task).recipe, {"task": task})), space_of(task)
    for name, dimension in space.items():
        section, key = name.split(".")
        near = dimension.nearest(getattr(getattr(config, section), key))
        assert dimension.distribution()._contains(dimension.distribution().to_internal_repr(near)), name


def test_numbers_go_to_the_nearest_of_the_dimension() -> None:
    space = space_of("classify")
    assert space["model.dropout"].nearest(0.27) == 0.3
    assert space["model.units"].nearest(1000) == 128
    assert space["tokenizer.vocab_size"].nearest(12_000) == 10_000
    assert space["train.learning_rate"].nearest(0.5) == 0.01


def test_what_the_user_set_is_not_varied() -> None:
    given = {"model": {"units": 64, "cell": "gru"}, "data": {}}
    space = space_of("classify", build_config(given), names_in(given))
    assert not {"model.units", "model.cell"} & set(space)
    assert "train.learning_rate" in space
    with pytest.raises(ConfigError, match="nothing to vary"):
        space_of("classify", fixed=list(space_of("classify")))


def test_layers_of_different_widths_and_pretrained_vectors_are_kept() -> None:
    stacked = build_config({"model": {"units": [8, 16]}})
    assert not {"model.units", "model.layers"} & set(space_of("classify", stacked))
    vectors = build_config({"train": {"pretrained": "words.txt", "pretrained_layers": True}})
    kept = {"model.embedding", "model.cell", "model.units", "model.layers", "model.bidirectional"}
    assert not kept & set(space_of("classify", vectors))


def test_a_cell_without_a_recurrent_product_has_no_recurrent_dropout() -> None:
    config = build_config({})
    for cell, expected in (("sru", 0.0), ("lstm", 0.3)):
        found = changes({"model.cell": cell, "model.recurrent_dropout": 0.3}, config)
        assert found["model"]["recurrent_dropout"] == expected
        build_config(merged_settings({}, found))
