"""`recurra.compare`: a comparison from Python, also of estimators of other libraries and of own cells."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.comparison import origins
from recurra.comparison.arms import Arm, parse_arm, require_several
from recurra.comparison.pages import Compared
from recurra.comparison.rounds import Study
from recurra.comparison.study import compare_files, parse_sizes
from recurra.config import load_recipe
from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS, task_info, task_of_file
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config

if TYPE_CHECKING:
    from recurra.tasks.base import TaskInfo
    from recurra.tasks.estimator import RecurrentEstimator

__all__ = ["compare"]


def compare(
    data: str | Path,
    arms: Mapping[str, Any] | Sequence[str],
    out: str | Path,
    *,
    against: str | None = None,
    seeds: int = 5,
    sizes: Sequence[int | str] = ("all",),
    task: str | None = None,
    settings: Mapping[str, Any] | None = None,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    enough: float = 0.005,
    stop_early: bool = True,
    baseline: bool = True,
    jobs: int | None = None,
    engine: str | None = None,
    reporter: Reporter | None = None,
) -> Compared:
    """Trains several models with several seeds on the same rows, and compares them, as ``recurra compare``.

    An arm is

    - a recipe with settings, such as ``"lstm+model.units=64"``;
    - an estimator of recurra that is not fitted. Its parameters are used, except the seed and those that
      split the rows;
    - an estimator of another library, with ``fit`` and ``predict``, or the name ``"package.module:function"``
      of a function or class that returns one. Each ``random_state`` parameter is set to the seed of the run,
      and ``fit`` gets ``validation_data`` if it takes them. ``X`` and ``y`` are, by task: a list of texts and
      an array of labels (``classify``; for several labels zeros and ones of shape ``(N, C)``); lists of words
      and of tags (``tag``); standardized windows of shape ``(N, T * E)`` and targets of shape ``(N,)`` or
      ``(N, K)`` (``forecast``); a list of texts and None (``lm``, where ``score_samples`` returns the
      log-likelihood of each text in nats).

    A registered cell can be used by its name. Runs in other processes import the module of its step.

    Args:
        data: training file.
        arms: arms by name, or recipes.
        out: directory of the study. Finished runs in it are kept, and not made again by the same call.
        against: name of the arm that the others are compared with; None for the first.
        seeds: maximum number of runs of an arm.
        sizes: numbers of training rows; ``"all"`` for all.
        task: name of the task; None for that of the arms or the file.
        settings: settings of all arms, nested by section; those of an arm take precedence.
        valid: file that chooses the epochs; None to hold out rows.
        test: file to compare on; None for the test part of ``data`` or the validation rows.
        enough: largest difference that does not matter.
        stop_early: whether an arm gets no more seeds once its verdict is clear.
        baseline: whether to measure the baseline of the task too.
        jobs: number of parallel runs; None for one per processor.
        engine: ``processes`` or ``inline``; None for ``inline`` if an arm exists in this process only, else
            ``processes``.
        reporter: receives the steps; None for no output.

    Returns:
        The comparison; a notebook shows its report. ``figures.arms`` has the results of each arm.

    Raises:
        RecurraError: data, settings, arms or directory cannot be used.
        KeyboardInterrupt: on Ctrl-C before the first run of an arm is finished.

    Example:
        >>> import recurra
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> arms = {
        ...     "LSTM": "lstm",
        ...     "wide LSTM": recurra.TextClassifier("lstm", units=64),
        ...     "naive Bayes": make_pipeline(TfidfVectorizer(), MultinomialNB()),
        ... }
        >>> recurra.compare("train.csv", arms, "study", test="test.csv")  # doctest: +SKIP
    """
    path = Path(data)
    given = arms if isinstance(arms, Mapping) else {name: name for name in arms}
    info = _task(task, given, settings or {}, path)
    layers: tuple[dict[str, Any], ...] = (dict(settings or {}), {"task": info.name})
    made = [_arm(name, value, info) for name, value in given.items()]
    require_several(made)
    study = Study(
        made,
        against or made[0].key,
        seeds=seeds,
        sizes=parse_sizes(",".join(map(str, sizes))),
        settings=layers,
        enough=enough,
        adaptive=stop_early,
        baseline=baseline,
    )
    cells = {build_config(*study.layers(arm)).model.cell for arm in made}
    modules, local = origins.cell_modules(cells)
    local += [arm.key for arm in made if arm.estimator is not None and arm.estimator.is_local]
    if engine not in (None, "inline") and local:
        raise ConfigError(
            f"{', '.join(local)} exist{'s' if len(local) == 1 else ''} in this process only",
            where="engine",
            hint='use engine="inline", or write it in a module and name it MODULE:FUNCTION',
        )
    imported = modules or any(arm.estimator is not None for arm in made)
    folders = tuple(str(Path(folder).absolute()) for folder in sys.path) if imported else ()
    return compare_files(
        path,
        Study(**{**vars(study), "imports": tuple(modules), "path": folders}),
        Path(out),
        valid=None if valid is None else Path(valid),
        test=None if test is None else Path(test),
        jobs=jobs,
        engine=engine or ("inline" if local else "processes"),
        reporter=reporter,
    )


def _task(name: str | None, arms: Mapping[str, Any], settings: Mapping[str, Any], data: Path) -> TaskInfo:
    """The task that is named, or that of an arm, or that of the file."""
    named = name or settings.get("task")
    for value in arms.values():
        named = named or getattr(value, "task", None) if _is_ours(value) else named
        if named is None and isinstance(value, str) and ":" not in value:
            named = load_recipe(parse_arm(value).recipe).get("task")
    return task_of_file(data) if named is None else task_info(named)


def _arm(name: str, value: Any, info: TaskInfo) -> Arm:
    if isinstance(value, str) and ":" not in value.partition("+")[0]:
        arm = parse_arm(value)
        return arm if name == value else Arm(name, name, arm.recipe, arm.settings)
    if _is_ours(value):
        return Arm(name, name, str(value.recipe), (value.as_settings(),))
    origin = origins.named(value) if isinstance(value, str) else origins.keep(value, name)
    return Arm(name, name, info.recipe, (), origin)


def _is_ours(value: RecurrentEstimator | Any) -> bool:
    """Whether it is an estimator of recurra, and not of a class derived from one."""
    return f"{type(value).__module__}.{type(value).__name__}" in {
        f"{task.package}.estimator.{task.estimator}" for task in TASKS
    }
