"""The program of a helper: compiles kernels into the cache, for the process that started it.

    python -m recurra.kernels.precompile ENTRY NUMBER FOLDER PARENT
    python -m recurra.kernels.precompile link FILE    # links machine code, which may end the process

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
    from recurra.kernels.cpu.plan import plan_for

    plan = plan_for(entry)
    for module in plan.modules if number else plan.opposite:
        importlib.import_module(f"recurra.kernels.cpu.{module}")


def _without_torch() -> None:
    """Makes the modules of compiled functions importable without their package, which imports torch: 2 s."""
    package = ModuleType("recurra.kernels.cpu")
    package.__path__ = [str(Path(kernels.__path__[0]) / "cpu")]
    sys.modules[package.__name__] = package


if __name__ == "__main__":
    _without_torch()
    if sys.argv[1] == "link":
        from recurra.kernels.cpu.machine_code import link_file

        link_file(Path(sys.argv[2]))
    else:
        entry, number, folder, parent = sys.argv[1:]
        main(entry, int(number), Path(folder), int(parent))
