"""Use of saved models: loading, evaluation, prediction, and inspection of layers, words and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recurra import store
from recurra.config import updated
from recurra.errors import BundleError, ConfigError, DataError, OutputError
from recurra.generators import initial_weights
from recurra.io.tokenizer import SPECIALS, spellings
from recurra.layers.network import precision_of_this_machine
from recurra.layers.summary import summarize
from recurra.measure import neighbours
from recurra.printable import shortened
from recurra.runtime import use_threads
from recurra.store import AnyBundle, Bundle
from recurra.tasks.answers import Answers
from recurra.tasks.base import AssessOptions, PredictRequest, Prepared, Task, outline
from recurra.tasks.inputs import one_text, whole_number
from recurra.tasks.registry import refuse_foreign_options, refuse_other_settings, task_named
from recurra.tasks.reporter import Reporter, report_summary
from recurra.tasks.settings import build_config

if TYPE_CHECKING:
    from recurra.measure.explain import Explanation

__all__ = [
    "Neighbour",
    "answers_for",
    "answers_of",
    "built",
    "bundle_of",
    "evaluate_files",
    "explain",
    "explanation_of",
    "for_file",
    "load",
    "nearest",
    "stream_of",
    "summary",
    "training_data",
    "words",
]


class Neighbour(NamedTuple):
    """A word of a model's vocabulary and the cosine of its vector to that of another word."""

    word: str
    cosine: float


def load(folder: Path, task: str | None = None) -> AnyBundle:
    """Loads the model saved in ``folder``.

    Args:
        folder: the model's directory.
        task: the name of the expected task; None for any.

    Raises:
        BundleError: there is no model, it is damaged, its format is newer, or its task is another one.
        ConfigError: a setting is unknown.
    """
    return built(store.read(folder), task)


def built(saved: store.Saved, task: str | None = None) -> AnyBundle:
    """Returns the model of which `recurra.store.read` has returned the contents; see `load`."""
    folder = saved.folder
    config = build_config(saved.settings, where=saved.config_path)
    if task is not None and config.task != task:
        raise BundleError(f"is a model of task {config.task}, and one of {task} is needed", where=folder)
    functions = task_named(config.task)
    try:
        assets = functions.read_assets(config, saved.files)
    except KeyError as error:
        raise BundleError(
            f"{error.args[0]} is missing", where=folder, hint="copy the whole directory again"
        ) from error
    except (BundleError, DataError) as error:  # of one file, named without the directory
        where, hint = folder / (error.where or ""), error.hint or "copy the whole directory again"
        raise BundleError(error.what, where=where, hint=hint) from error
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        # JSON of another form than the task writes, in any of its files.
        reason = f"{type(error).__name__}: {shortened(str(error), 200)}"
        raise BundleError(
            f"its files are not those of a model of task {config.task} ({reason})",
            where=folder,
            hint="copy the whole directory again",
        ) from error
    saved.check_weights(outline(functions, config, assets))
    with initial_weights(config.train.seed):
        model = functions.build(config, assets)
    saved.load_weights(model)
    precision_of_this_machine(model)
    if saved.pretrained is not None and config.train.freeze:
        model.freeze(1 + saved.pretrained["layers"])
    return Bundle(
        config=config,
        model=model.eval(),
        assets=assets,
        temperature=saved.temperature,
        metrics=saved.metrics,
        pretrained=saved.pretrained,
    )


def bundle_of(model: Any) -> AnyBundle:
    """Returns the bundle of a model given as its directory, as a bundle or as a fitted estimator.

    Raises:
        BundleError: there is no model in the directory, or it is damaged.
        ConfigError: ``model`` is none of these, or an estimator that is not fitted.
    """
    if isinstance(model, str | Path):
        return load(Path(model))
    bundle = getattr(model, "bundle_", model)
    if not isinstance(bundle, Bundle):
        raise ConfigError(
            f"{type(model).__name__} is not a trained model",
            hint="give a model's directory, a bundle or a fitted estimator",
        )
    return bundle


def evaluate_files(
    model: Path,
    data: Path,
    *,
    report: Path | None = None,
    train: Path | None = None,
    baseline: bool = True,
    settings: Mapping[str, Any] | None = None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Returns the figures of a model and its baseline on ``data``, as ``--json`` prints them.

    Args:
        model: the model's directory.
        data: labelled rows.
        report: an HTML page to write too.
        train: the training file, for the baseline; if None, the path that the model recorded.
        baseline: Whether to measure the baseline.
        settings: settings that describe ``data``, as a nested dictionary; others are those of the model.
        reporter: receives the steps.

    Raises:
        RecurraError: there is no model, or the data can't be used.
    """
    from recurra.measure.report import write_report
    from recurra.tasks.card import evaluation_report

    use_threads()
    bundle = load(model)
    if report is not None and not report.absolute().parent.is_dir():
        raise OutputError("there is no such folder", where=report.parent, hint="make it first")
    task = task_named(bundle.task)
    reporter.step("Reading")
    part = task.open_file(for_file(bundle, settings or {}), data, reporter)
    reporter.step("Testing")
    options = AssessOptions(baseline, explained=3 if report else 0, counting=reporter.counting)
    if baseline and task.fit_baseline is not None:
        own = None if task.own_baseline is None else task.own_baseline(bundle)
        prepared = _training_data(task, bundle, train, reporter, needed=own is None)
        if prepared is not None:
            fitted = task.fit_baseline(prepared, reporter) if own is None else own
            options = replace(options, fitted=fitted, train=prepared.train)
        elif own is not None:
            options = replace(options, fitted=own)
    assessment = task.assess(bundle, part, options)
    task.report_assessment(assessment, reporter)
    if report is not None:
        write_report(report, evaluation_report(task, bundle, assessment, data.name, model))
        reporter.note(f"report: {report}")
    return {"model_directory": str(model), "data": str(data), **assessment.as_json()}


def training_data(
    task: Task[Any, Any], bundle: AnyBundle, given: Path | None
) -> Prepared[Any, Any, Any] | None:
    """Returns the data of the model's training, split as it was then; None if the file is not there.

    Args:
        task: the task of the model.
        bundle: the model.
        given: the training file; None for the path that the model recorded.
    """
    recorded = bundle.metrics.get("training", {})
    path = given or (Path(recorded["data"]) if recorded.get("data") else None)
    if path is None or not path.exists():
        return None
    valid = recorded.get("valid")
    prepared: Prepared[Any, Any, Any] = task.prepare(
        path, bundle.config, Reporter(), valid=Path(valid) if valid else None
    )
    return prepared


def _training_data(
    task: Task[Any, Any], bundle: AnyBundle, given: Path | None, reporter: Reporter, *, needed: bool
) -> Prepared[Any, Any, Any] | None:
    """As `training_data`; if the file is not there, that is reported, and the data are ``needed`` or not."""
    prepared = training_data(task, bundle, given)
    if prepared is None:
        path = given or bundle.metrics.get("training", {}).get("data") or ""
        lost = "no baseline" if needed else "texts that are in the training file too are not counted"
        reporter.warn(f"{lost}: the training file {path} is not there; pass it with --train")
    return prepared


def for_file(bundle: AnyBundle, settings: Mapping[str, Any]) -> AnyBundle:
    """Returns the bundle with the ``settings`` that describe a file; refuses settings that do not."""
    refuse_other_settings(bundle.task, settings)
    return replace(bundle, config=updated(bundle.config, settings)) if settings else bundle


def answers_for(model: Path, request: PredictRequest) -> Answers:
    """Returns the answers of a model; they are computed as they are read.

    Raises:
        RecurraError: there is no model, the file can't be used, or an option or a setting is not for it.
    """
    return answers_of(load(model), request)


def answers_of(bundle: AnyBundle, request: PredictRequest) -> Answers:
    """As `answers_for`, of a model that is loaded."""
    use_threads()
    bundle = for_file(bundle, request.settings)
    refuse_foreign_options(bundle.task, request.options)
    return task_named(bundle.task).predict(bundle, request)


def stream_of(
    bundle: AnyBundle, inputs: Any, options: Mapping[str, Any] | None = None, *, recompute: bool = False
) -> Iterator[dict[str, Any]]:
    """Returns the answers of a loaded model while a text or a series arrives, one after each piece.

    Args:
        bundle: the model.
        inputs: a text, or an iterable of pieces of one; for a forecast CSV text, columns by name, or an
            iterable of rows. A language model continues the text.
        options: options of the task, as in `PredictRequest`.
        recompute: whether each prefix is computed anew, for networks whose states can't be carried.

    Raises:
        ConfigError: the states can't be carried, or an option is not for the model.
        DataError: a piece can't be used; raised when it arrives.
    """
    use_threads()
    refuse_foreign_options(bundle.task, options or {})
    stream = task_named(bundle.task).stream
    if stream is None:
        raise ConfigError(f"a model of task {bundle.task} does not stream")
    return stream(bundle, inputs, options or {}, recompute)


def summary(model: Path, reporter: Reporter) -> dict[str, Any]:
    """Reports layers, shapes and parameters, and what is besides: `recurra inspect MODEL summary`."""
    bundle = load(model)
    network = summarize(bundle.model)
    report_summary(network, reporter)
    fields = asdict(network)
    report_parts = task_named(bundle.task).report_parts
    parts = {} if report_parts is None else report_parts(bundle, reporter)
    return {"layers": fields.pop("rows"), **fields, **parts}


def nearest(model: Any, word: str, n: int = 10) -> list[Neighbour]:
    """Returns the words nearest to a word by the cosine of their vectors in a model's embedding.

    Args:
        model: A model's directory, a bundle or a fitted estimator, of any task with words.
        word: Looked up as it is and in other spellings (lower case, with the tokenizer's mark of a space).
        n: Maximum number of words.

    Returns:
        The words with their cosines, nearest first.

    Raises:
        BundleError: There is no model in the directory.
        ConfigError: ``model`` is not a trained model, or ``n`` is below 1.
        DataError: ``word`` is not a string or not in the model's vocabulary, or the model has no words.

    Example:
        >>> recurra.nearest("my-model", "good", 3)  # doctest: +SKIP
        [Neighbour(word='great', cosine=0.81), Neighbour(word='fine', cosine=0.77), ...]
    """
    where = model if isinstance(model, str | Path) else None
    bundle = bundle_of(model)
    word, n = one_text(word, "word"), whole_number(n, "n", least=1)
    known = bundle.assets.words()
    if not known:
        raise DataError(f"a model of task {bundle.task} has no words", where=where)
    rows = {name: id for id, name in enumerate(known) if name and name not in SPECIALS}
    row = next((rows[spelling] for spelling in spellings(word.strip()) if spelling in rows), None)
    if row is None:
        what = "is not one word" if len(word.split()) != 1 else "is not in the vocabulary"
        raise DataError(f"{word!r} {what}", where=where, hint="give one word of the training texts")
    table = bundle.model.embedding.weight.detach().cpu().numpy()
    candidates = np.array(sorted(rows.values()), np.int64)
    return [Neighbour(known[id], cosine) for id, cosine in neighbours.nearest(table, row, candidates, n)]


def words(model: Path, word: str, reporter: Reporter) -> dict[str, Any]:
    """Reports the words nearest to a word: `recurra inspect MODEL words WORD`.

    Raises:
        RecurraError: as `nearest` does.
    """
    nearest_words = nearest(model, word)
    rows = [(neighbour.word, f"{neighbour.cosine:.3f}") for neighbour in nearest_words]
    reporter.table("", (f"nearest to {word}", "cosine"), rows)
    return {"word": word, "nearest": [neighbour._asdict() for neighbour in nearest_words]}


def explain(model: Path, text: str, reporter: Reporter) -> dict[str, Any]:
    """Reports which words of a text an answer depends on: `recurra inspect MODEL explain TEXT`.

    Raises:
        BundleError: there is no model, or answers of its task can't be explained.
    """
    bundle = load(model)
    explanation = explanation_of(bundle, text)
    if explanation is None:
        raise BundleError(f"is a model of task {bundle.task}, whose answers can't be explained", where=model)
    reporter.explanation(explanation)
    return explanation.model_dump(mode="json")


def explanation_of(bundle: AnyBundle, text: str) -> Explanation | None:
    """Returns which words of a text an answer depends on; None if answers of the task can't be explained."""
    explain_text = task_named(bundle.task).explain
    return None if explain_text is None else explain_text(bundle, text)
