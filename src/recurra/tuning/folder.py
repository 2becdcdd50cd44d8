"""The directory of a search: what it is recognized by, and what an interrupted one has finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recurra.config import Config
from recurra.errors import OutputError
from recurra.files import replacing
from recurra.io.cache import content_key
from recurra.tuning.space import Space
from recurra.tuning.worker import Result

__all__ = ["BEST", "FINISHED", "MODEL", "RUNS", "identity", "open_folder", "read_runs"]

MODEL, BEST, RUNS, FINISHED = "model", "best.yaml", "fair.jsonl", "tune.json"
_IDENTITY = "search.json"


def identity(config: Config, space: Space, metric: str, files: Sequence[Path]) -> dict[str, Any]:
    """The description by which a search is recognized when it is continued."""
    return {
        "data": content_key(files, config.data.model_dump_json()),
        "settings": json.loads(json.dumps(config.plain())),
        "varied": {name: dimension.model_dump(mode="json") for name, dimension in space.items()},
        "metric": metric,
        "version_of_recurra": version("recurra"),
    }


def open_folder(out: Path, identity: dict[str, Any]) -> bool:
    """Creates the directory of a search, or checks that it has the same one. Returns whether it was created.

    Raises:
        OutputError: it has something else, or a finished search.
    """
    path = out / _IDENTITY
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(file.name[0] != "." for file in out.iterdir())):
            raise OutputError("already exists and holds no search", where=out, hint="choose another --out")
        with replacing(path) as draft:
            draft.write_text(json.dumps(identity, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return True
    try:
        former = json.loads(path.read_text(encoding="utf-8"))
        finished = out / FINISHED
        done = finished.is_file() and not json.loads(finished.read_text(encoding="utf-8"))["interrupted"]
        other = [name.replace("_", " ") for name in identity if former.get(name) != identity[name]]
    except (OSError, ValueError, AttributeError, KeyError):
        raise OutputError("can't be read", where=path, hint="choose another --out") from None
    if other:
        hint = "choose another --out, or repeat the command as it was"
        raise OutputError(f"holds another search: {', '.join(other)} differ", where=out, hint=hint)
    if done:
        hint = "its test is made once; choose another --out for a new search"
        raise OutputError("holds a finished search", where=out, hint=hint)
    return False


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
