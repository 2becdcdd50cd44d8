"""One part of the rows to score, answered in a process of an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recurra import store
from recurra.engines import Report
from recurra.errors import BundleError
from recurra.tasks.base import PredictRequest
from recurra.tasks.use import answers_for
from recurra.tasks.work import Records, Work

__all__ = ["answer"]

_loaded: tuple[str, Work] | None = None
"""The model that this process answers with, and what it was loaded for."""


def answer(argument: dict[str, Any], report: Report) -> list[Records]:
    """Returns the records of each row of a part, for any engine; the model is loaded once.

    Args:
        argument: ``model``, the model's directory; ``rows``, as written by `Work.packed`; ``options`` and
            ``settings``, those of the request.
        report: not used.

    Raises:
        RecurraError: the model can't be used.
    """
    work = _work(Path(argument["model"]), argument["options"], argument["settings"])
    return work.answer(work.bundle, work.unpacked(argument["rows"]))


def _work(model: Path, options: dict[str, Any], settings: dict[str, Any]) -> Work:
    global _loaded
    key = json.dumps([str(model), store.stamp(model), options, settings])
    if _loaded is None or _loaded[0] != key:
        # The functions are those for any rows of the request, such as this text.
        work = answers_for(model, PredictRequest(None, ["a"], options, settings)).work
        if work is None:
            raise BundleError("is a model whose answers have no parts", where=model)
        _loaded = key, work
    return _loaded[1]
