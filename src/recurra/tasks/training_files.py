"""The files that a network is trained on, also as JSON values for other processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.config import Config
from recurra.errors import ConfigError
from recurra.layers import compile_ahead
from recurra.store import AnyBundle
from recurra.tasks.base import Prepared, Task
from recurra.tasks.continuing import GoesOn
from recurra.tasks.registry import task_info
from recurra.tasks.reporter import Reporter
from recurra.tasks.training import may_use_kernels
from recurra.tasks.transfer import Pretrained, open_pretrained
from recurra.tasks.use import load

__all__ = ["TrainingFiles", "opened"]


@dataclass(frozen=True)
class TrainingFiles:
    """What a network is trained on; attributes are those of `recurra.tasks.fit.fit_files`."""

    data: Path
    valid: Path | None = None
    test: Path | None = None
    unlabeled: Path | None = None
    continued: tuple[Path, AnyBundle] | None = None

    def call(self, config: Config, resume: bool) -> dict[str, Any]:
        """Returns the arguments of `follow_files` as JSON values."""
        files = {"data": self.data, "valid": self.valid, "test": self.test, "unlabeled": self.unlabeled}
        if self.continued is not None:
            files["continued"] = self.continued[0]
        given = {name: str(path) for name, path in files.items() if path is not None}
        settings = {"task": config.task, **config.model_dump(mode="json", exclude_unset=True)}
        return {**given, "config": settings, "resume": resume}

    def paths(self, config: Config) -> list[str]:
        """Returns the paths among ``call`` of what the training reads, and of what a model began from."""
        given = [self.data, self.valid, self.test, self.unlabeled]
        found = [str(path) for path in given if path is not None]
        if config.train.pretrained is not None:
            found.append(config.train.pretrained)
        if self.continued is not None:
            folder, before = self.continued
            recorded = before.metrics.get("training", {})
            rows = [recorded.get(name) for name in ("data", "valid")]  # for what was forgotten of them
            found += [str(folder), *(path for path in rows if path and Path(path).is_file())]
        return list(dict.fromkeys(found))

    def read(
        self, task: Task[Any, Any], config: Config, reporter: Reporter
    ) -> tuple[Prepared[Any, Any, Any], Pretrained | None, GoesOn | None]:
        """Returns the data, and what the weights begin from."""
        pretrained, files = None, {"valid": self.valid, "test": self.test}
        if self.continued is None:
            config, pretrained = open_pretrained(config, unlabeled=self.unlabeled is not None)
        if may_use_kernels(config):
            compile_ahead(config.model.cell)
        if self.continued is not None and task.continued is not None:
            folder, before = self.continued
            prepared = task.continued(before, self.data, config, reporter, **files)
            return prepared, None, GoesOn.of(folder, before, len(prepared.assets.words()))
        if self.unlabeled is None:
            return task.prepare(self.data, config, reporter, **files), pretrained, None
        if task.prepare_with_unlabeled is None:
            hint = "leave it out, or pretrain a model of the texts for --pretrained"
            raise ConfigError(
                f"task {config.task} can't use unlabelled texts", where="--unlabeled", hint=hint
            )
        prepared = task.prepare_with_unlabeled(self.data, config, reporter, **files, unlabeled=self.unlabeled)
        return prepared, pretrained, None


def opened(
    data: str,
    config: dict[str, Any],
    valid: str | None = None,
    test: str | None = None,
    unlabeled: str | None = None,
    continued: str | None = None,
) -> tuple[TrainingFiles, Config]:
    """Returns files and settings, given what `TrainingFiles.call` returns, without ``resume``."""
    rest = [None if path is None else Path(path) for path in (valid, test, unlabeled)]
    before = None if continued is None else (Path(continued), load(Path(continued)))
    settings = task_info(str(config["task"])).config_class().model_validate(config)
    return TrainingFiles(Path(data), rest[0], rest[1], rest[2], before), settings
