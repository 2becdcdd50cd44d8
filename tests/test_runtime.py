"""Threads, device, seed, determinism, memory and facts."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import recurra
from recurra import runtime
from recurra.errors import ConfigError


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_runtime_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, recurra.runtime; print([n for n in ('torch', 'numpy') if n in sys.modules])"
    assert python(code) == "[]"


def test_threads_come_from_the_environment_or_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECURRA_THREADS", raising=False)
    assert runtime.threads() == torch.get_num_threads()
    monkeypatch.setenv("RECURRA_THREADS", "3")
    before = torch.get_num_threads()
    try:
        assert runtime.use_threads() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("value", ["0", "-1", "two", "", "1.5", "³"])
def test_an_invalid_number_of_threads_is_an_error(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECURRA_THREADS", value)
    with pytest.raises(ConfigError, match=r"RECURRA_THREADS is .*; set it to a positive integer"):
        runtime.threads()


@pytest.mark.parametrize(("available", "expected"), [(False, "cpu"), (True, "cuda")])
def test_the_device_is_cuda_if_there_is_one(
    available: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(available))
    assert runtime.choose_device().type == expected
    assert runtime.choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="'cuda:1' is not on this machine; use auto or cpu"):
        runtime.choose_device("cuda:1")
    with pytest.raises(ConfigError, match="there is no device 'gpu'"):
        runtime.choose_device("gpu")


def test_a_gpu_that_the_parent_used_is_refused_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    for name in ("auto", "cuda", "cuda:0"):
        with pytest.raises(ConfigError, match=r"before the fork, .* the method 'spawn'$"):
            runtime.choose_device(name)
    assert runtime.choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    "mode",
    [
        torch.no_grad,
        torch.inference_mode,
        torch.enable_grad,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ],
)
def test_training_is_isolated_from_the_callers_modes(mode: Callable[[], Any]) -> None:
    def modes() -> tuple[bool, ...]:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")

    def fail() -> None:
        with runtime.isolated_training(torch.device("cpu")):
            assert modes() == (True, False, False)
            raise ValueError("stop")

    with mode():
        before = modes()
        with pytest.raises(ValueError, match="stop"):
            fail()
        assert modes() == before


def test_deterministic_is_restored_after_the_block() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with runtime.deterministic():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_deterministic_is_restored_after_an_error() -> None:
    with pytest.raises(KeyError), runtime.deterministic():
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(sys.platform != "linux", reason="only the malloc of glibc has these settings")
def test_kept_memory_causes_no_further_page_faults() -> None:
    """64 arrays of 8 MiB, one after the other, cause 131,072 page faults, or only those of one array."""
    code = """
import resource, sys
import numpy as np
from recurra.runtime import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1:] else None
np.ones(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(64):
    np.ones(1 << 20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    kept, faults = python(code.replace("sys.argv[1:]", "True")).split()
    if kept == "False":
        pytest.skip("not glibc")
    default_faults = int(python(code.replace("sys.argv[1:]", "False")).split()[1])
    assert int(faults) * 10 < default_faults


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.ctypes, "CDLL", None)
    monkeypatch.setattr(runtime.sys, "platform", "darwin")
    assert runtime.keep_freed_memory() is False
    monkeypatch.setattr(runtime.sys, "platform", "linux")
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("", ""))
    assert runtime.keep_freed_memory() is False


def test_peak_memory_counts_bytes() -> None:
    code = """
import numpy as np
from recurra.runtime import peak_memory
before = peak_memory()
np.ones(1 << 25)
print(peak_memory() - before)
"""
    assert 240 << 20 < int(python(code)) < 300 << 20


def test_facts_describe_this_machine() -> None:
    facts = runtime.facts()
    assert facts["torch"] == torch.__version__
    assert facts["python"] == sys.version.split()[0]
    assert int(facts["threads"]) == torch.get_num_threads()
    assert all(facts.values())


def test_idle_threads_sleep_unless_omp_wait_policy_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    runtime.let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    runtime.let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_training_with_deterministic_algorithms_gives_equal_weights() -> None:
    def train() -> list[torch.Tensor]:
        torch.manual_seed(1)
        table, layer = recurra.Embedding(20, 4), recurra.GRU(4, 5, bidirectional=True, dropout=0.5)
        parameters = [*table.parameters(), *layer.parameters()]
        optimizer = torch.optim.Adam(parameters)
        for _ in range(3):
            outputs, _ = layer(table(torch.randint(1, 20, (6, 7))), torch.randint(1, 8, (6,)))
            optimizer.zero_grad()
            outputs.square().sum().backward()
            optimizer.step()
        return [parameter.detach().clone() for parameter in parameters]

    with recurra.deterministic():
        first, second = train(), train()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_collections_are_rare_within_a_context_only() -> None:
    usual = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        with runtime.few_collections():
            assert gc.get_threshold()[0] > 700
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*usual)
