"""The rows of a search: training and validation rows for the trials, and test rows that choose nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.comparison.study import prepare_study_data
from recurra.config import Config, updated
from recurra.tasks.base import Task
from recurra.tasks.reporter import Reporter
from recurra.tasks.study import StudyData, StudyFunctions

__all__ = ["split"]


def split(
    task: Task[Any, Any],
    functions: StudyFunctions[Any, Any],
    data: Path,
    config: Config,
    folder: Path,
    reporter: Reporter,
    *,
    valid: Path | None,
    test: Path | None,
) -> StudyData:
    """Writes the rows of a search to ``folder``, unless this was done before; they always have test rows.

    A search chooses the best of many results on the validation rows, so that these say too much of the
    winner. Without a test file, rows are held out for the test as for validation.

    Args:
        task: functions of the task.
        functions: its functions for studies.
        data: training file.
        config: all settings.
        folder: directory of the rows.
        reporter: receives the steps.
        valid: validation file, or None.
        test: test file, or None.

    Raises:
        DataError: a file cannot be used.
    """

    def write(name: str, data: Path, config: Config, valid: Path | None, test: Path | None) -> StudyData:
        return prepare_study_data(
            task, functions, data, config, folder / name, reporter, valid=valid, test=test
        )

    given = write("given", data, config, valid, test)
    if given.tested:
        return given
    own, training = updated(config, given.settings), given.folder / given.train
    reporter.note("no test file: rows are held out for the test, which neither training nor search sees")
    if valid is None:
        return write("parts", training, own, None, given.path(given.valid))
    held = write("held", training, own, None, None)
    return write("parts", held.folder / held.train, own, given.path(given.valid), held.path(held.valid))
