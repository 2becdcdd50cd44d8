"""`recurra.tune`: a search from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurra.config import load_recipe
from recurra.tasks.registry import task_info, task_of_file
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import recipe_under
from recurra.tuning.tune import TuneRequest, tune_files
from recurra.tuning.tuned import Tuned

__all__ = ["tune"]


def tune(
    data: str | Path,
    out: str | Path,
    *,
    minutes: float | None = 10.0,
    trials: int | None = None,
    metric: str | None = None,
    task: str | None = None,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    seeds: int = 3,
    jobs: int | None = None,
    engine: str = "processes",
    address: str | None = None,
    reporter: Reporter | None = None,
) -> Tuned:
    """Searches for better settings for a file, and trains and tests the final model, as ``recurra tune``.

    With ``trials``, ``minutes=None`` and ``jobs=1`` the result depends on nothing else: it is the same each
    time, with every engine.

    Args:
        data: training file.
        out: directory of the search, of which ``model`` is the final model. A search in it that was
            interrupted is continued.
        minutes: time of everything; None without a limit.
        trials: maximum number of trials; None without one.
        metric: figure to search for, such as ``macro_f1``; None for the one by which ``recurra compare``
            compares: accuracy, loss, or relative error.
        task: name of the task; None for that of the recipe or the file.
        recipe: name of the recipe to begin with; None for the default of the task.
        settings: settings that override the recipe and are not varied, nested by section.
        valid: validation file; None to hold out rows.
        test: test file; None to hold out rows.
        seeds: number of fresh seeds to compare the winner with the recipe; up to 20 if minutes are left; 0
            for no comparison.
        jobs: number of parallel runs; None for one per processor.
        engine: ``processes``, ``ray`` or ``inline``.
        address: address of a Ray cluster; None to start one on this machine.
        reporter: receives the steps; None for no output.

    Returns:
        The search. ``fitted.bundle`` is the final model, ``best_settings`` has what was varied, ``verdict``
        says whether the winner is better than the recipe.

    Raises:
        RecurraError: data, settings or directory cannot be used, or no trial was finished.
        DependencyError: Optuna is not installed.
    """
    path, given = Path(data), dict(settings or {})
    name = task or given.get("task") or (load_recipe(recipe).get("task") if recipe else None)
    info = task_info(name) if name else task_of_file(path) if recipe is None else task_info("classify")
    layers = (given, {"task": info.name})
    request = TuneRequest(
        (recipe_under(recipe or info.recipe, *layers), *layers), metric or "", minutes, trials, seeds
    )
    return tune_files(
        path,
        request,
        Path(out),
        valid=None if valid is None else Path(valid),
        test=None if test is None else Path(test),
        jobs=jobs,
        engine=engine,
        address=address,
        reporter=reporter,
    )
