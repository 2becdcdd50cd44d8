"""A child process that is forked after a fit computes what its parent does, and does not wait for threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import multiprocessing as mp
from recurra import TextClassifier
X = [" ".join(["good film plot bad scene"] * 40) + f" {i}" for i in range(96)]

def fitted():
    return TextClassifier(units=32, epochs=1, vocab_size=50).fit(X, [i % 2 for i in range(96)])

def answers(model):
    return [float(p) for p in model.predict_proba(X)[:, 0]]

def child(queue):
    queue.put([answers(model), answers(fitted())])

model = fitted()
context = mp.get_context("fork")
queue = context.SimpleQueue()
process = context.Process(target=child, args=(queue,))
process.start()
process.join(50)
if process.exitcode is None:
    process.kill()
    raise SystemExit("the child does not end")
for found in queue.get():
    print(max(abs(a - b) for a, b in zip(found, answers(model), strict=True)) < 1e-5)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_predicts_and_trains_as_its_parent() -> None:
    # Two threads, also on a machine with one core: with one, OpenMP has no threads to wait for.
    environment = {**os.environ, "RECURRA_THREADS": "2", "OMP_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", CODE]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (run.stdout, run.stderr) == ("True\nTrue\n", "")
