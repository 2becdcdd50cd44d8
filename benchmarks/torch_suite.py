"""PyTorch's own tests of recurrent modules, run with the modules of `recurra.torch` in place of torch's.

    python -m benchmarks.torch_suite CHECKOUT/test --out suite.json

`CHECKOUT` is PyTorch's source in the installed version; `expecttest` must be installed. Each file runs
twice: with torch's own modules, which shows what does not apply to this machine, and with ours. A test
fails if it passes with torch's modules and not with ours. Also counted is in how many tests the kernels
computed a call; in the others torch did, since they use other dtypes or graphs. Many tests set float64 as
the default dtype, which torch computes: `--float32` makes that float32.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import recurra
from recurra.torch import calls, stack

RECURRENT = "rnn or lstm or gru"
FILES = {
    "test_nn.py": f"{RECURRENT} or variable_sequence or fb_fc_packed or packed",
    "nn/test_packed_sequence.py": "",
    "nn/test_pruning.py": "",
    "nn/test_parametrization.py": "",
    "test_modules.py": RECURRENT,
    "test_expanded_weights.py": RECURRENT,
    "test_jit.py": RECURRENT,
    "test_autograd.py": RECURRENT,
    "test_overrides.py": RECURRENT,
    "test_mkldnn.py": RECURRENT,
    "test_autocast.py": RECURRENT,
    "test_decomp.py": RECURRENT,
    "test_fake_tensor.py": RECURRENT,
    "test_stateless.py": "",
    "functorch/test_ops.py": RECURRENT,
    "functorch/test_eager_transforms.py": RECURRENT,
    "functorch/test_aotdispatch.py": RECURRENT,
    "dynamo/test_aot_autograd.py": RECURRENT,
    "dynamo/test_modules.py": RECURRENT,
    "inductor/test_cpu_repro.py": RECURRENT,
    "export/test_export.py": RECURRENT,
    "quantization/eager/test_quantize_eager_ptq.py": RECURRENT,
    "ao/sparsity/test_structured_sparsifier.py": RECURRENT,
}
"""The test files, and which of their tests (pytest's ``-k``; empty for all)."""

_OUTCOMES, _OURS, _FLOAT32 = "TORCH_SUITE_OUTCOMES", "TORCH_SUITE_OURS", "TORCH_SUITE_FLOAT32"


class _Plugin:
    """In the process of the tests: replaces the modules and records what becomes of each test."""

    def __init__(self, path: Path, *, ours: bool) -> None:
        self.path = path
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.calls = 0
        self._forward = stack.forward
        stack.forward = self._counted
        if ours:
            calls.FEWEST_STEPS = dict.fromkeys(calls.FEWEST_STEPS, 1)  # their sequences are short
            calls.FEWEST_PACKED_STEPS = 1
            for name in recurra.torch.__all__:
                for home in (nn, nn.modules):
                    if hasattr(home, name):
                        setattr(home, name, getattr(recurra.torch, name))

    def _counted(self, *arguments: Any) -> Any:
        self.calls += 1
        return self._forward(*arguments)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        before = self.calls
        result = yield
        self.outcomes.setdefault(item.nodeid, {"outcome": "failed"})["calls"] = self.calls - before
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            reason = ""
            if report.skipped and isinstance(report.longrepr, tuple):
                reason = report.longrepr[2]
            elif report.failed:
                reason = report.longreprtext[-3000:]
            self.outcomes[report.nodeid] = {"outcome": report.outcome, "reason": reason}

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps(self.outcomes), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the plugin, in a process that ``run`` started."""
    if path := os.environ.get(_OUTCOMES):
        config.pluginmanager.register(_Plugin(Path(path), ours=os.environ[_OURS] == "1"))
        if os.environ[_FLOAT32] == "1":
            set_default = torch.set_default_dtype
            torch.set_default_dtype = lambda dtype: set_default(
                torch.float32 if dtype == torch.float64 else dtype
            )


def run(folder: Path, file: str, *, ours: bool, float32: bool, limit: float) -> dict[str, dict[str, Any]]:
    """Runs one test file and returns what became of each test."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "outcomes.json"
        root = Path(__file__).resolve().parents[1]
        search = os.pathsep.join([str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.torch_suite", "--noconftest"]
        command += ["-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", file]
        command += ["-k", FILES[file]] if FILES[file] else []
        environment = os.environ | {
            "PYTHONPATH": search, _OUTCOMES: str(path), _OURS: str(int(ours)), _FLOAT32: str(int(float32))
        }  # fmt: skip
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {file: {"outcome": "timed out", "reason": f"after {limit} s"}}
        if not path.exists():
            return {file: {"outcome": "not collected", "reason": (done.stdout + done.stderr)[-2000:]}}
        return json.loads(path.read_text(encoding="utf-8"))


def compared(theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The counts of one file, and the tests that fail with our modules only."""
    counts = Counter[str]()
    failed, reasons = {}, Counter[str]()
    for name in sorted(theirs.keys() | ours.keys()):
        expected = theirs.get(name, {"outcome": "missing", "reason": ""})
        found = ours.get(name, {"outcome": "missing", "reason": ""})
        if found["outcome"] == "passed":
            counts["passed"] += 1
            counts["passed on the kernels"] += found.get("calls", 0) > 0
        elif expected["outcome"] == "passed":
            counts["failed"] += 1
            failed[name] = found["reason"]
        elif expected["outcome"] == "skipped":
            counts["skipped"] += 1
            reasons[expected["reason"]] += 1
        else:
            counts["fails with torch's too"] += 1
            reasons[expected["reason"][-300:]] += 1
    return {"counts": counts, "failed": failed, "reasons": reasons.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder `test` of PyTorch's source")
    parser.add_argument("--files", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--float32", action="store_true", help="in place of float64 as the default dtype")
    parser.add_argument("--limit", type=float, default=900, help="seconds for a file")
    parser.add_argument("--out", type=Path, help="a file for the results, JSON")
    arguments = parser.parse_args()
    results = {}
    for file in arguments.files:
        if not (arguments.folder / file).exists():
            print(f"{file}: not in this version", flush=True)
            continue
        both = [
            run(arguments.folder.resolve(), file, ours=ours, float32=arguments.float32, limit=arguments.limit)
            for ours in (False, True)
        ]
        results[file] = compared(*both)
        print(f"{file}: {dict(results[file]['counts'])}", flush=True)
        for name in results[file]["failed"]:
            print(f"    {name}", flush=True)
        if arguments.out is not None:
            arguments.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
