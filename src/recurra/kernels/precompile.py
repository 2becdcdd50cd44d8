"""The program of a helper: compiles kernels into the cache, for the process that started it.

    python -m recurra.kernels.precompile ENTRY NUMBER FOLDER PARENT

Helper 0 goes through the modules in the opposite order of an import, helper 1 in the order of the import. It
ends with its parent, on Ctrl-C, or if a helper of the same number is at work in the same folder.
"""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path
from types import ModuleType

from filelock import FileLock, Timeout

from recurra import kernels
from recurra.runtime import end_with_parent

__all__ = ["main"]


def main(entry: str, number: int, folder: Path, parent: int) -> None:
    """Compiles what the import of ``recurra.kernels.cpu.<entry>`` needs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent(parent)
    try:
        with FileLock(folder / f"helper-{number}.lock", timeout=0):
            _compile(entry, number)
    except Timeout:
        pass


def _compile(entry: str, number: int) -> None:
    # The package itself imports torch, which takes two seconds; its modules of compiled functions do not.
    package = ModuleType("recurra.kernels.cpu")
    package.__path__ = [str(Path(kernels.__path__[0]) / "cpu")]
    sys.modules[package.__name__] = package
    from recurra.kernels.cpu.plan import plan_for

    plan = plan_for(entry)
    for module in plan.modules if number else plan.opposite:
        importlib.import_module(f"{package.__name__}.{module}")


if __name__ == "__main__":
    entry, number, folder, parent = sys.argv[1:]
    main(entry, int(number), Path(folder), int(parent))
