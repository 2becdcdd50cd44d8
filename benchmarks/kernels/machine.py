"""The machine and the software of a run, and who else was busy on it."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from recurra.kernels.cpu.host import host
from recurra.runtime import processors as cores

__all__ = ["busy_seconds", "commit", "cores", "lanes", "versions"]

_PACKAGES = (
    "recurra",
    "torch",
    "numba",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "onnxruntime",
    "numpy",
)


def versions() -> str:
    """Of everything that is timed, in one line."""
    found = [f"python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return "; ".join(found)


def commit() -> str:
    """Of this repository, with ``+`` where files were changed since; empty where there is no git."""
    here = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
        run = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return run.stdout.strip()


def lanes() -> int:
    """Float32 numbers in a vector of our kernels; ``RECURRA_LANES`` may set fewer than the processor has."""
    return host().lanes


def busy_seconds() -> float:
    """Processor time that all of this machine has used so far, and that its host took from a virtual one."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
