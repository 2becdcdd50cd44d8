"""Facts about where we run, and the few switches that depend on it: device, threads, seed, memory."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from recurra.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = [
    "choose_device",
    "deterministic",
    "facts",
    "isolated_training",
    "keep_freed_memory",
    "let_idle_threads_sleep",
    "peak_memory",
    "seed_everything",
    "threads",
    "threads_asked",
    "use_threads",
    "user_cache",
]


def threads() -> int:
    """The number of threads to compute with: ``RECURRA_THREADS``, else what torch chose.

    Raises:
        ConfigError: RECURRA_THREADS is not a number of 1 or more.
    """
    asked = threads_asked()
    if asked is None:
        import torch

        return torch.get_num_threads()
    return asked


def threads_asked() -> int | None:
    """``RECURRA_THREADS``; None where it is not set.

    Raises:
        ConfigError: it is not a number of 1 or more.
    """
    asked = os.environ.get("RECURRA_THREADS")
    if asked is None:
        return None
    if not asked.isascii() or not asked.isdigit() or int(asked) < 1:
        raise ConfigError(f"RECURRA_THREADS is {asked!r}", hint="give a number of 1 or more, or unset it")
    return int(asked)


def use_threads() -> int:
    """Make torch compute with ``threads()`` threads, and return their number."""
    import torch

    count = threads()
    if count != torch.get_num_threads():
        torch.set_num_threads(count)
    return count


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name such as ``"cpu"`` or ``"cuda:1"``; ``"auto"`` is a CUDA device where there is one.

    Raises:
        ConfigError: the name is no device, or one that is not here.
    """
    import torch

    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"there is no device {name!r}", hint="use auto, cpu or cuda") from None
    if device.type == "cpu":
        return device
    if device.type != "cuda" or not available or (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} is not on this machine", hint="use auto or cpu")
    return device


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's (the old global one) and torch's generators, on every device."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries beside us draw from the global generator
    torch.manual_seed(seed)


@contextmanager
def isolated_training(seed: int, device: torch.device) -> Iterator[None]:
    """Context in which a network can be trained, whatever the caller's state, which it restores on exit.

    The global generators of Python, numpy and torch start at ``seed``. Gradients are recorded, also inside
    the caller's ``torch.no_grad()`` or ``torch.inference_mode()``.
    """
    import numpy as np
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    in_use = device.type == "cuda" or torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if in_use else ()
    try:
        with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
            seed_everything(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def deterministic() -> Iterator[None]:
    """Within it torch uses deterministic algorithms alone; the former setting returns after."""
    import torch

    former = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # cuBLAS reads this when it starts; without it, deterministic matrix products are refused
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(former, warn_only=warn_only)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of giving it back, and return whether it will.

    Torch asks for large fresh buffers at every training step; by default each of them is mapped anew and
    every page of it costs a fault. Kept, the pages are reused. Elsewhere than on glibc this does nothing.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    # from malloc.h; the largest values that glibc takes for an int
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, most = -1, -3, 2**31 - 1
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, most) and mallopt(M_TRIM_THRESHOLD, most))


def user_cache() -> Path | None:
    """``RECURRA_CACHE``, else recurra's folder among the user's caches; None where the user has no home."""
    named = os.environ.get("RECURRA_CACHE")
    try:
        if named:
            return Path(named).expanduser()
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library/Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        return None
    return base / "recurra"


def let_idle_threads_sleep() -> None:
    """Have OpenMP's threads sleep while torch has nothing for them, unless the environment says otherwise.

    By default they spin for a while, and so take the cores from the kernels' threads: an epoch of the LSTM
    on IMDB takes 15% longer. OpenMP reads this once: call it before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def peak_memory() -> int | None:
    """The most memory this process has had in use, in bytes; None where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage would start a child at what its parent had in use
        lines = status.read_text(encoding="utf-8").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # KiB but on macOS


def facts() -> dict[str, str]:
    """What a report says about the machine and the software."""
    import torch

    found = {
        "recurra": metadata.version("recurra"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "threads": str(threads()),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
