"""The runtime environment: threads, device, memory, and facts about the machine."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recurra.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = [
    "choose_device",
    "computing_with",
    "deterministic",
    "end_with_parent",
    "facts",
    "few_collections",
    "free_memory",
    "isolated_training",
    "keep_freed_memory",
    "let_idle_threads_sleep",
    "loopback_interface",
    "peak_memory",
    "processors",
    "threads",
    "threads_asked",
    "use_threads",
    "user_cache",
]


_at_fork: int | None = None
"""In the child of a fork, torch's number of threads in the parent; None in a process that was not forked."""


def threads() -> int:
    """Returns the number of threads to compute with: ``RECURRA_THREADS``, or torch's number if it is not set.

    In the child of a fork, torch's number is that of the parent.

    Raises:
        ConfigError: ``RECURRA_THREADS`` is not a positive integer.
    """
    count = threads_asked()
    if count is None:
        import torch

        return _at_fork or torch.get_num_threads()
    return count


def threads_asked() -> int | None:
    """Returns the value of ``RECURRA_THREADS``, or None if it is not set.

    Raises:
        ConfigError: the value is not a positive integer.
    """
    value = os.environ.get("RECURRA_THREADS")
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ConfigError(f"RECURRA_THREADS is {value!r}", hint="set it to a positive integer, or unset it")
    return int(value)


def use_threads() -> int:
    """Sets torch's number of threads to ``threads()`` and returns it.

    In the child of a fork, torch gets one thread: the threads of OpenMP do not exist there, and a computation
    would wait for them without end. The CPU kernels use threads of their own, which are started anew.
    """
    import torch

    count = threads()
    of_torch = 1 if _at_fork else count
    if of_torch != torch.get_num_threads():
        torch.set_num_threads(of_torch)
    return count


@contextmanager
def computing_with(count: int) -> Iterator[None]:
    """Context in which torch and the kernels have ``count`` threads, unless ``RECURRA_THREADS`` is set.

    Example:
        >>> with computing_with(1):
        ...     use_threads() == (threads_asked() or 1)
        True
    """
    import torch

    before = torch.get_num_threads()
    if threads_asked() is None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if threads_asked() is None:
            torch.set_num_threads(before)


def processors() -> int:
    """Returns the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def loopback_interface() -> str | None:
    """Returns the name of the loopback interface, if it is a usual one."""
    found = {each for _, each in socket.if_nameindex()} & {"lo", "lo0"}
    return found.pop() if found else None


def _note_fork() -> None:
    global _at_fork
    torch = sys.modules.get("torch")
    if torch is not None and _at_fork is None:
        _at_fork = torch.get_num_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def choose_device(name: str = "auto") -> torch.device:
    """Returns the device of a name such as ``"cpu"`` or ``"cuda:1"``; ``"auto"`` is a GPU if there is one.

    Raises:
        ConfigError: the name is not a device, or the machine does not have it, or it is a GPU that the parent
            of a forked process used.
    """
    import torch

    if name == "cpu":
        return torch.device(name)
    available = torch.cuda.is_available()
    if name == "auto" and not available:
        return torch.device("cpu")
    try:
        device = torch.device("cuda" if name == "auto" else name)
    except RuntimeError:
        raise ConfigError(f"there is no device {name!r}", hint="use auto, cpu or cuda") from None
    if device.type == "cpu":
        return device
    if torch.cuda._is_in_bad_fork():
        what = "the parent of this process used the GPU before the fork, so it can't be used here"
        raise ConfigError(what, hint="start processes with the method 'spawn'")
    if device.type != "cuda" or not available or (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} is not on this machine", hint="use auto or cpu")
    return device


@contextmanager
def isolated_training(
    device: torch.device, precision: Literal["float32", "bfloat16"] = "float32"
) -> Iterator[None]:
    """Context for training that does not depend on the caller's torch modes, which are restored on exit.

    Gradients are recorded, also inside the caller's ``torch.no_grad()`` or ``torch.inference_mode()``; the
    caller's ``torch.autocast()`` and settings of TF32 have no effect.

    Args:
        device: that of the training.
        precision: of the network's products. With ``"bfloat16"``, a GPU may round the factors of the products
            that remain in float32 to TF32, which has 11 bits: those rounded to 8 already stay the same.
    """
    import torch

    from recurra.precision import float32_products

    no_autocast = torch.autocast(device.type, enabled=False)
    products = float32_products(device, tf32=precision == "bfloat16")
    with torch.inference_mode(False), torch.enable_grad(), no_autocast, products:
        yield


@contextmanager
def few_collections() -> Iterator[None]:
    """Context in which Python looks for unused cycles of objects less often, and not when the process ends.

    The thresholds are restored on exit.

    Importing the libraries creates hundreds of thousands of objects that stay. With Python's thresholds of
    700 and 10, looking through them takes 0.4 of the 2.5 seconds of ``recurra predict --text``. The
    collections at the end of the process, 0.2 to 0.3 s with torch alone, free nothing that does not end with
    it: they are left out.
    """
    before = gc.get_threshold()
    gc.set_threshold(20_000, 20, 50)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def deterministic() -> Iterator[None]:
    """Context in which torch uses deterministic algorithms only; the previous setting is restored on exit.

    An operation without a deterministic algorithm raises torch's `RuntimeError`. On the CPU the kernels of
    recurra are deterministic in any case; a GPU needs this for equal results of equal seeds.
    """
    import torch

    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # cuBLAS reads this when it starts; without it, deterministic matrix products raise an error
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory instead of returning it to the system. Returns whether this succeeded.

    Torch allocates large buffers in every training step. By default each of them is mapped again, and each of
    its pages causes a page fault; if freed memory is kept, the pages are reused. Without glibc this does
    nothing.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    # From malloc.h; the largest values that an int can have.
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, largest = -1, -3, 2**31 - 1
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, largest) and mallopt(M_TRIM_THRESHOLD, largest))


def user_cache() -> Path | None:
    """Returns ``RECURRA_CACHE``, or recurra's folder in the user's cache; None without a home directory."""
    folder = os.environ.get("RECURRA_CACHE")
    try:
        if folder:
            return Path(folder).expanduser()
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library/Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home directory
        return None
    return base / "recurra"


def let_idle_threads_sleep() -> None:
    """Makes idle OpenMP threads sleep instead of spin, unless ``OMP_WAIT_POLICY`` is set.

    Spinning threads occupy the cores that the kernels' threads need: an epoch of the LSTM on IMDB takes 15%
    longer. OpenMP reads the variable once, so this must be called before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def end_with_parent(parent: int) -> None:
    """Makes this process end when its parent does, however that ends.

    Linux sends a signal. Elsewhere a thread looks once a second; Windows does not tell, and nothing happens.

    Args:
        parent: the number of the parent; if it has ended already, this process ends at once.
    """
    if sys.platform == "linux":
        PR_SET_PDEATHSIG, SIGKILL = 1, 9  # linux/prctl.h and signal(7)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    elif os.name == "posix":
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    if os.name == "posix" and os.getppid() != parent:
        os._exit(1)


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def free_memory() -> int | None:
    """Returns the memory in bytes that this process can still take, or None if the system does not tell.

    It is the smallest of what is available on the machine, in the process's control group (a container), and
    under the limit on its address space.
    """
    found = [size for size in (_available(), _left_in_group(), _left_of_address_space()) if size is not None]
    return max(0, min(found)) if found else None


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _left_in_group() -> int | None:
    """What is left in the control group; its files are those of version 2, then of version 1."""
    root = Path("/sys/fs/cgroup")
    first = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
    for limit, used in (("memory.max", "memory.current"), first):
        try:
            return int((root / limit).read_text()) - int((root / used).read_text())
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue
    return None


def _left_of_address_space() -> int | None:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    except (ImportError, OSError):  # Windows; no /proc
        return None
    return None if limit == resource.RLIM_INFINITY else limit - pages * resource.getpagesize()


def peak_memory() -> int | None:
    """Returns the peak memory of this process in bytes, or None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage of a child would include the memory of its parent
        lines = status.read_text(encoding="utf-8").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere


def facts() -> dict[str, str]:
    """Returns the versions, the CPU and the threads that a report lists."""
    from importlib import metadata  # 16 ms, which `recurra --help` does not need

    import torch

    values = {
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
        values["gpu"] = torch.cuda.get_device_name()
    return values


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
