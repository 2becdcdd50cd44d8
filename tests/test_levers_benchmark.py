"""Weights of a combination are fitted on other rows; each arm's settings exist."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.levers import ARMS, combined, figures, table
from recurra.tasks.settings import build_config, parse_assignment


@pytest.mark.parametrize("arm", ARMS)
def test_the_settings_of_an_arm_exist(arm: str) -> None:
    build_config(*map(parse_assignment, ARMS[arm].split()))


def test_a_model_that_knows_nothing_gets_no_weight_and_a_better_one_more() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 2_000)
    sure, noise = np.zeros((2, 2_000, 2))
    sure[np.arange(2_000), truth] = 1.0
    sure += random.normal(0, 1, sure.shape)
    noise += random.normal(0, 1, noise.shape)
    alone, both = (figures(combined(parts, truth), truth) for parts in ([sure], [sure, noise]))
    assert abs(alone[0] - both[0]) < 0.005
    assert alone[1] > 0.7


def test_the_table_has_a_line_for_each_run() -> None:
    part = {"accuracy": 0.5, "log_loss": 0.6931}
    run = {"set": "sst2", "arm": "base", "seed": 1, "network": part, "ngrams": part, "both": part}
    line = table([{**run, "epochs": 6, "best_epoch": 4, "cpu_seconds": 12}]).splitlines()[-1]
    shown = "50.00 (0.6931)"
    assert line == f"| sst2 | base | 1 | {shown} | {shown} | {shown} | 4 of 6 | 12 |"
