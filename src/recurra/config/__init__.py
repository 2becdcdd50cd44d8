"""Every setting, in one place: its default, its range and what it means."""

from recurra.config.data import DataConfig, TokenizerConfig
from recurra.config.language import LanguageConfig
from recurra.config.model import ModelConfig
from recurra.config.section import Task
from recurra.config.series import SeriesConfig
from recurra.config.settings import (
    Config,
    describe_settings,
    load_recipe,
    parse_set,
    read_settings,
    recipe_names,
    recipe_under,
)
from recurra.config.tagging import TaggingConfig
from recurra.config.train import TrainConfig

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
]
