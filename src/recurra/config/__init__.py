"""Every setting, in one place: its default, its range and what it means."""

from recurra.config.data import DataConfig, TokenizerConfig
from recurra.config.model import ModelConfig
from recurra.config.section import Task
from recurra.config.settings import (
    Config,
    describe_settings,
    load_recipe,
    parse_set,
    read_settings,
    recipe_names,
    recipe_under,
    setting_meaning,
    updated,
)
from recurra.config.train import TrainConfig
from recurra.tasks.forecasting.settings import SeriesConfig
from recurra.tasks.language.settings import LanguageConfig
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = [
    "Config",
    "DataConfig",
    "LanguageConfig",
    "ModelConfig",
    "SeriesConfig",
    "TaggingConfig",
    "Task",
    "TokenizerConfig",
    "TrainConfig",
    "describe_settings",
    "load_recipe",
    "parse_set",
    "read_settings",
    "recipe_names",
    "recipe_under",
    "setting_meaning",
    "updated",
]
