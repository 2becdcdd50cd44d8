"""Saves the state of a training and resumes from it, bit for bit. A checkpoint contains:

model/NAME           the weights
best/NAME            the best weights so far, after the first validation
optimizer/N/KEY      the optimizer's state of the N-th trained weight
average/NAME         the average of the weights, if there is one
carried/NAME         the objective's state
rng/cpu, rng/cuda    the states of the training's random generators, which draw the dropout masks
N/carried, N/rng     the same of the N-th of several processes, from 1
(JSON)               TrainState, and the settings that must be equal when training resumes
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recurra.config import TrainConfig
from recurra.errors import BundleError, ConfigError, TrainingError
from recurra.generators import Generators
from recurra.train.average import WeightAverage
from recurra.train.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from recurra.train.distributed import ALONE, World
from recurra.train.objective import Objective
from recurra.train.state import TrainState

__all__ = ["Checkpoints"]

_FREE = ("epochs", "minutes", "checkpoint_minutes", "tensorboard", "pretrained")
"""Settings that may differ when training resumes: they have no effect on the steps already made.

``pretrained`` is among them since it is a path; the fingerprint covers the file's contents.
"""


class Checkpoints:
    """Writes checkpoints of a training and restores them.

    Args:
        folder: the directory of ``checkpoint.safetensors``; if None, no checkpoints are written.
        model: saved, and restored in place.
        optimizer: saved, and restored in place.
        objective: its state is saved and restored.
        generators: their states are saved and restored.
        config: the settings; when training resumes they must equal those of the checkpoint.
        batches_per_epoch: must equal that of the checkpoint too, since the position is counted in batches.
        fingerprint: describes what else training depends on (data, tokenizer, model). If it is a JSON
            object, an error names the entries that differ.
        average: saved, and restored in place.
        world: the processes that train together. The first one reads and writes the file; the others send
            what is theirs, and get what they need. Their number must equal that of the checkpoint.
    """

    def __init__(
        self,
        folder: Path | None,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        objective: Objective,
        generators: Generators,
        config: TrainConfig,
        batches_per_epoch: int,
        fingerprint: str,
        average: WeightAverage | None = None,
        world: World = ALONE,
    ) -> None:
        self.path = None if folder is None else folder / FILE_NAME
        self.model = model
        self.optimizer = optimizer
        self.objective = objective
        self.generators = generators
        self.average = average
        self.world = world
        self.epochs = config.epochs
        self.settings: dict[str, Any] = {
            "train": config.model_dump(mode="json"),
            "batches_per_epoch": batches_per_epoch,
            "fingerprint": fingerprint,
        }
        if world.size > 1:
            self.settings["workers"] = world.size
        self._every = config.checkpoint_minutes * 60
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether ``checkpoint_minutes`` have passed since the last checkpoint."""
        return self.path is not None and time.monotonic() - self._saved_at >= self._every

    def save(self, state: TrainState) -> None:
        """Checks that the weights are finite and writes a checkpoint.

        Raises:
            OutputError: the file can't be written; the previous checkpoint is kept.
            TrainingError: a weight is not finite; the previous checkpoint is kept.
        """
        self._require_finite_weights(state)
        own = self._own()
        others = self.world.gathered(own)
        if self.path is None:
            return
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in (state.best_weights or {}).items()}
        if self.average is not None:
            tensors |= {f"average/{name}": tensor for name, tensor in self.average.state_dict().items()}
        tensors |= own
        for rank, theirs in enumerate(others, 1):
            tensors |= {f"{rank}/{name}": tensor for name, tensor in theirs.items()}
        values: dict[str, Any] = {}
        for index, entries in self.optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{key}"] = value
                else:
                    values[f"{index}/{key}"] = value
        save_checkpoint(
            self.path, tensors, {"settings": self.settings, "optimizer": values, "state": state.to_json()}
        )
        self._saved_at = time.monotonic()

    def restore(self, state: TrainState) -> None:
        """Restores model, optimizer, objective, random generators and ``state`` from the checkpoint.

        Raises:
            BundleError: the checkpoint is missing or damaged.
            ConfigError: it was made with other settings, data or another model; the message says which.
        """
        tensors: dict[str, Tensor] = {}
        saved: dict[str, Any] = {}
        if self.world.leads:
            if self.path is None:
                raise ConfigError(
                    "there is no folder to resume from", hint="pass the folder of the checkpoint"
                )
            tensors, saved = load_checkpoint(self.path)
        try:
            if self.world.leads:
                self._require_same_settings(saved["settings"])
                state.best_weights = _below(tensors, "best/") or None
                if self.average is not None:
                    self.average.load_state_dict(_below(tensors, "average/"))
            saved = self.world.told(saved)
            tensors = self.world.sent(
                {name: each for name, each in tensors.items() if not name.startswith(("best/", "average/"))}
            )
            self._load_weights(_below(tensors, "model/"))
            self._load_optimizer(_below(tensors, "optimizer/"), saved["optimizer"])
            state.load_json(saved["state"])
            own = tensors if self.world.leads else _below(tensors, f"{self.world.rank}/")
            self.objective.load_state_dict(_below(own, "carried/"))
            for device in self._devices():
                name = f"rng/{device.type}"
                if name in own or device.type == "cpu":  # the checkpoint may be of another device
                    self.generators.on(device).set_state(own[name])
        except KeyError as error:
            raise BundleError(
                f"the checkpoint has no {error.args[0]}", where=self.path, hint="delete it and train again"
            ) from error

    def _own(self) -> dict[str, Tensor]:
        """What belongs to this process alone."""
        own = {f"carried/{name}": tensor for name, tensor in self.objective.state_dict().items()}
        for device in self._devices():
            own[f"rng/{device.type}"] = self.generators.on(device).get_state()
        return own

    def _devices(self) -> set[torch.device]:
        """The devices whose generators a step may use."""
        return {torch.device("cpu"), next(self.model.parameters()).device}

    def _require_finite_weights(self, state: TrainState) -> None:
        for name, weight in self.model.named_parameters():
            if not bool(torch.isfinite(weight).all()):
                epoch = state.epoch if state.batch else max(1, state.epoch - 1)
                raise TrainingError(
                    f"the weight {name} is not finite in epoch {epoch}, after step {state.step:,}",
                    hint="lower train.learning_rate or set train.clip_norm",
                )

    def _require_same_settings(self, before: Mapping[str, Any]) -> None:
        differences = []
        for name, now in self.settings["train"].items():
            old = before["train"].get(name)
            if name not in _FREE and old != now:
                differences.append(f"train.{name} was {old}, now {now}")
        if before["train"]["epochs"] > self.epochs:
            differences.append(
                f"train.epochs was {before['train']['epochs']}, now {self.epochs} (it can only be increased)"
            )
        differences += _fingerprint_differences(before["fingerprint"], self.settings["fingerprint"])
        old, now = before["batches_per_epoch"], self.settings["batches_per_epoch"]
        if old != now and not differences:
            differences.append(f"an epoch had {old} batches, now {now}")
        processes = before.get("workers", 1)
        if processes != self.world.size:
            raise ConfigError(
                f"the checkpoint was made by {processes} processes, now there are {self.world.size}: "
                "dropout and rounding depend on their number",
                where=self.path,
                hint=f"resume with --workers {processes}, or train without --resume",
            )
        if differences:
            raise ConfigError(
                f"the checkpoint was made with other settings: {', '.join(differences)}",
                where=self.path,
                hint="resume with the same settings and data as before, or train without --resume",
            )

    def _load_weights(self, saved: Mapping[str, Tensor]) -> None:
        current = self.model.state_dict()
        differences = sorted(
            f"{name} was {_shape(saved.get(name))}, now {_shape(current.get(name))}"
            for name in saved.keys() | current.keys()
            if _shape(saved.get(name)) != _shape(current.get(name))
        )
        if differences:
            raise ConfigError(
                f"the checkpoint is of another model: {', '.join(differences[:3])}",
                where=self.path,
                hint="resume with the same model settings as before, or train without --resume",
            )
        self.model.load_state_dict(dict(saved))

    def _load_optimizer(self, saved: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        layout = self.optimizer.state_dict()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for name, value in [*saved.items(), *values.items()]:
            index, _, key = name.partition("/")
            parameter = parameters[int(index)]
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                # In the memory layout of the weight, which the fused kernels assume.
                value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": layout["param_groups"]})


def _fingerprint_differences(before: str, now: str) -> list[str]:
    """Describes how two fingerprints differ, entry by entry if both are JSON objects."""
    if before == now:
        return []
    old_entries, new_entries = _json_object(before), _json_object(now)
    if old_entries is None or new_entries is None:
        return ["the data, the tokenizer or the model differ"]
    old, new = _flatten(old_entries), _flatten(new_entries)
    return [
        f"{key} was {_short(old.get(key))}, now {_short(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names start with ``prefix``, with the prefix removed."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))
