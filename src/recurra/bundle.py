"""A model on disk: a directory of settings, tokenizer, labels, weights and figures, without pickle.

MODEL/
├── manifest.json       format version, size and SHA-256 of the files below, and what training began from
├── config.yaml         every setting, every default written out
├── model.safetensors   the weights
├── tokenizer.json      a Hugging Face tokenizer
├── labels.json         the classes and the task
├── metrics.json        temperature and figures
├── history.csv, report.html, README.md     for people
└── training/           checkpoint (may be deleted; `fit --resume` needs it)
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from recurra.config import Config, read_settings
from recurra.errors import BundleError, OutputError
from recurra.models.classifier import Classifier
from recurra.text.labels import Labels
from recurra.text.source import Source
from recurra.text.tokenizer import TextTokenizer

__all__ = [
    "FORMAT",
    "TRAINING",
    "Bundle",
    "check_writable",
    "fingerprint",
    "is_bundle",
    "load",
    "save",
    "weights_digest",
]

FORMAT = 1
TRAINING = "training"
_MANIFEST = "manifest.json"
_CONFIG, _WEIGHTS, _TOKENIZER, _LABELS, _METRICS = _NEEDED = (
    "config.yaml",
    "model.safetensors",
    "tokenizer.json",
    "labels.json",
    "metrics.json",
)
_SOURCE = "source.json"


@dataclass
class Bundle:
    """All that a trained classifier needs to answer.

    Attributes:
        config: the settings it was trained with; ``data`` holds what was found in the file.
        tokenizer: text to token ids.
        labels: the classes, in the order of the model's outputs.
        model: the network, on the CPU, in evaluation mode once loaded.
        temperature: logits are divided by it before they become probabilities.
        metrics: figures of the last evaluation, as JSON values.
        source: how the training file was laid out; None where texts came from Python.
        pretrained: what training began from, as JSON values: ``name`` and ``sha256`` of the weights or
            vectors, ``layers`` (how many recurrent layers came with the embedding), and how much of the
            vocabulary it covered; None where it began from nothing.
    """

    config: Config
    tokenizer: TextTokenizer
    labels: Labels
    model: Classifier
    temperature: float = 1.0
    metrics: dict[str, Any] = field(default_factory=dict)
    source: Source | None = None
    pretrained: dict[str, Any] | None = None


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
            raise OutputError("holds other files than a model", where=folder, mend="give another --out")
    parent = next(place for place in folder.parents if place.exists())
    try:
        tempfile.TemporaryFile(dir=folder if folder.exists() else parent).close()
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise OutputError(
            f"can't be written ({error.strerror})", where=folder, mend="give another --out"
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
    metrics = {"temperature": bundle.temperature, **bundle.metrics}
    texts = {
        _CONFIG: bundle.config.to_yaml(),
        _LABELS: bundle.labels.to_json(),
        _METRICS: json.dumps(metrics, ensure_ascii=False, indent=1) + "\n",
        **({_SOURCE: bundle.source.to_json()} if bundle.source else {}),
        **extras,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    bundle.tokenizer.save(folder / _TOKENIZER)
    checked = [*_NEEDED, *([_SOURCE] if bundle.source else [])]
    files = {name: fingerprint(folder / name) for name in checked}
    manifest = {"format": FORMAT, "task": "classification", "files": files}
    if bundle.pretrained is not None:
        manifest["pretrained"] = bundle.pretrained
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Bundle:
    """The model saved in ``folder``, after its files were checked against the manifest.

    Raises:
        BundleError: no model is there, a file is missing, cut short or changed, or the format is newer.
    """
    manifest = _read_manifest(folder)
    for name in [*_NEEDED, *([_SOURCE] if _SOURCE in manifest["files"] else [])]:
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{name} is missing", where=folder, mend="copy the whole directory again")
        if fingerprint(path) != manifest["files"].get(name):
            raise BundleError(
                "was changed or cut short since the model was saved",
                where=path,
                mend="copy the whole directory again, or fit anew",
            )
    config = Config.build(read_settings(folder / _CONFIG), where=folder / _CONFIG)
    metrics = json.loads((folder / _METRICS).read_text(encoding="utf-8"))
    labels = Labels.from_json((folder / _LABELS).read_text(encoding="utf-8"))
    tokenizer = TextTokenizer.load(folder / _TOKENIZER, config.tokenizer)
    model = Classifier(config.model, tokenizer.vocab_size, len(labels.names), labels.task)
    try:
        weights = safetensors.torch.load_file(folder / _WEIGHTS)
        model.load_state_dict(weights)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise BundleError(f"doesn't fit the settings ({error})", where=folder / _WEIGHTS) from error
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise BundleError("holds weights that are not finite", where=folder / _WEIGHTS)
    source = None
    if _SOURCE in manifest["files"]:
        source = Source.from_json((folder / _SOURCE).read_text(encoding="utf-8"))
    pretrained = manifest["pretrained"]
    if pretrained is not None and config.train.freeze:
        model.freeze(1 + pretrained["layers"])
    temperature = float(metrics.pop("temperature"))
    return Bundle(config, tokenizer, labels, model.eval(), temperature, metrics, source, pretrained)


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
            mend="go on with recurra fit ... --resume" if unfinished else "give the --out of a recurra fit",
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BundleError("is damaged", where=folder / _MANIFEST, mend="copy the directory again") from error
    pretrained = manifest.get("pretrained")
    sound = pretrained is None or (isinstance(pretrained, dict) and isinstance(pretrained.get("layers"), int))
    if not isinstance(version, int) or not isinstance(files, dict) or not sound:
        raise BundleError("is damaged", where=folder / _MANIFEST, mend="copy the directory again")
    if version > FORMAT:
        raise BundleError(
            f"format {version} is newer than this recurra reads ({FORMAT})",
            where=folder,
            mend="install a newer recurra",
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
