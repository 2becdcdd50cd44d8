"""The engine of a Ray cluster with several nodes: files, lost nodes, what is left, and addresses."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recurra.config import Config, updated
from recurra.engines import Call, Engine, joining, node, open_engine
from recurra.errors import ConfigError, DataError, DependencyError, TrainingError
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import load
from recurra.train.checkpoint import load_checkpoint
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord
from tests.conftest import ROOT, Files, Run

HERE = "tests.engines.runs"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
_FAST = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of three node processes on this machine, the first without processors."""
    ray = joining.library()
    joining.use_own_token()
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 << 20}
        with tempfile.TemporaryDirectory(prefix="rr", dir="/tmp") as folder:  # a short path, for sockets
            patch.setenv("RAY_TMPDIR", folder)
            Path(folder, "ray").mkdir()
            cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": _FAST})
            for _ in range(2):
                cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
            yield cluster
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def connected(nodes: Any) -> Iterator[None]:
    """This process is connected with the cluster already, as a program may be that calls recurra."""
    ray = joining.library()
    ray.init(address=nodes.address, log_to_driver=False, logging_level="CRITICAL")
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.fixture
def engine(nodes: Any) -> Iterator[Engine]:
    with open_engine("ray", address=nodes.address, preload=[HERE]) as opened:
        yield opened


def wait_until(holds: Callable[[], object]) -> None:
    limit = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.05)


def exists(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def parent_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0


def command_of(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def folders() -> set[Path]:
    """The folders of files of engines on the nodes, which are all this machine."""
    return set(Path(tempfile.gettempdir()).glob("recurra-ray-*"))


def test_files_go_to_the_nodes_and_paths_come_back(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_PIECE", 1000)
    file, folder, before = tmp_path / "a b.csv", tmp_path / "model", folders()
    file.write_bytes(os.urandom(2500))
    (folder / "in").mkdir(parents=True)
    (folder / "in/x.txt").write_text("x")
    (folder / "empty.txt").write_text("")
    seen: list[Any] = []

    def on_report(record: dict[str, Any]) -> bool:
        seen.append(record)
        return True

    argument = {"file": str(file), "folder": str(folder)}
    paths = [str(file), str(folder)]
    with open_engine("ray", address=nodes.address, preload=[HERE]) as engine:
        assert (engine.at_once, engine.threads) == (2, 1)
        found = engine.submit(Call(f"{HERE}:reads", argument, paths), on_report).result()
        at = Path(found.pop("at").strip("<>"))
        assert found == {
            "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
            "name": "a b.csv",
            "held": {"in/x.txt": "x", "empty.txt": ""},
            "asked": str(file),
        }
        assert seen == [{"at": str(file)}]
        assert at != file
        assert at.is_relative_to(*(folders() - before))
        file.write_bytes(b"changed")
        changed = engine.submit(Call(f"{HERE}:reads", argument, paths)).result()
        assert changed["digest"] == hashlib.sha256(b"changed").hexdigest()
        with pytest.raises(DataError) as error:
            engine.submit(Call(f"{HERE}:misses", {"file": str(file)}, [str(file)])).result()
        assert str(error.value) == f"{file}: the file is empty"
        with pytest.raises(DataError, match="can't be read"):
            engine.submit(Call(f"{HERE}:misses", {"file": "gone"}, ["gone"])).result()
    assert folders() == before


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "process of Ray", "node"])
def test_what_is_lost_is_made_again(
    nodes: Any, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], victim: str
) -> None:
    log = tmp_path / "log"
    log.touch()
    argument = {"log": str(log), "seconds": 1}
    calls = [Call(f"{HERE}:slow", {"number": number, **argument}) for number in range(5)]
    futures = [engine.submit(call) for call in calls]
    wait_until(lambda: len(log.read_text().splitlines()) >= 2)
    number, run = log.read_text().splitlines()[-1].split()
    worker = parent_of(int(run))
    process = parent_of(worker)
    raylet = parent_of(process)
    all_of_node = [raylet, *(each for each in processes() if parent_of(each) == raylet)]
    for number_of in {"worker": [worker], "process of Ray": [process], "node": all_of_node}[victim]:
        os.kill(number_of, signal.SIGKILL)
    assert [future.result(timeout=100) for future in futures] == [{"number": n} for n in range(5)]
    begun = [line.split()[0] for line in log.read_text().splitlines()]
    assert begun.count(number) == 2
    assert len(begun) == 6
    wait_until(lambda: not exists(int(run)))
    if victim == "node":
        by_raylet = {node.all_processes["raylet"][0].process.pid: node for node in nodes.worker_nodes}
        nodes.remove_node(by_raylet[raylet])
        nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
    assert tuple(capsys.readouterr()) == ("", "")  # Ray says nothing of it


def test_closing_leaves_no_process_and_no_file(nodes: Any, tmp_path: Path) -> None:
    begun, before = tmp_path / "begun", folders()
    (data := tmp_path / "data").write_text("1")
    with open_engine("ray", address=nodes.address, preload=[HERE]) as engine:
        argument = {"file": str(begun), "data": str(data)}
        futures = [engine.submit(Call(f"{HERE}:sleeps", argument, [str(data)])) for _ in range(3)]
        wait_until(lambda: begun.exists() and begun.read_text())
    wait_until(lambda: not exists(int(begun.read_text())))
    assert all(future.done() for future in futures)
    assert folders() == before


def test_addresses_that_are_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_JOIN", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"--address: what answers at 127.0.0.1:{port} is no Ray cluster"
        ):
            open_engine("ray", address=f"127.0.0.1:{port}")
    for address, reason in (
        (f"127.0.0.1:{port}", f"no Ray cluster answers at 127.0.0.1:{port} .Connection refused"),
        ("127.0.0.1:no", "no Ray cluster answers at 127.0.0.1:no"),
        ("ray://127.0.0.1:1", "is not the address of a Ray cluster"),
    ):
        with pytest.raises(ConfigError, match=reason):
            open_engine("ray", address=address)
    with pytest.raises(ConfigError, match="--address: is only for --engine ray"):
        open_engine("processes", address="127.0.0.1:6379")


def test_a_run_with_more_threads_than_a_node_has_processors_is_refused(
    nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_THREADS", "2")
    with pytest.raises(ConfigError, match="RECURRA_THREADS: a run has 2 threads"):
        open_engine("ray", address=nodes.address)


def test_without_ray_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"Ray is not installed; pip install 'recurra\[ray\]'"):
        open_engine("ray")


SMALL = [
    "--seeds",
    "2",
    "--no-baseline",
    "--set",
    "train.epochs=1",
    "--set",
    "model.units=4",
    "--set",
    "model.embedding=4",
]


def command(sample: Files, out: Path, *more: str) -> list[str]:
    recipes = ["--recipes", "lstm,gru", "--valid", str(sample.valid), "--test", str(sample.test)]
    return [
        sys.executable, "-m", "recurra", "compare", str(sample.train), *recipes, *SMALL,
        "--out", str(out), *more,
    ]  # fmt: skip


def runs_in(out: Path) -> list[dict[str, Any]]:
    """The finished runs, without their times and memory."""
    runs = [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    for run in runs:
        for name in ("seconds", "cpu_seconds", "memory"):
            del run[name]
    return sorted(runs, key=lambda run: (run["arm"], run["seed"]))


@pytest.mark.slow
def test_a_comparison_on_a_cluster_is_that_of_one_process(
    nodes: Any, sample: Files, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_THREADS", "1")
    here, there = tmp_path / "here", tmp_path / "there"
    assert run(*command(sample, here, "--engine", "inline")[3:]).code == 0
    ran = subprocess.run(
        command(sample, there, "--json", "--engine", "ray", "--address", nodes.address),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert runs_in(there) == runs_in(here)
    assert len(runs_in(there)) == 4
    assert ran.stdout.count("\n") == 1
    assert json.loads(ran.stdout)
    assert "ray" not in ran.stderr.replace(str(tmp_path), "").lower(), "only recurra speaks"


class Stops(Reporter):
    """Calls a function at the end of an epoch, and notes the steps."""

    def __init__(self, epoch: int, stop: Callable[[], object]) -> None:
        self.epoch, self.stop, self.steps = epoch, stop, list[str]()

    def step(self, title: str) -> None:
        self.steps.append(title)

    def observer(self) -> Observer:
        reporter = self

        class Watching(Observer):
            def on_epoch(self, record: EpochRecord, improved: bool) -> None:
                if record.epoch == reporter.epoch:
                    reporter.stop()

        return Watching()


def trainers() -> list[int]:
    """The processes that train, of Ray Train."""
    return [each for each in processes() if b"RayTrainWorker" in command_of(each)]


@pytest.mark.slow
def test_a_training_on_a_cluster_is_that_of_one_machine_also_after_a_process_was_killed(
    connected: None, sample: Files, small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_THREADS", "1")
    config, before = updated(small_config, {"train": {"epochs": 3, "patience": 3}}), folders()
    here, there = tmp_path / "here", tmp_path / "there"

    def fit(out: Path, reporter: Reporter, **more: Any) -> Fitted:
        rows = {"valid": sample.valid, "baseline": False}
        return fit_files(sample.train, config, out, **rows, workers=2, reporter=reporter, **more)

    def kill() -> None:
        os.kill(trainers()[0], signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"process [01] of the training, on .*, has ended") as error:
        fit(there, Stops(1, kill), engine="ray")
    assert "\n" not in str(error.value)
    assert not trainers()
    _, saved = load_checkpoint(there / "training" / "checkpoint.safetensors")
    assert len(saved["state"]["history"]) == 1
    reporter, alone = Stops(0, kill), Stops(0, kill)
    found, expected = fit(there, reporter, resume=True, engine="ray"), fit(here, alone)
    assert (there / "model.safetensors").read_bytes() == (here / "model.safetensors").read_bytes()
    assert reporter.steps == alone.steps
    assert found.as_json().keys() == expected.as_json().keys()
    assert [each.metrics for each in found.outcome.history] == [
        each.metrics for each in expected.outcome.history
    ]
    for name in ("config.yaml", "source.json", "tokenizer.json", "profile.json", "README.md"):
        assert (there / name).read_text() == (here / name).read_text()
    for each in (found, expected):
        del each.bundle.metrics["training"]["seconds"]
    assert found.bundle.metrics == expected.bundle.metrics
    assert found.bundle.metrics == {**load(there).metrics, "training": found.bundle.metrics["training"]}
    assert "recurra-ray-" not in (there / "report.html").read_text()
    assert folders() == before


def test_more_processes_than_the_cluster_has_processors_are_refused(
    connected: None, sample: Files, small_config: Config, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="3 processes with 1 processor each don't fit on the nodes"):
        fit_files(sample.train, small_config, tmp_path / "out", workers=3, engine="ray")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_cluster_of_the_command(sample: Files, tmp_path: Path) -> None:
    out, place = tmp_path / "out", Path(tempfile.mkdtemp(prefix="rr"))
    ran = subprocess.Popen(
        command(sample, out, "--engine", "ray", "--jobs", "2", "--seeds", "50", "--no-stop-early"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(place), "HOME": str(tmp_path)},
    )  # fmt: skip
    runs = out / "runs.jsonl"
    # The last line may be that of a run which is not counted yet.
    wait_until(lambda: (runs.exists() and runs.read_bytes().count(b"\n") >= 2) or ran.poll() is not None)
    mine = [each for each in processes() if str(place).encode() in command_of(each)]
    assert len(mine) > 2
    os.killpg(ran.pid, signal.SIGINT)
    said = ran.communicate(timeout=60)[0]
    assert ran.returncode == 130, said
    assert "kept: the same command resumes" in said or "finished runs are kept" in said
    assert "ray" not in said.lower().replace("--engine ray", "").replace(str(tmp_path).lower(), "")
    wait_until(lambda: not any(map(exists, mine)))
    assert not list(place.iterdir())
    assert not (tmp_path / ".ray").exists(), "Ray writes a token there, unless it has one"
    place.rmdir()
