"""Models on disk: written completely or not at all, and read after each file was checked.

MODEL/
├── manifest.json       format version, size and SHA-256 of the files below, origin of pretrained weights
├── config.yaml         all settings, defaults included
├── model.safetensors   the weights
├── metrics.json        metrics, and the temperature if one was fitted
├── tokenizer.json, labels.json, ngrams.safetensors ...     what the task needs besides
├── history.csv, report.html, README.md     for people
└── training/           checkpoint (may be deleted; `fit --resume` needs it)
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurra import directories
from recurra.config import Config, read_settings
from recurra.directories import Claim
from recurra.errors import BundleError, OutputError
from recurra.layers.network import Network
from recurra.printable import shortened

__all__ = [
    "FORMAT",
    "TRAINING",
    "AnyBundle",
    "Assets",
    "Bundle",
    "Saved",
    "claimed",
    "fingerprint",
    "has_checkpoint",
    "is_bundle",
    "pages",
    "read",
    "save",
    "stamp",
    "weights_digest",
]

FORMAT = 1
TRAINING = "training"
_MANIFEST = "manifest.json"
_CONFIG, _WEIGHTS, _METRICS = _NEEDED = ("config.yaml", "model.safetensors", "metrics.json")
_ARRAYS = ".safetensors"


class Assets(ABC):
    """What a task's network is built from besides the settings, and what its answers need."""

    @abstractmethod
    def files(self) -> dict[str, str]:
        """Returns the text files, by name, that hold the assets."""

    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Returns the arrays by name of each file of the assets that has arrays, ``NAME.safetensors``."""
        return {}

    def words(self) -> list[str]:
        """Returns the words of the embedding's rows, "" for a row that was never trained.

        Empty where the network has no vectors of words.
        """
        return []


C = TypeVar("C", bound=Config)
N = TypeVar("N", bound=Network)
A = TypeVar("A", bound=Assets)
Array = TypeVar("Array", Tensor, NDArray[Any])


@dataclass(kw_only=True)
class Bundle(Generic[C, N, A]):
    """A trained model with all that it needs to answer.

    Attributes:
        config: the settings it was trained with, with what was detected in the file.
        model: the network, on the CPU and in evaluation mode once loaded.
        assets: tokenizer, labels and the like.
        temperature: logits are divided by it before they become probabilities; None if it was not fitted.
        metrics: figures of the last test, as JSON values.
        pretrained: what training began from, as JSON values: ``name`` and ``sha256`` of the weights or
            vectors, ``layers`` (how many recurrent layers came with the embedding), and how much of the
            vocabulary it covered; None if it began from nothing.
    """

    config: C
    model: N
    assets: A
    temperature: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    pretrained: dict[str, Any] | None = None

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.config.task


AnyBundle: TypeAlias = Bundle[Any, Any, Any]
"""A bundle of any task."""


@dataclass(frozen=True)
class Saved:
    """The contents of a model's directory, checked against its manifest.

    Attributes:
        folder: the directory.
        settings: the nested dictionary of ``config.yaml``.
        files: the files of the assets by name: texts, and of a file of arrays, the arrays by name.
        weights: the network's weights by name.
        temperature, metrics, pretrained: as in `Bundle`.
    """

    folder: Path
    settings: dict[str, Any]
    files: dict[str, Any]
    weights: dict[str, Tensor]
    temperature: float | None
    metrics: dict[str, Any]
    pretrained: dict[str, Any] | None

    @property
    def config_path(self) -> Path:
        """The file of the settings, for messages."""
        return self.folder / _CONFIG

    def check_weights(self, outline: nn.Module) -> None:
        """Checks names, shapes and dtypes of the weights before a network takes memory.

        Args:
            outline: the network on the device ``meta``.

        Raises:
            BundleError: they are of another network.
        """
        expected = {name: _description(weight) for name, weight in outline.state_dict().items()}
        found = {name: _description(weight) for name, weight in self.weights.items()}
        for name in sorted(expected.keys() | found.keys()):
            here, there = found.get(name, "absent"), expected.get(name, "absent")
            if here != there:
                raise BundleError(
                    f"doesn't fit the settings: {name} is {here}, and {there} in the network",
                    where=self.folder / _WEIGHTS,
                    hint="copy the whole directory again",
                )

    def load_weights(self, model: nn.Module) -> None:
        """Copies the weights into ``model``, whose outline `check_weights` has checked.

        Raises:
            BundleError: they are not finite.
        """
        where = self.folder / _WEIGHTS
        model.load_state_dict(self.weights)
        if not all(bool(torch.isfinite(value).all()) for value in self.weights.values()):
            raise BundleError("holds weights that are not finite", where=where)


def is_bundle(folder: Path) -> bool:
    """Returns whether ``folder`` holds a finished model."""
    directories.recover(folder, TRAINING)
    return (folder / _MANIFEST).is_file()


def stamp(folder: Path) -> tuple[int, int] | None:
    """Returns what tells a model in ``folder`` from the one that replaces it; None if there is none."""
    if not is_bundle(folder):
        return None
    found = (folder / _MANIFEST).stat()
    return found.st_ino, found.st_mtime_ns


def has_checkpoint(folder: Path) -> bool:
    """Returns whether ``folder`` holds the checkpoint of a training."""
    return any((folder / TRAINING).glob("*.safetensors"))


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Context in which only this process may train and save a model in ``folder``.

    What a killed process left beside ``folder`` is removed.

    Raises:
        OutputError: another process trains there, a model can't be saved there, or it holds something else.
    """
    if folder.exists() and not is_bundle(folder):
        foreign = not folder.is_dir() or any(file.name != TRAINING for file in folder.iterdir())
        if foreign:
            raise OutputError("holds other files than a model", where=folder, hint="give another --out")
    with directories.claimed(folder, TRAINING) as claim:
        yield claim


def save(bundle: AnyBundle, folder: Path | Claim, extras: Mapping[str, str] | None = None) -> None:
    """Writes ``bundle`` to ``folder``, completely or not at all; a previous model there is replaced.

    ``folder/training`` is kept.

    Args:
        bundle: the model.
        folder: the directory, or the claim on it; its parents are created.
        extras: further text files by name, such as ``report.html``.

    Raises:
        OutputError: ``folder`` can't be written, holds something else than a model, or is being written by
            another process.
    """
    if isinstance(folder, Path):
        with claimed(folder) as claim:
            save(bundle, claim, extras)
        return
    with folder.replacing() as draft:
        _write(bundle, draft, dict(extras or {}))


def _write(bundle: AnyBundle, folder: Path, extras: dict[str, str]) -> None:
    weights = {name: value.detach().cpu().contiguous() for name, value in bundle.model.state_dict().items()}
    arrays = bundle.assets.arrays()
    with _written(folder / _WEIGHTS) as path:
        safetensors.torch.save_file(weights, path)
    for name, named in arrays.items():
        with _written(folder / name) as path:
            safetensors.numpy.save_file(named, path)
    own = bundle.assets.files()
    fitted = {} if bundle.temperature is None else {"temperature": bundle.temperature}
    texts = {
        _CONFIG: bundle.config.to_yaml(),
        _METRICS: json.dumps({**fitted, **bundle.metrics}, ensure_ascii=False, indent=1) + "\n",
        **own,
        **extras,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    files = {name: fingerprint(folder / name) for name in (*_NEEDED, *own, *arrays)}
    manifest = {"format": FORMAT, "task": bundle.task, "files": files}
    if bundle.pretrained is not None:
        manifest["pretrained"] = bundle.pretrained
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Context in which a file of arrays is written; safetensors makes it readable by its owner alone."""
    try:
        yield path
        path.chmod(0o644)
    except safetensors.SafetensorError as error:
        raise OutputError(f"can't be written ({error})", where=path) from error


def pages(folder: Path) -> dict[str, str]:
    """Returns the files for people in a model's directory, by name, as `save` takes them.

    Raises:
        BundleError: there is no model.
    """
    others = {_MANIFEST, *_read_manifest(folder)["files"]}
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in others]
    return {path.name: path.read_text(encoding="utf-8") for path in found}


def read(folder: Path) -> Saved:
    """Returns the contents of a model's directory after checking its files against the manifest.

    Raises:
        BundleError: there is no model, a file is missing or changed, or the format is newer.
    """
    manifest = _read_manifest(folder)
    for name in dict.fromkeys([*_NEEDED, *manifest["files"]]):
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{name} is missing", where=folder, hint="copy the whole directory again")
        if fingerprint(path) != manifest["files"].get(name):
            raise BundleError(
                "was changed or cut short since the model was saved",
                where=path,
                hint="copy the whole directory again, or fit anew",
            )
    weights = _read_arrays(folder / _WEIGHTS, safetensors.torch.load_file)
    metrics, temperature = _read_metrics(folder / _METRICS)
    return Saved(
        folder=folder,
        settings=read_settings(folder / _CONFIG),
        files={
            name: _read_arrays(path, safetensors.numpy.load_file)
            if path.suffix == _ARRAYS
            else _read_text(path)
            for name, path in ((name, folder / name) for name in manifest["files"])
            if name not in _NEEDED
        },
        weights=weights,
        temperature=temperature,
        metrics=metrics,
        pretrained=manifest["pretrained"],
    )


def _read_arrays(path: Path, load: Callable[[Path], dict[str, Array]]) -> dict[str, Array]:
    """Returns the arrays of a file by name."""
    try:
        return load(path)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = shortened(str(error), 200)
        raise BundleError(f"can't be read ({reason})", where=path) from error


def _read_text(path: Path) -> str:
    """Returns the text of a file of the model; that of a JSON file can be parsed and printed."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            # A lone surrogate, which JSON can write as \ud800, can't be encoded again.
            json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError, OSError) as error:
        reason = shortened(str(error), 200)
        raise BundleError(f"is damaged ({reason})", where=path, hint="copy the directory again") from error
    return text


def _read_metrics(path: Path) -> tuple[dict[str, Any], float | None]:
    """Returns the figures and the temperature of ``metrics.json``."""
    metrics = json.loads(_read_text(path))
    training = metrics.get("training", {}) if isinstance(metrics, dict) else None
    files = [training.get("data"), training.get("valid")] if isinstance(training, dict) else [0]
    if not all(name is None or isinstance(name, str) for name in files):
        raise BundleError("is damaged", where=path, hint="copy the directory again")
    temperature = metrics.pop("temperature", None)
    if temperature is not None and not (type(temperature) in (int, float) and 1e-3 <= temperature <= 1e3):
        raise BundleError(
            f"has a temperature of {shortened(repr(temperature), 40)}",
            where=path,
            hint="copy the directory again: it is a number between 0.001 and 1000",
        )
    return metrics, temperature


def _description(weight: Tensor) -> str:
    return f"{str(weight.dtype).removeprefix('torch.')} {tuple(weight.shape)}"


def _read_manifest(folder: Path) -> dict[str, Any]:
    directories.recover(folder, TRAINING)
    if not folder.is_dir():
        raise BundleError("there is no such model directory", where=folder)
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        version, files, pretrained = manifest["format"], manifest["files"], manifest.get("pretrained")
        sound = pretrained is None or (type(pretrained["layers"]) is int and pretrained["layers"] >= 0)
        # A name must be that of a file in the directory itself, since the manifest may come from anywhere.
        sound = sound and isinstance(files, dict) and all(Path(name).name == name for name in files)
        if not isinstance(version, int) or not sound:
            raise ValueError("format, files or pretrained are not of the right type")
    except FileNotFoundError:
        unfinished = has_checkpoint(folder)
        raise BundleError(
            "training has not finished here" if unfinished else "no model is in this directory",
            where=folder,
            hint="go on with recurra fit ... --resume" if unfinished else "give the --out of a recurra fit",
        ) from None
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise BundleError("is damaged", where=folder / _MANIFEST, hint="copy the directory again") from error
    if version > FORMAT:
        raise BundleError(
            f"format {version} is newer than this recurra reads ({FORMAT})",
            where=folder,
            hint="install a newer recurra",
        )
    return {"format": version, "files": files, "pretrained": pretrained}


def fingerprint(path: Path) -> dict[str, Any]:
    """Returns size and SHA-256 of a file, as in the manifest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def weights_digest(folder: Path) -> str:
    """Returns the SHA-256 of the weights of the model in ``folder``, from its manifest."""
    return str(_read_manifest(folder)["files"][_WEIGHTS]["sha256"])
