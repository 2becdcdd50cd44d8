"""The folder of compiled kernels, and what is in it; Numba is not needed to know."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

from recurra import runtime
from recurra.kernels.cpu.host import host

__all__ = ["CHECKED", "cache_folder", "cached_functions", "folder_name", "remove_abandoned", "remove_former"]

CHECKED = os.environ.get("RECURRA_CHECKED_KERNELS", "") not in ("", "0")
"""Whether every load and store is checked against the bounds of its array: slow, for tests."""
_ABANDONED = 3600  # seconds after which a file that was to be renamed is that of a killed process
_PYTHON = f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
_UNUSED = 7 * 24 * 3600  # seconds after which a folder is not kept any more
_FOLDER = re.compile("kernels-(?:(?P<machine>[0-9a-f]{8})-)?[0-9a-f]{16}")  # the first ones named none


@cache
def cache_folder() -> Path | None:
    """The folder of compiled kernels: in recurra's cache, else a temporary folder; None if neither is usable.

    ``RECURRA_KERNEL_CACHE`` sets another folder. Numba detects a change by the date of one file, but a kernel
    consists of several files. Each version of the kernels' sources therefore has its own folder; old ones are
    removed.
    """
    sources = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(source.read_bytes())
    processor = f"{get_host_cpu_name()} {get_host_cpu_features().flatten()}"
    name = folder_name(f"{host()} {CHECKED} {processor}", f"{version('numba')} {sources.hexdigest()}")
    asked = os.environ.get("RECURRA_KERNEL_CACHE")
    folder = Path(asked) if asked else runtime.user_cache()
    if folder is not None and _usable(folder / name):
        remove_abandoned(folder / name)
        remove_former(folder / name)
        return folder / name
    try:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        shared = Path(tempfile.gettempdir()) / f"recurra-{user}"
    except FileNotFoundError:  # no temporary folder is writable
        return None
    # a folder for each user, at both levels: other users cannot place code that this user would run
    return shared / name if _usable(shared) and _usable(shared / name) else None


def _usable(folder: Path) -> bool:
    """Whether a folder, created if necessary, belongs to this user and is writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def remove_abandoned(folder: Path) -> None:
    """Removes files that killed processes did not finish."""
    for path in folder.glob("**/*.tmp.*"):
        with suppress(FileNotFoundError):  # its process may just have renamed it
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def cached_functions(folder: Path | None) -> set[str]:
    """The functions that a folder has, as ``module.function``."""
    if folder is None:
        return set()
    # Numba names an index by module, function, line and version of Python: tile.f-12.py311.nbi
    return {path.name.rpartition("-")[0] for path in folder.glob(f"**/*.{_PYTHON}.nbi")}


def folder_name(machine: str, version: str) -> str:
    """The name of the folder of the kernels of a version, compiled for a kind of machine."""
    digests = (hashlib.sha256(text.encode()).hexdigest() for text in (machine, version))
    return "kernels-{:.8}-{:.16}".format(*digests)


def remove_former(folder: Path) -> None:
    """Marks a folder of kernels as used now, and removes old ones beside it.

    Kept are those that were used within an hour, which a process may be using, and, of those that were used
    within a week, the last one of another version for this machine, since two installations take turns, and
    those of other machines, which share the home directory.
    """
    used: list[tuple[float, Path, bool]] = []
    with suppress(OSError):  # a folder that can be read, but not changed
        os.utime(folder)
        for path in folder.parent.iterdir():
            match = _FOLDER.fullmatch(path.name)
            if match and path != folder and path.is_dir() and not path.is_symlink():
                machine = match["machine"]
                former = machine is None or folder.name.startswith(f"kernels-{machine}-")
                used.append((path.stat().st_mtime, path, former))
    kept = 0
    for last, path, former in sorted(used, reverse=True):
        age = time.time() - last
        kept += former
        if age > _UNUSED or (age > _ABANDONED and former and kept > 1):
            shutil.rmtree(path, ignore_errors=True)
