"""The start-up benchmark measures whole processes; predicting a text loads no library without need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.startup import table, timed
from recurra.tasks.fit import Fitted

UNUSED = ("sklearn", "pandas", "pyarrow", "matplotlib", "jinja2", "scipy.stats", "scipy.optimize")


def test_a_process_is_timed_to_its_end() -> None:
    taken = timed([sys.executable, "-c", "import time; time.sleep(0.2)"])
    assert taken.wall >= 0.2 > taken.processor - 0.2
    with pytest.raises(subprocess.CalledProcessError):
        timed([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_table_has_medians() -> None:
    row = {"date": "2026-11-30", "runs": 3, "wall": [1.0, 3.0, 2.0], "processor": [1.0, 1.5, 1.2]}
    line = table([{**row, "load": 0.1, "cores": 2}]).splitlines()[-1]
    assert line == "| 2026-11-30 | 3 | 2.00 | 1.00 | 1.20 | 0.1 | 2 |"


def test_predicting_a_text_imports_what_it_needs(trained: Fitted) -> None:
    program = (
        "import sys; from recurra.cli.main import main\n"
        f"sys.argv = ['recurra', 'predict', {str(trained.folder)!r}, '--text', 'It was great']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {UNUSED!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *answer, imported = ran.stdout.splitlines()
    assert answer[0].startswith("row,label")
    assert imported == "[]"


def test_numba_is_imported_at_the_first_call_of_a_kernel() -> None:
    program = "import recurra.tasks.classification.task, sys; print('numba' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
