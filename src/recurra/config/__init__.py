"""The settings that all tasks share, each with its default, its range and its meaning."""

from recurra.config.data import DataConfig, TextSettings, TokenizerConfig
from recurra.config.model import ModelConfig
from recurra.config.settings import (
    Config,
    load_recipe,
    merged_settings,
    parse_set,
    read_settings,
    recipe_names,
    setting_error,
    updated,
)
from recurra.config.train import TrainConfig

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "TextSettings",
    "TokenizerConfig",
    "TrainConfig",
    "load_recipe",
    "merged_settings",
    "parse_set",
    "read_settings",
    "recipe_names",
    "setting_error",
    "updated",
]
