"""Engines: the same results, reports that stop a run, and what a run that fails leaves of the others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recurra.engines import ENGINES, Call, Engine, RunError, open_engine
from recurra.errors import ConfigError
from tests.conftest import ROOT

HERE = "tests.engines.runs"
forks = pytest.mark.skipif(not Path("/proc").exists(), reason="elsewhere no process is forked and killed")


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RECURRA_THREADS", "3")
        with open_engine(request.param, 2, preload=[HERE]) as opened:
            yield opened


def test_results_come_back_by_call(engine: Engine) -> None:
    futures = [engine.submit(Call(f"{HERE}:half", {"number": number})) for number in (0.2, 7)]
    assert [future.result() for future in futures] == [
        {"half": 0.1, "threads": "3"},
        {"half": 3.5, "threads": "3"},
    ]


def test_a_report_is_answered_and_can_stop_the_run(engine: Engine) -> None:
    seen: list[Any] = []

    def on_report(record: dict[str, Any]) -> bool:
        seen.append(record["number"])
        return len(seen) < 3

    call = Call(f"{HERE}:counts", {"to": 5})
    assert engine.submit(call, on_report).result() == {"stopped": 2}
    assert seen == [0, 1, 2]
    assert engine.submit(call).result() == {"stopped": None}


@pytest.mark.parametrize(
    ("kind", "error"), [("settings", ConfigError), ("diverged", RunError), ("bug", RunError)]
)
def test_errors_of_the_settings_and_of_one_run(engine: Engine, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        engine.submit(Call(f"{HERE}:raises", {"kind": kind})).result()
    assert engine.submit(Call(f"{HERE}:half", {"number": 1})).result()["half"] == 0.5


def test_an_error_of_the_receiver_of_reports_is_that_of_the_run(engine: Engine) -> None:
    def on_report(record: dict[str, Any]) -> bool:
        raise LookupError

    with pytest.raises((LookupError, RunError)):
        engine.submit(Call(f"{HERE}:counts", {"to": 2}), on_report).result()
    assert engine.submit(Call(f"{HERE}:half", {"number": 1})).result()["half"] == 0.5


@forks
def test_a_run_that_dies_is_made_once_more(engine: Engine, tmp_path: Path) -> None:
    if engine.at_once == 1:
        pytest.skip("this process would die")
    once, always = (
        engine.submit(Call(f"{HERE}:dies", {"file": str(tmp_path / name), "times": times}))
        for name, times in (("once", 1), ("always", 9))
    )
    other = engine.submit(Call(f"{HERE}:half", {"number": 1}))
    assert once.result() == {"done": 1}
    with pytest.raises(RunError, match="killed, perhaps because memory ran out"):
        always.result()
    assert (tmp_path / "always").read_text() == "xx"
    assert other.result()["half"] == 0.5


@forks
def test_the_reply_to_a_run_that_died_is_not_taken_for_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))

    def slow(record: dict[str, Any]) -> bool:
        time.sleep(0.5)  # the run is dead when its reply comes
        return True

    with open_engine("processes", 1, preload=[HERE]) as engine:
        with pytest.raises(RunError):
            engine.submit(Call(f"{HERE}:dies_after_its_report", {"name": "X"}), slow).result()
        seen: list[Any] = []

        def on_report(record: dict[str, Any]) -> bool:
            seen.append(record)
            return True

        assert engine.submit(Call(f"{HERE}:named", {"name": "Y"}), on_report).result() == {"name": "Y"}
        assert seen == [{"of": "Y"}]


@forks
def test_closing_ends_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    begun = tmp_path / "begun"
    with open_engine("processes", 1, preload=[HERE]) as engine:
        futures = [engine.submit(Call(f"{HERE}:sleeps", {"file": str(begun)})) for _ in range(3)]
        while not (begun.exists() and begun.read_text()):
            time.sleep(0.01)
    child = Path(f"/proc/{begun.read_text()}/stat")
    limit = time.monotonic() + 60
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert all(future.done() for future in futures)


def test_inline_makes_one_run_at_a_time() -> None:
    for jobs in (None, 4):
        with open_engine("inline", jobs) as engine:
            assert engine.at_once == 1
    with open_engine("processes", 4) as engine:
        assert engine.at_once == 4


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose processes or ray or inline"):
        open_engine("threads")


def test_a_lasting_worker_keeps_what_a_run_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    call = Call(f"{HERE}:remembers", {})
    with open_engine("processes", 1, preload=[HERE], lasting=True) as engine:
        assert [engine.submit(call).result() for _ in range(3)] == [{"runs": n} for n in (1, 2, 3)]
    with open_engine("processes", 1, preload=[HERE]) as engine:
        assert [engine.submit(call).result() for _ in range(2)] == [{"runs": 1}] * 2
