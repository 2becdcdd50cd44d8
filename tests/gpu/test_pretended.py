"""A fit on a device that is not the CPU: no tensor stays behind, and the weights are those of the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.utils.backend_registration

from tests.gpu.run_pretended import RUNS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices in Python",
)
def test_every_task_trains_on_a_device_that_is_not_the_cpu() -> None:
    """In a process of its own, since a device is registered for a whole process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    found = subprocess.run(
        [sys.executable, "-m", "tests.gpu.run_pretended"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=300,
    )  # fmt: skip
    assert found.stdout.splitlines() == list(RUNS), found.stderr[-3_000:]
