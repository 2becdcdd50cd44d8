"""Bundles to directories and back: whole or not at all, checked file by file.

MODEL/
├── manifest.json       format version, size and SHA-256 of the files below, and what training began from
├── config.yaml         every setting, every default written out
├── model.safetensors   the weights
├── metrics.json        figures, and what was fitted after training, such as a temperature
├── tokenizer.json, labels.json ...         what the task needs besides
├── history.csv, report.html, README.md     for people
└── training/           checkpoint (may be deleted; `fit --resume` needs it)
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch

from recurra.config import Config, read_settings
from recurra.errors import BundleError, OutputError
from recurra.store.base import Bundle
from recurra.tasks.kinds import KINDS

__all__ = [
    "FORMAT",
    "TRAINING",
    "check_writable",
    "fingerprint",
    "is_bundle",
    "load",
    "load_as",
    "save",
    "weights_digest",
]

FORMAT = 1
TRAINING = "training"
_MANIFEST = "manifest.json"
_CONFIG, _WEIGHTS, _METRICS = _NEEDED = ("config.yaml", "model.safetensors", "metrics.json")

B = TypeVar("B", bound=Bundle)


def is_bundle(folder: Path) -> bool:
    """Whether a finished model lies in ``folder``."""
    return (folder / _MANIFEST).is_file()


def check_writable(folder: Path) -> None:
    """Refuse now what ``save`` would refuse after hours of training.

    Raises:
        OutputError: the place can't be written, or is a directory of something else.
    """
    folder = folder.absolute()
    if folder.exists() and not is_bundle(folder):
        foreign = (
            [f.name for f in folder.iterdir() if f.name != TRAINING] if folder.is_dir() else [folder.name]
        )
        if foreign:
            raise OutputError("holds other files than a model", where=folder, hint="give another --out")
    parent = next(place for place in folder.parents if place.exists())
    try:
        tempfile.TemporaryFile(dir=folder if folder.exists() else parent).close()
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise OutputError(
            f"can't be written ({error.strerror})", where=folder, hint="give another --out"
        ) from error


def save(bundle: Bundle, folder: Path, extras: Mapping[str, str] | None = None) -> None:
    """Write ``bundle`` to ``folder``, all or nothing; a former model there is replaced as a whole.

    What lies in ``folder/training`` is kept.

    Args:
        bundle: the model.
        folder: the directory to become.
        extras: further text files by name, such as ``report.html``.

    Raises:
        OutputError: the place can't be written, or is a directory of something else.
    """
    folder = folder.absolute()
    check_writable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise OutputError(f"can't be written ({error.strerror})", where=folder.parent) from error
    try:
        _write(bundle, staging, dict(extras or {}))
        staging.chmod(0o755)
        if folder.exists():
            _swap(staging, folder)
        else:
            staging.rename(folder)
    except OSError as error:
        raise OutputError(f"can't be written ({error.strerror})", where=folder) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(new: Path, folder: Path) -> None:
    """Put ``new`` in the place of ``folder``; ``folder`` is back where it was if that fails."""
    retired = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    former = retired / folder.name
    folder.rename(former)
    try:
        if (former / TRAINING).exists():
            (former / TRAINING).rename(new / TRAINING)
        new.rename(folder)
    except OSError:
        if (new / TRAINING).exists():
            (new / TRAINING).rename(former / TRAINING)
        former.rename(folder)
        retired.rmdir()
        raise
    shutil.rmtree(retired)


def _write(bundle: Bundle, folder: Path, extras: dict[str, str]) -> None:
    weights = {name: value.detach().cpu().contiguous() for name, value in bundle.model.state_dict().items()}
    try:
        safetensors.torch.save_file(weights, folder / _WEIGHTS)
        (folder / _WEIGHTS).chmod(0o644)  # safetensors makes it readable by its owner alone
    except safetensors.SafetensorError as error:
        raise OutputError(f"can't be written ({error})", where=folder / _WEIGHTS) from error
    own = bundle.files()
    texts = {
        _CONFIG: bundle.config.to_yaml(),
        _METRICS: json.dumps(bundle.kept_metrics(), ensure_ascii=False, indent=1) + "\n",
        **own,
        **extras,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    files = {name: fingerprint(folder / name) for name in (*_NEEDED, *own)}
    manifest = {"format": FORMAT, "task": bundle.task, "files": files}
    if bundle.pretrained is not None:
        manifest["pretrained"] = bundle.pretrained
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Bundle:
    """The model saved in ``folder``, after its files were checked against the manifest.

    Raises:
        BundleError: no model is there, a file is missing, cut short or changed, or the format is newer.
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
    config = Config.build(read_settings(folder / _CONFIG), where=folder / _CONFIG)
    own = {
        name: (folder / name).read_text(encoding="utf-8") for name in manifest["files"] if name not in _NEEDED
    }
    metrics = json.loads((folder / _METRICS).read_text(encoding="utf-8"))
    try:
        bundle = KINDS[config.task].rebuild(config, own, metrics)
    except KeyError as error:
        raise BundleError(
            f"{error.args[0]} is missing", where=folder, hint="copy the whole directory again"
        ) from error
    try:
        weights = safetensors.torch.load_file(folder / _WEIGHTS)
        bundle.model.load_state_dict(weights)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise BundleError(f"doesn't fit the settings ({error})", where=folder / _WEIGHTS) from error
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise BundleError("holds weights that are not finite", where=folder / _WEIGHTS)
    bundle.pretrained = manifest["pretrained"]
    if bundle.pretrained is not None and config.train.freeze:
        bundle.model.freeze(1 + bundle.pretrained["layers"])
    bundle.model.eval()
    return bundle


def load_as(kind: type[B], folder: Path) -> B:
    """As ``load``, of a task that is known.

    Raises:
        BundleError: as ``load``, or the model is of another task.
    """
    found = load(folder)
    if not isinstance(found, kind):
        raise BundleError(f"is a model of task {found.task}, and one of {kind.task} is needed", where=folder)
    return found


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BundleError("there is no such model directory", where=folder)
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        version, files = manifest["format"], manifest["files"]
    except FileNotFoundError:
        unfinished = (folder / TRAINING).is_dir()
        raise BundleError(
            "training has not finished here" if unfinished else "no model is in this directory",
            where=folder,
            hint="go on with recurra fit ... --resume" if unfinished else "give the --out of a recurra fit",
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BundleError("is damaged", where=folder / _MANIFEST, hint="copy the directory again") from error
    pretrained = manifest.get("pretrained")
    sound = pretrained is None or (isinstance(pretrained, dict) and isinstance(pretrained.get("layers"), int))
    # A name is of a file in the directory itself, wherever the manifest came from.
    sound = sound and isinstance(files, dict) and all(Path(name).name == name for name in files)
    if not isinstance(version, int) or not sound:
        raise BundleError("is damaged", where=folder / _MANIFEST, hint="copy the directory again")
    if version > FORMAT:
        raise BundleError(
            f"format {version} is newer than this recurra reads ({FORMAT})",
            where=folder,
            hint="install a newer recurra",
        )
    return {"format": version, "files": files, "pretrained": pretrained}


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as the manifest holds them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights of the model saved in ``folder``, as its manifest has it."""
    return str(_read_manifest(folder)["files"][_WEIGHTS]["sha256"])
