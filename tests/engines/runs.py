"""Functions that the tests of engines call."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from recurra.engines import Report
from recurra.errors import ConfigError, DataError, TrainingError


def half(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    print("a library prints")
    return {"half": argument["number"] / 2, "threads": os.environ["RECURRA_THREADS"]}


_made = 0


def remembers(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    global _made
    _made += 1
    return {"runs": _made}


def reads(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    """Returns contents and where they were; its file and its directory are the argument's."""
    file, folder = Path(argument["file"]), Path(argument["folder"])
    report({"at": argument["file"]})
    inside = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    held = {name: (folder / name).read_text() for name in inside}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"digest": digest, "name": file.name, "held": held, "asked": argument["file"], "at": f"<{file}>"}


def misses(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    raise DataError("the file is empty", where=argument["file"])


def slow(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    """Notes that it has begun, and takes some seconds."""
    with Path(argument["log"]).open("a") as log:
        log.write(f"{argument['number']} {os.getpid()}\n")
    time.sleep(argument["seconds"])
    return {"number": argument["number"]}


def counts(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    for number in range(argument["to"]):
        if not report({"number": number}):
            return {"stopped": number}
    return {"stopped": None}


def dies(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    """Dies as often as the argument says, as if memory had run out; counts in a file."""
    path = Path(argument["file"])
    done = len(path.read_text()) if path.exists() else 0
    path.write_text("x" * (done + 1))
    if done < argument["times"]:
        report({"begun": done})
        os.kill(os.getpid(), signal.SIGKILL)
    return {"done": done}


def dies_after_its_report(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    """Dies while the reply to its report is awaited."""
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    report({"of": argument["name"]})
    return {"name": argument["name"]}


def named(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    report({"of": argument["name"]})
    return {"name": argument["name"]}


def raises(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    kinds = {"settings": ConfigError("no"), "diverged": TrainingError("nan"), "bug": ZeroDivisionError("0")}
    raise kinds[argument["kind"]]


def sleeps(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    Path(argument["file"]).write_text(str(os.getpid()))
    time.sleep(600)
    return {}
