"""Data before training: a check of a file, the download of a public set, and the demonstration."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from recurra.config import Config, load_recipe
from recurra.errors import ConfigError
from recurra.io.cache import cache_folder
from recurra.io.fetch import fetch
from recurra.io.sample import write_sample
from recurra.io.usage import KINDS, LIMIT, entries, limit, remove
from recurra.tasks.checks import many
from recurra.tasks.fit import fit_files
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config

__all__ = ["check_data", "demonstrate", "fetch_data", "show_cache"]


def check_data(
    data: Path, config: Config, reporter: Reporter, *, valid: Path | None = None, test: Path | None = None
) -> dict[str, Any]:
    """Reports what to know about a data file before training: `recurra data check`.

    Raises:
        DataError: a file can't be used.
        ConfigError: data of this task can't be checked.
    """
    task = task_named(config.task)
    if task.check is None:
        raise ConfigError(f"data of task {config.task} can't be checked")
    return task.check(data, config, reporter, valid=valid, test=test)


def fetch_data(
    name: str, folder: Path, reporter: Reporter, *, url: str | None = None, local: Path | None = None
) -> dict[str, Any]:
    """Downloads a public data set into ``folder``: `recurra data fetch`.

    Raises:
        RecurraError: there is no such data set, the download fails, or the file is not the expected one.
    """
    place = fetch(name, folder, url=url, local=local, progress=reporter.progress)
    reporter.note(f"{name} is in {place}")
    reporter.note(f"next: recurra fit {place}")
    return {"data_set": name, "folder": str(place)}


def show_cache(reporter: Reporter, *, clear: bool = False) -> dict[str, Any]:
    """Reports what the cache holds; removes what no process uses if ``clear``: `recurra data cache`.

    Raises:
        ConfigError: the limit of the cache is not a number.
    """
    folder, most = cache_folder(), limit()
    found = entries(folder)
    removed = [entry for entry in found if clear and remove(entry)]
    kept = [entry for entry in found if entry not in removed]
    total = sum(entry.size for entry in kept)
    reporter.facts(
        {
            "cache": str(folder),
            "limit": f"{most / 1e6:,.0f} MB, set by {LIMIT}; the longest unused is removed first",
            "size": f"{total / 1e6:,.1f} MB, {many(len(kept), 'entry', 'entries')}",
        }
    )
    rows = []
    for kind in KINDS.values():
        of_kind = [entry for entry in kept if entry.kind == kind]
        if of_kind:
            size = sum(entry.size for entry in of_kind)
            oldest, newest = (
                datetime.fromtimestamp(when(entry.used for entry in of_kind)).strftime("%Y-%m-%d %H:%M")
                for when in (min, max)
            )
            rows.append([kind, f"{len(of_kind):,}", f"{size / 1e6:,.1f}", oldest, newest])
    if rows:
        reporter.table("", ["what", "entries", "MB", "last used: first", "latest"], rows)
    if clear:
        freed = sum(entry.size for entry in removed)
        busy = f"; {many(len(kept), 'entry is', 'entries are')} in use" if kept else ""
        reporter.note(f"removed {many(len(removed), 'entry', 'entries')}, {freed / 1e6:,.1f} MB{busy}")
    elif rows:
        reporter.note("remove all of it with: recurra data cache --clear")
    return {
        "folder": str(folder),
        "limit": most,
        "size": total,
        "removed": len(removed),
        "entries": [{"name": entry.path.name, "kind": entry.kind, "size": entry.size} for entry in kept],
    }


def demonstrate(folder: Path, language: Literal["en", "zh"], reporter: Reporter) -> dict[str, Any]:
    """Writes the sample to ``folder``, trains on it and explains three predictions: `recurra demo`."""
    config = build_config(load_recipe("sample"))
    data = write_sample(folder / "data", language)
    train, valid, test = (data / f"{part}.csv" for part in ("train", "valid", "test"))
    check_data(train, config, reporter, valid=valid, test=test)
    model = folder / "model"
    fitted = fit_files(train, config, model, valid=valid, test=test, overwrite=True, reporter=reporter)
    reporter.step("Three predictions and the words that each depends on")
    assessment: Any = fitted.assessment
    for explanation in assessment.explanations:
        reporter.explanation(explanation)
    reporter.step("What to type next")
    command = "recurra" if shutil.which("recurra") else sys.argv[0]
    text = {"en": "I expected a dull film, but it was great.", "zh": "我以为会很无聊，结果剧情非常精彩。"}[
        language
    ]
    for line in (
        f'{command} predict {model} --text "{text}"',
        f'{command} inspect {model} explain "{text}"',
        f"{command} evaluate {model} {test}",
        f"{command} fit YOUR_FILE.csv --out my-model",
    ):
        reporter.note(line)
    reporter.note(f"and open {model / 'report.html'} in a browser")
    return fitted.as_json()
