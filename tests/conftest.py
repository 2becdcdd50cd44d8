"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

# Set before recurra is imported: the tests must not use or fill the user's token cache.
os.environ["RECURRA_CACHE"] = tempfile.mkdtemp(prefix="recurra-tests-")
# The kernel cache has a folder for each version of the sources: all workers and later runs share it.
os.environ.setdefault("RECURRA_KERNEL_CACHE", str(Path(__file__).parents[1] / ".pytest_cache/kernels"))

from recurra.cli.main import main
from recurra.config import Config, load_recipe
from recurra.io.sample import write_sample
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.settings import build_config

# A shell ignores Ctrl-C in what it starts in the background, and children of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadlines: the tests check behaviour, not speed, and must pass on a busy machine.
settings.register_profile("recurra", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("recurra")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data; skips the test if it is missing."""
    folder = Path(os.environ.get("RECURRA_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no folder of real data (set RECURRA_DATA)")
    return folder


class Files(NamedTuple):
    """The three files of a small sample."""

    train: Path
    valid: Path
    test: Path


SMALL = {
    "tokenizer": {"vocab_size": 500, "max_tokens": 60},
    "model": {"units": 12, "embedding": 8, "dropout": 0.1, "recurrent_dropout": 0.1},
    "train": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01},
}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A few hundred rows of the built-in sample."""
    folder = write_sample(tmp_path_factory.mktemp("sample"), "en", train=300, valid=60, test=80)
    return Files(*(folder / f"{part}.csv" for part in ("train", "valid", "test")))


@pytest.fixture(scope="session")
def small_config() -> Config:
    """Settings that train in about a second."""
    return build_config(load_recipe("lstm"), SMALL)


@pytest.fixture(scope="session")
def trained(sample: Files, small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A small trained and saved model. Tests must not change its directory."""
    out = tmp_path_factory.mktemp("trained") / "model"
    return fit_files(sample.train, small_config, out, valid=sample.valid, test=sample.test)


class Ran(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Returns a function that runs ``recurra`` in this process with the given arguments."""

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr("sys.argv", ["recurra", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        output = capsys.readouterr()
        return Ran(code, output.out, output.err)

    return call
