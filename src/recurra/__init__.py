"""Train, measure and explain recurrent networks on sequences, mainly texts.

Public names are imported on first use, so that `import recurra` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recurra.tasks.registry import TASKS

if TYPE_CHECKING:
    from recurra import datasets, torch
    from recurra.cells import CellSpec, register_cell
    from recurra.comparison.call import compare
    from recurra.config import Config
    from recurra.datasets import pad_sequences
    from recurra.errors import RecurraError
    from recurra.export.write import export_model
    from recurra.layers import GRU, LSTM, Embedding, Recurrent, SimpleRNN, load_keras
    from recurra.runtime import deterministic
    from recurra.store import Bundle
    from recurra.tasks.classification.estimator import TextClassifier
    from recurra.tasks.continuing import continue_files
    from recurra.tasks.deciding import decide_files
    from recurra.tasks.explain_rows import explain
    from recurra.tasks.forecasting.estimator import Forecaster
    from recurra.tasks.language.estimator import LanguageModel
    from recurra.tasks.memory import memory
    from recurra.tasks.monitoring import monitor_files
    from recurra.tasks.scoring import predict_files
    from recurra.tasks.settings import build_config
    from recurra.tasks.tagging.estimator import SequenceTagger
    from recurra.tasks.use import nearest
    from recurra.tasks.versus import compare_models
    from recurra.torch import accelerate
    from recurra.tuning.call import tune

__all__ = [
    "GRU",
    "LSTM",
    "Bundle",
    "CellSpec",
    "Config",
    "Embedding",
    "Forecaster",
    "LanguageModel",
    "RecurraError",
    "Recurrent",
    "SequenceTagger",
    "SimpleRNN",
    "TextClassifier",
    "accelerate",
    "build_config",
    "compare",
    "compare_models",
    "continue_files",
    "datasets",
    "decide_files",
    "deterministic",
    "explain",
    "export_model",
    "load_keras",
    "memory",
    "monitor_files",
    "nearest",
    "pad_sequences",
    "predict_files",
    "register_cell",
    "torch",
    "tune",
]

_HOMES = {
    "Bundle": "recurra.store",
    "CellSpec": "recurra.cells",
    "Config": "recurra.config",
    "Embedding": "recurra.layers",
    "GRU": "recurra.layers",
    "LSTM": "recurra.layers",
    "RecurraError": "recurra.errors",
    "Recurrent": "recurra.layers",
    "SimpleRNN": "recurra.layers",
    "accelerate": "recurra.torch",
    "build_config": "recurra.tasks.settings",
    "compare": "recurra.comparison.call",
    "compare_models": "recurra.tasks.versus",
    "continue_files": "recurra.tasks.continuing",
    "decide_files": "recurra.tasks.deciding",
    "deterministic": "recurra.runtime",
    "explain": "recurra.tasks.explain_rows",
    "export_model": "recurra.export.write",
    "load_keras": "recurra.layers",
    "memory": "recurra.tasks.memory",
    "monitor_files": "recurra.tasks.monitoring",
    "nearest": "recurra.tasks.use",
    "pad_sequences": "recurra.datasets",
    "predict_files": "recurra.tasks.scoring",
    "register_cell": "recurra.cells",
    "tune": "recurra.tuning.call",
    **{task.estimator: f"{task.package}.estimator" for task in TASKS},
}


def __getattr__(name: str) -> Any:
    if name in ("datasets", "torch"):
        return importlib.import_module(f"recurra.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
