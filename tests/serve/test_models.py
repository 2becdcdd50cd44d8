"""Several models and versions from one directory, and new bundles that take the place of former ones."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from recurra import TextClassifier
from recurra.errors import BundleError, ConfigError
from recurra.serve import running
from recurra.serve.models import Models
from recurra.tasks.use import load
from tests.conftest import Fitted
from tests.serve.conftest import Client


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    """A model with other classes."""
    model = TextClassifier("lstm", units=4, embedding=4, epochs=1)
    return model.fit(["yes it is", "no it is not"] * 20, ["yes", "no"] * 20)


def label(client: Client, path: str = "/predict") -> str:
    found: str = client.post(path, {"inputs": "it is"}).json[0][0]["label"]
    return found


def until(condition: Any) -> None:
    for _ in range(1_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_names_come_from_the_directories(trained: Fitted, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "many" / "a")
    for version in ("2", "10"):
        shutil.copytree(trained.folder, tmp_path / "many" / "b" / version)
    (tmp_path / "many" / "notes").mkdir()
    (tmp_path / "many" / "notes" / "a.txt").write_text("no model")
    models = Models.named([tmp_path / "many", f"c={trained.folder}"])
    models.load()
    assert models.names() == ["a", "b", "c"]
    assert models.versions("a") == ["1"]
    assert models.versions("b") == ["2", "10"]
    newest, former = models.get("b"), models.get("b", "2")
    assert newest and newest.version == "10"  # noqa: PT018
    assert former and former.version == "2"  # noqa: PT018
    assert models.get("b", "3") is None
    assert models.get("d") is None


def test_what_is_no_model_is_refused(trained: Fitted, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such model directory"):
        Models.named([tmp_path / "nothing"])
    with pytest.raises(BundleError, match="no model is in this directory"):
        Models.named([tmp_path])
    with pytest.raises(ConfigError, match="two models are called 'model'"):
        Models.named([trained.folder, trained.folder])
    with pytest.raises(ConfigError, match="is no name for a model"):
        Models.named([f"a/b={trained.folder}"])
    with pytest.raises(ConfigError, match="no model to serve"):
        Models.named([])


def test_a_new_bundle_takes_the_place_without_a_lost_request(
    trained: Fitted, other: TextClassifier, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained.folder, folder)
    with running([folder], refresh=0.05) as address:
        client, stop = Client(address), threading.Event()
        found: list[tuple[int, str]] = []

        def ask() -> None:
            while not stop.is_set():
                answer = client.post("/predict", {"inputs": "it is"})
                found.append((answer.status, answer.json[0][0]["label"]))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(found) > 10)
        other.save(folder)
        until(lambda: found[-1][1] in ("yes", "no"))
        stop.set()
        for thread in threads:
            thread.join()
        assert {status for status, _ in found} == {200}
        assert {name for _, name in found} & {"pos", "neg"}
        assert 'recurra_reloads_total{model="model"} 1.0' in client.get("/metrics").body.decode()


def test_a_damaged_bundle_is_reported_and_the_former_one_answers(
    trained: Fitted, other: TextClassifier, tmp_path: Path
) -> None:
    folder, said = tmp_path / "model", []
    shutil.copytree(trained.folder, folder)
    models = Models.named([folder], warn=said.append)
    models.load()
    other.save(folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-8])
    models.refresh()
    models.refresh()
    assert len(said) == 1
    assert "the former one answers" in said[0]
    model = models.get()
    assert model
    assert set(model.bundle.assets.labels.names) == {"pos", "neg"}
    other.save(folder)
    models.refresh()
    model = models.get()
    assert model
    assert set(model.bundle.assets.labels.names) == {"yes", "no"}


def test_a_new_version_is_served_and_a_removed_one_is_not(
    trained: Fitted, other: TextClassifier, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained.folder, folder / "1")
    models = Models.named([folder])
    models.load()
    other.save(folder / "2")
    models.refresh()
    assert models.versions("model") == ["1", "2"]
    newest = models.get("model")
    assert newest
    assert newest.bundle.assets.labels.names == load(folder / "2").assets.labels.names
    shutil.rmtree(folder / "1")
    for _ in range(2):
        models.refresh()
    assert models.versions("model") == ["2"]
    shutil.rmtree(folder / "2")
    for _ in range(3):
        models.refresh()
    assert models.versions("model") == ["2"]  # the last one goes on answering


def test_addresses_of_versions(trained: Fitted, other: TextClassifier, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "m" / "1")
    other.save(tmp_path / "m" / "2")
    with running([tmp_path / "m"], refresh=0) as address:
        client = Client(address)
        assert label(client) in ("yes", "no")
        assert label(client, "/models/m/versions/1/predict") in ("pos", "neg")
        assert label(client, "/models/m/versions/2/predict") in ("yes", "no")
        assert client.get("/models").json == [{"name": "m", "versions": ["1", "2"], "task": "classify"}]
        assert client.get("/v2/models/m/versions/1").json["parameters"]["classes"] == ["neg", "pos"]
        assert client.get("/v2/models/m/versions/3/ready").status == 404


def test_no_answer_has_a_path_of_the_machine(client: Client, models: Path) -> None:
    paths = {str(models), str((models / "reviews").resolve()), "/tmp", str(Path.cwd())}
    asked = [
        client.get(path)
        for path in (
            "/",
            "/v2",
            "/models",
            "/metrics",
            "/openapi.json",
            *(f"/models/{name}/card" for name in ("reviews", "mixed", "tags", "words", "waves")),
            "/v2/models/reviews",
            "/models/nothing/card",
        )
    ]
    inputs = ("a", "", 3, ["a" * 10, None], {"wave": [1]})
    for name, given in itertools.product(("reviews", "tags", "words", "waves"), inputs):
        asked.append(client.post(f"/models/{name}/predict", {"inputs": given}))
    for answer in asked:
        assert not [path for path in paths if path.encode() in answer.body], answer.body[:300]


def test_the_last_version_that_works_stays(trained: Fitted, tmp_path: Path) -> None:
    shutil.copytree(trained.folder, tmp_path / "model" / "1")
    models = Models.named([tmp_path / "model"])
    models.load()
    shutil.copytree(trained.folder, tmp_path / "model" / "2")
    (tmp_path / "model" / "2" / "model.safetensors").write_bytes(b"damaged")
    shutil.rmtree(tmp_path / "model" / "1")
    for _ in range(3):
        models.refresh()
    assert models.versions("model") == ["1"]
