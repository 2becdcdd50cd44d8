"""Settings from the recipe, the file, --set and the options; later ones take precedence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recurra.cli.options import chosen_config
from recurra.errors import ConfigError


def test_later_settings_take_precedence(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("recipe: gru\nmodel: {units: 7, dropout: 0.5}\ndata: {group: a}\n", encoding="utf-8")
    config = chosen_config(None, path, ["model.dropout=0.25"], "movie", True)
    assert (config.recipe, config.model.cell) == ("gru", "gru")
    assert (config.model.units, config.model.dropout) == (7, 0.25)
    assert (config.data.group, config.data.skip_bad_rows) == ("movie", True)
    assert chosen_config("lstm", path, None).recipe == "lstm"
    assert chosen_config("lstm", path, None).model.cell == "lstm"
    assert chosen_config(None, None, None).recipe == "default"


def test_the_settings_of_a_model_can_be_used_again(tmp_path: Path) -> None:
    first = chosen_config("stacked-gru", None, ["train.seed=9"])
    (tmp_path / "config.yaml").write_text(first.to_yaml(), encoding="utf-8")
    assert chosen_config(None, tmp_path / "config.yaml", None) == first


@pytest.mark.parametrize("recipe", ["[1]", "nothing", "5"])
def test_an_unknown_recipe_in_a_file_is_an_error(tmp_path: Path, recipe: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"recipe: {recipe}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="there is no recipe"):
        chosen_config(None, path, None)


def test_the_task_is_given_or_follows_from_target_recipe_or_file(tmp_path: Path) -> None:
    def task(**options: Any) -> tuple[str, str | None]:
        built = chosen_config(options.pop("recipe", None), None, None, **options)
        return built.task, built.recipe

    assert task(data=Path("a.csv")) == ("classify", "default")
    assert task(data=Path("a.conllu.gz")) == ("tag", "tagger")
    assert task(data=Path("a.csv"), task="lm") == ("lm", "language-model")
    assert task(data=Path("a.csv"), target="T") == ("forecast", "forecaster")
    assert task(recipe="character-model") == ("lm", "character-model")
    assert task(recipe="stacked-gru", task="forecast") == ("forecast", "stacked-gru")
    assert chosen_config(None, None, None, target="T").series.target == "T"
    with pytest.raises(ConfigError, match="series are for the task forecast, not for classify"):
        chosen_config(None, None, None, target="T", task="classify")


def test_a_task_or_recipe_that_is_set_is_honoured(tmp_path: Path) -> None:
    built = chosen_config(None, None, ["task=lm"], data=Path("a.csv"))
    assert (built.task, built.recipe, built.model.layers) == ("lm", "language-model", 2)
    built = chosen_config(None, None, ["recipe=gru"], data=Path("a.csv"))
    assert (built.task, built.recipe, built.model.cell) == ("classify", "gru", "gru")
    assert chosen_config(None, None, ["recipe=character-model"]).task == "lm"
    assert chosen_config("gru", None, ["recipe=gru", "task=classify"], task="classify").recipe == "gru"
    path = tmp_path / "c.yaml"
    path.write_text("task: lm\nlanguage: {bptt: 7}\n", encoding="utf-8")
    built = chosen_config(None, path, None, data=Path("a.csv"))
    assert (built.recipe, built.language.bptt) == ("language-model", 7)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"settings": ["task=lm"], "task": "tag"}, "--task is tag, but --set task is lm"),
        ({"settings": ["recipe=gru"], "recipe": "lstm"}, "--recipe is lstm, but --set recipe is gru"),
        ({"settings": ["task=classfy"]}, "setting task = 'classfy': input should be 'classify', 'tag', 'lm'"),
        ({"settings": ["task=[1]"]}, "setting task = '[1]': input should be"),
        ({"settings": ["recipe=[1]"]}, "there is no recipe '[1]'"),
    ],
)
def test_a_contradiction_or_an_unknown_name_is_one_line(given: dict[str, Any], said: str) -> None:
    recipe = given.pop("recipe", None)
    with pytest.raises(ConfigError) as caught:
        chosen_config(recipe, None, **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_task_of_the_file_that_contradicts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("task: lm\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"--task is tag, but .*c.yaml: task is lm"):
        chosen_config(None, path, None, task="tag")
