"""The settings that all tasks share, each with its default, its range and its meaning."""

from recurra.config.sections import (
    Choice,
    DataConfig,
    ExpertsConfig,
    Fraction,
    ModelConfig,
    Section,
    TokenizerConfig,
    Width,
)
from recurra.config.settings import (
    Config,
    TextConfig,
    load_recipe,
    merged_settings,
    parse_set,
    read_settings,
    recipe_names,
    setting_error,
    updated,
)
from recurra.config.training import TrainConfig
from recurra.config.unlabeled import UnlabeledConfig

__all__ = [
    "Choice",
    "Config",
    "DataConfig",
    "ExpertsConfig",
    "Fraction",
    "ModelConfig",
    "Section",
    "TextConfig",
    "TokenizerConfig",
    "TrainConfig",
    "UnlabeledConfig",
    "Width",
    "load_recipe",
    "merged_settings",
    "parse_set",
    "read_settings",
    "recipe_names",
    "setting_error",
    "updated",
]
