"""Kills a command before each change that it makes to the files of its output, and reports what is left.

python -m tests.kill_at_each_change COMMAND[:STEP],... FOLDER

Commands are save, fit, overwrite, pretrain and compare; with STEP, only every STEP-th change is tried. Each
run is a fork of this process, which has loaded the libraries. Prints JSON: for each command, the number of
changes, and the faults by the number of the change.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from recurra import store
from recurra.cli.main import main
from recurra.errors import RecurraError
from recurra.measure import charts
from recurra.tasks.fit import fit_files, pretrain_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.use import load

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.truncate"}
TINY = {
    "tokenizer": {"vocab_size": 60, "max_tokens": 8},
    "model": {"units": 4, "embedding": 4},
    "train": {"epochs": 2},
}
ROWS = "text,label\n" + "".join(f"a {word} film {n},{word}\n" for n in range(12) for word in ("good", "bad"))


def changes_a_file(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event is a change to the file system."""
    if event != "open":
        return event in CHANGES
    _, mode, flags = arguments
    writes = set(mode) & set("wax+") if isinstance(mode, str) else flags & (os.O_WRONLY | os.O_RDWR)
    return bool(writes)


def in_fork(action: Callable[[], None], place: Path, kill_before: int) -> int | None:
    """Runs ``action`` in a fork that is killed before a change below ``place``.

    Returns the number of changes if it ended before that, None if it was killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if (
                arguments
                and str(place) in f"{arguments[0]} {arguments[1:2]}"
                and changes_a_file(event, arguments)
            ):
                count += 1
                if count == kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            action()
            os.write(writing, str(count).encode())
        except BaseException:  # noqa: BLE001 - a fork must not return into the caller
            traceback.print_exc()
            os.write(writing, b"-1")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return int(text) if text else None


def scenario(name: str, place: Path) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """Returns functions that prepare the output, run the command, and run it again as a user would."""
    data, out = place.parent / "data.csv", place / "m"
    data.write_text(ROWS)
    config = build_config({"recipe": "lstm"}, TINY)

    def fit(**options: Any) -> None:
        fit_files(data, config, out, baseline=False, explained=0, **options)

    def pretrain(**options: Any) -> None:
        pretrain_files(data, config, out, reporter=Reporter(), **options)

    def again(run: Callable[..., None]) -> Callable[[], None]:
        return lambda: run(resume=store.has_checkpoint(out), overwrite=not store.has_checkpoint(out))

    def nothing() -> None:
        pass

    def save() -> None:
        store.save(load(out), out, {"README.md": "new"})

    def compare() -> None:
        settings = ["tokenizer.vocab_size=60", "model.units=4", "model.embedding=4", "train.epochs=1"]
        sys.argv = [
            "recurra",
            "compare",
            str(data),
            "--recipes",
            "lstm,gru",
            "--seeds",
            "2",
            "--out",
            str(out),
        ]
        sys.argv += ["--jobs", "1", "--no-baseline", *(f"--set={setting}" for setting in settings)]
        with contextlib.redirect_stdout(open(os.devnull, "w")):  # noqa: PTH123
            try:
                main()
            except SystemExit as stop:
                if stop.code:
                    raise

    return {
        "save": (fit, save, save),
        "fit": (nothing, fit, again(fit)),
        "overwrite": (fit, lambda: fit(overwrite=True), again(fit)),
        "pretrain": (nothing, pretrain, again(pretrain)),
        "compare": (nothing, compare, compare),
    }[name]


def faults_after(name: str, place: Path, again: Callable[[], None], had_model: bool) -> list[str]:
    """Returns what is wrong after a kill, and after the command was repeated."""
    out, faults = place / "m", []
    if had_model:
        try:
            load(out)
        except RecurraError as error:
            faults.append(f"killed: {error}")
    if in_fork(again, place, 0) == -1:
        faults.append("the repeated command failed")
    elif name != "compare":
        load(out)
    if left := sorted(path.name for path in place.rglob(".*")):
        faults.append(f"left: {left}")
    return faults


def load_the_kernels(folder: Path) -> None:
    """Trains a model, so that no fork has to load the libraries."""
    (folder / "data.csv").write_text(ROWS)
    fit_files(folder / "data.csv", build_config({"recipe": "lstm"}, TINY), folder / "m", baseline=False)


def report(name: str, folder: Path, step: int = 1) -> dict[str, Any]:
    """Kills one command before every ``step``-th of its changes."""
    prepared, place = folder / "prepared", folder / "work"
    prepare, run, again = scenario(name, place)
    place.mkdir()
    prepare()
    had_model = store.is_bundle(place / "m")
    shutil.copytree(place, prepared)
    faults: dict[int, list[str]] = {}
    number, count = 0, None
    while count is None:
        number += step
        shutil.rmtree(place)
        shutil.copytree(prepared, place)
        count = in_fork(run, place, number)
        if count == -1:
            return {"changes": number, "faults": {number: ["the command failed"]}}
        found = faults_after(name, place, again, had_model)
        if found:
            faults[number] = found
    return {"changes": count, "faults": faults}


if __name__ == "__main__":
    charts._svg = lambda figure, title: Markup("")  # drawing takes half of a run, and changes no file
    load_the_kernels(Path(sys.argv[2]))
    reports = {}
    for command in sys.argv[1].split(","):
        chosen, _, every = command.partition(":")
        own = Path(sys.argv[2]) / chosen
        own.mkdir()
        reports[chosen] = report(chosen, own, int(every or 1))
    print(json.dumps(reports))
