"""A data set of ten times the allowed memory is cached and batched within it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# 96 MB of ids, 9.6 MB allowed on top of what Python and torch hold once everything is imported and warm.
SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from recurra.io.batcher import Batches
from recurra.io.cache import Chunk, cached_examples

torch.set_num_threads(1)
CHUNK, CHUNKS, LENGTH = 256, 391, 480

def chunks(count):
    for first in range(0, count * CHUNK, CHUNK):
        rows = np.arange(first, first + CHUNK)
        ids = [np.full(LENGTH, 1 + row % 60_000, np.int32) for row in rows]
        yield Chunk(ids, rows % 2, rows, None, np.full(CHUNK, LENGTH), np.zeros(CHUNK, np.int64))

def passed(folder, key, count):
    examples = cached_examples(folder, key, lambda: chunks(count))
    seen = np.zeros(len(examples), bool)
    for batch in Batches(examples, None, 64, shuffle=True).epoch(0):
        assert not seen[batch.rows].any()
        seen[batch.rows] = True
        assert (batch.tokens[:, -1].numpy() == 1 + batch.rows % 60_000).all()
    assert seen.all()
    return examples

folder = Path(sys.argv[1])
passed(folder, "warm", 2)
held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
whole = CHUNKS * CHUNK * LENGTH * 2
allowed = held + whole // 10
resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
try:
    np.ones(whole, np.uint8)
    raise SystemExit("the limit does not hold")
except MemoryError:
    pass
examples = passed(folder, "large", CHUNKS)
assert examples.flat.nbytes == whole, examples.flat.nbytes
print("passed")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA holds on Linux alone")
def test_ten_times_the_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "passed\n"
