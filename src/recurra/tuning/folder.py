"""The directory of a search: what it is recognized by, and what an interrupted one has finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recurra.comparison.runs import DATA, open_identified
from recurra.config import Config
from recurra.errors import OutputError
from recurra.io.cache import content_key
from recurra.tuning.search import JOURNAL
from recurra.tuning.space import Space
from recurra.tuning.worker import Result

__all__ = ["BEST", "FINISHED", "MODEL", "RUNS", "forget", "identity", "open_folder", "read_runs"]

MODEL, BEST, RUNS, FINISHED = "model", "best.yaml", "fair.jsonl", "tune.json"
_IDENTITY = "search.json"


def identity(config: Config, space: Space, metric: str, files: Sequence[Path]) -> dict[str, Any]:
    """The description by which a search is recognized when it is continued."""
    vectors = config.train.pretrained
    return {
        "data": content_key(files, config.data.model_dump_json()),
        "settings": json.loads(json.dumps(config.plain())),
        "varied": {name: dimension.model_dump(mode="json") for name, dimension in space.items()},
        "metric": metric,
        "pretrained_vectors": None if vectors is None else content_key([Path(vectors)]),
        "version_of_recurra": version("recurra"),
    }


def open_folder(out: Path, identity: dict[str, Any]) -> bool:
    """Creates the directory of a search, or checks that it has the same one. Returns whether it was created.

    Raises:
        OutputError: it has something else, or a finished search.
    """
    hint = "choose another --out, or repeat the command as it was"
    if open_identified(out / _IDENTITY, identity, "search", hint):
        return True
    finished = out / FINISHED
    try:
        done = finished.is_file() and not json.loads(finished.read_text(encoding="utf-8"))["interrupted"]
    except (OSError, ValueError, TypeError, KeyError):
        raise OutputError("can't be read", where=finished, hint="choose another --out") from None
    if done:
        hint = "its test is made once; choose another --out for a new search"
        raise OutputError("holds a finished search", where=out, hint=hint)
    return False


def forget(out: Path) -> None:
    """Removes what a search without a finished trial has written, and nothing else."""
    shutil.rmtree(out / DATA, ignore_errors=True)
    for file in (out / JOURNAL, out / f"{JOURNAL}.lock", out / _IDENTITY):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # not empty
        out.rmdir()


def read_runs(folder: Path, trial: int) -> dict[tuple[str, int], Result]:
    """The runs of an interrupted comparison of the same winner."""
    path, found = folder / RUNS, {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the process was killed within this line: its run is made again
        if record["trial"] == trial:
            found[record["arm"], record["seed"]] = Result.model_validate(record["result"])
    return found
