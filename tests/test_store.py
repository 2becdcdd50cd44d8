"""A model on disk: what is saved comes back, what is damaged is refused, nothing is half-written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from recurra import store
from recurra.errors import BundleError, OutputError
from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.fit import Fitted
from recurra.tasks.use import load

TEXTS = ["It was great.", "I expected a dull film but it was a delight", "", "zzz qqq", "unknown " * 90]


@pytest.fixture
def folder(trained: Fitted, tmp_path: Path) -> Path:
    """A copy of the trained model that a test may damage."""
    return Path(shutil.copytree(trained.folder, tmp_path / "model"))


def test_a_model_answers_the_same_once_loaded(trained: Fitted) -> None:
    loaded = load(trained.folder)
    np.testing.assert_array_equal(predict_texts(loaded, TEXTS), predict_texts(trained.bundle, TEXTS))
    assert loaded.config == trained.bundle.config
    assert loaded.assets.labels == trained.bundle.assets.labels
    assert loaded.temperature == trained.bundle.temperature


def test_the_directory_holds_what_the_design_lists(trained: Fitted) -> None:
    names = {path.name for path in trained.folder.iterdir()}
    assert names == {
        "manifest.json", "config.yaml", "model.safetensors", "tokenizer.json", "labels.json",
        "metrics.json", "source.json", "profile.json", "history.csv", "report.html", "README.md", "training",
    }  # fmt: skip


def test_no_file_is_a_pickle(trained: Fitted) -> None:
    for path in trained.folder.rglob("*"):
        if path.is_file():
            head = path.read_bytes()[:4]
            assert not head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")), (
                path
            )


@pytest.mark.parametrize(
    "name", ["config.yaml", "model.safetensors", "tokenizer.json", "labels.json", "metrics.json"]
)
@pytest.mark.parametrize("harm", ["missing", "truncated", "changed"])
def test_a_damaged_file_is_refused_by_name(folder: Path, name: str, harm: str) -> None:
    path = folder / name
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        load(folder)


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"format": "1", "files": {}}', '{"format": 1, "files": 3}']
)
def test_a_damaged_manifest_is_refused(folder: Path, manifest: str) -> None:
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(BundleError, match="damaged"):
        load(folder)


def test_a_newer_format_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(BundleError, match=r"format 99 is newer .* install a newer recurra"):
        load(folder)


def test_weights_of_another_shape_or_not_finite_are_refused(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    for harm in ("shape", "nan"):
        bad = torch.zeros(3, 3) if harm == "shape" else weights["head.weight"] * float("nan")
        safetensors.torch.save_file({**weights, "head.weight": bad}, folder / "model.safetensors")
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"]["model.safetensors"] = store.fingerprint(folder / "model.safetensors")
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleError, match="doesn't fit" if harm == "shape" else "not finite"):
            load(folder)


def test_an_empty_or_absent_directory_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such model directory"):
        load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="no model is in this directory"):
        load(tmp_path)
    (tmp_path / "training").mkdir()
    with pytest.raises(BundleError, match="no model is in this directory"):
        load(tmp_path)  # killed before the first checkpoint: there is nothing to resume
    (tmp_path / "training" / "checkpoint.safetensors").touch()
    with pytest.raises(BundleError, match="--resume"):
        load(tmp_path)


def test_saving_again_replaces_the_model_and_keeps_the_training_state(folder: Path, trained: Fitted) -> None:
    (folder / "training" / "mark").write_text("here")
    (folder / "old.txt").write_text("of the former model")
    store.save(trained.bundle, folder, {"README.md": "new"})
    assert (folder / "README.md").read_text() == "new"
    assert (folder / "training" / "mark").read_text() == "here"
    assert not (folder / "old.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_directory_of_something_else_is_never_touched(tmp_path: Path, trained: Fitted) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other files than a model"):
        store.save(trained.bundle, tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="holds other files than a model"):
        store.save(trained.bundle, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis.txt"]


@pytest.mark.parametrize("moment", ["weights", "swap"])
def test_a_full_disk_leaves_the_former_model(
    folder: Path, trained: Fitted, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    if moment == "weights":
        monkeypatch.setattr("safetensors.torch.save_file", full)
    else:
        rename = Path.rename

        def fail_on_new(self: Path, target: Path) -> Path:
            return full() if target == folder and "new" in self.name else rename(self, target)  # type: ignore[return-value]

        monkeypatch.setattr("recurra.directories._exchange", lambda one, other: False)
        monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(OutputError, match="No space left"):
        store.save(trained.bundle, folder, {"README.md": "new"})
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert (folder / "training").is_dir()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    load(folder)
