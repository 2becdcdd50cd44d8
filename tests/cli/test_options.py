"""Settings from the recipe, the file, --set and the options; later ones take precedence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recurra.cli.options import build_config
from recurra.errors import ConfigError


def test_later_settings_take_precedence(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("recipe: gru\nmodel: {units: 7, dropout: 0.5}\ndata: {group: a}\n", encoding="utf-8")
    config = build_config(None, path, ["model.dropout=0.25"], "movie", True)
    assert (config.recipe, config.model.cell) == ("gru", "gru")
    assert (config.model.units, config.model.dropout) == (7, 0.25)
    assert (config.data.group, config.data.skip_bad_rows) == ("movie", True)
    assert build_config("lstm", path, None).recipe == "lstm"
    assert build_config("lstm", path, None).model.cell == "lstm"
    assert build_config(None, None, None).recipe == "default"


def test_the_settings_of_a_model_can_be_used_again(tmp_path: Path) -> None:
    first = build_config("stacked-gru", None, ["train.seed=9"])
    (tmp_path / "config.yaml").write_text(first.to_yaml(), encoding="utf-8")
    assert build_config(None, tmp_path / "config.yaml", None) == first


@pytest.mark.parametrize("recipe", ["[1]", "nothing", "5"])
def test_an_unknown_recipe_in_a_file_is_an_error(tmp_path: Path, recipe: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"recipe: {recipe}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="there is no recipe"):
        build_config(None, path, None)


def test_the_task_is_given_or_follows_from_target_recipe_or_file(tmp_path: Path) -> None:
    def task(**options: Any) -> tuple[str, str | None]:
        built = build_config(options.pop("recipe", None), None, None, **options)
        return built.task, built.recipe

    assert task(data=Path("a.csv")) == ("classify", "default")
    assert task(data=Path("a.conllu.gz")) == ("tag", "tagger")
    assert task(data=Path("a.csv"), task="lm") == ("lm", "language-model")
    assert task(data=Path("a.csv"), target="T") == ("forecast", "forecaster")
    assert task(recipe="character-model") == ("lm", "character-model")
    assert task(recipe="stacked-gru", task="forecast") == ("forecast", "stacked-gru")
    assert build_config(None, None, None, target="T").series.target == "T"
    with pytest.raises(ConfigError, match="series has settings of forecast, and the task is classify"):
        build_config(None, None, None, target="T", task="classify")
