"""What is done stays done: a line a run, cut-off lines forgotten, another study refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.comparison.runs import Run, Store, pack, unpack
from recurra.errors import OutputError

STUDY = {"data": "abc", "seeds": 3, "arms": {"lstm": {"model": {"units": 4}}}}


def a_run(seed: int = 1) -> Run:
    right = np.array([True, False, True])
    return Run(
        arm="lstm", size=0, seed=seed, train_rows=9, rows=3, score=2 / 3, log_loss=0.5, scores=pack(right),
        seconds=1.5, cpu_seconds=1.25, memory=None,
    )  # fmt: skip


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_rows_come_back(rows: list[bool]) -> None:
    assert unpack(pack(np.array(rows)), len(rows)).tolist() == rows


@given(st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=40))
def test_numbers_come_back(values: list[float]) -> None:
    assert unpack(pack(np.array(values)), len(values)).tolist() == values


def test_runs_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "study")
    assert store.open(STUDY) == {}
    for seed in (1, 2):
        store.add(a_run(seed))
    assert Store(tmp_path / "study").open(STUDY) == {("lstm", 0, seed): a_run(seed) for seed in (1, 2)}


def test_a_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "study")
    store.open(STUDY)
    store.add(a_run(1))
    store.add(a_run(2))
    lines = tmp_path / "study" / "runs.jsonl"
    lines.write_bytes(lines.read_bytes()[:-40])
    assert [run.seed for run in store.open(STUDY).values()] == [1]
    store.add(a_run(3))
    assert [run.seed for run in store.open(STUDY).values()] == [1, 3]


def test_another_study_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).open(STUDY)
    with pytest.raises(OutputError, match="holds another comparison: data, seeds differ;"):
        Store(tmp_path).open({**STUDY, "data": "xyz", "seeds": 4})


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(OutputError, match="holds no comparison"):
        Store(tmp_path).open(STUDY)
    with pytest.raises(OutputError, match="holds no comparison"):
        Store(tmp_path / "mine.txt").open(STUDY)
    (tmp_path / "study.json").write_text("[")
    with pytest.raises(OutputError, match="can't be read"):
        Store(tmp_path).open(STUDY)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_a_directory_with_nothing_but_the_draft_of_a_killed_process_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".study.json.1.tmp").write_text("{")
    assert Store(tmp_path).open({"seeds": 2}) == {}
    assert (tmp_path / "study.json").is_file()
