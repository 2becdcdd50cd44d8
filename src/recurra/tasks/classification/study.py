"""Classification in `recurra compare`: a labelled text scores 1 if it is predicted right, else 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.io.labels import Labels
from recurra.measure.metrics import classification_metrics, correct_rows
from recurra.measure.study import Criterion, Scores
from recurra.tasks.classification.assess import new_rows
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.classification.outputs import predict_part
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.study import (
    OtherEstimators,
    StudyData,
    StudyFunctions,
    checked_answers,
    draw_parquet,
    fit_estimator,
    text_chunks,
    write_parquet,
    write_parts,
    write_strata,
)
from recurra.tasks.texts import Part

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["STUDY"]


def write(prepared: ClassifierData, folder: Path) -> StudyData:
    """Writes texts and labels as Parquet files.

    Test rows whose texts occur in the training file are left out: an arm must not gain from memorizing them.

    Raises:
        DataError: If no test row is left.
    """
    labels, train, test = prepared.assets.labels, prepared.train, prepared.test
    measured = test or prepared.valid
    kept = np.ones(len(measured), bool) if test is None else new_rows(test, train)
    if not kept.any():
        raise DataError(
            "every text occurs in the training file too",
            where=measured.where,
            hint="give texts that are not in the training file",
        )

    def write_part(path: Path, part: Part) -> None:
        write_parquet(path, _tables(part, part.rows[kept] if part is test else part.rows, labels))

    majority = None
    if labels.label_kind != "multilabel":
        largest = np.bincount(train.labels.astype(np.int64)).argmax()
        majority = float((measured.labels[kept] == largest).mean())
    columns = {"text": ["text"], "label": "label", "label_separator": None, "group": None}
    study_data = write_parts(
        prepared,
        folder,
        ".parquet",
        write_part,
        measured=int(kept.sum()),
        left_out=int((~kept).sum()),
        majority=majority,
        settings={"data": {"format": "parquet", "label_kind": labels.label_kind, **columns}},
    )
    write_strata(folder, np.unique(train.labels, axis=0, return_inverse=True)[1].reshape(-1))
    return study_data


def _tables(part: Part, rows: NDArray[np.int64], labels: Labels) -> Iterator[pa.Table]:
    """Tables of ``text`` and ``label`` of the sorted rows."""
    import pyarrow as pa

    for chunk, texts in text_chunks(part, rows):
        codes = part.labels[np.searchsorted(part.rows, chunk)]
        chosen = [np.flatnonzero(row) if labels.label_kind == "multilabel" else [row] for row in codes]
        # Always lists: otherwise a reader would look for several labels within the name of one.
        names = [[labels.names[int(code)] for code in row] for row in chosen]
        yield pa.table({"text": texts, "label": pa.array(names, pa.list_(pa.string()))})


def score(bundle: ClassifierBundle, part: Part) -> Scores:
    """Whether the classifier predicts each row right."""
    return _scores(part, predict_part(bundle, part), bundle.assets.labels, bundle.assets.limits)


def score_baseline(baseline: NgramModel, prepared: ClassifierData, part: Part) -> Scores:
    """Whether the baseline predicts each row right."""
    predicted = baseline.predict_proba(part.texts(part.rows))
    return _scores(part, predicted, prepared.assets.labels, baseline.thresholds)


def _scores(
    part: Part, predicted: NDArray[np.float64], labels: Labels, thresholds: NDArray[np.float64] | None
) -> Scores:
    kind = labels.label_kind
    metrics = classification_metrics(part.labels, predicted, labels.names, kind, thresholds)
    return Scores(correct_rows(part.labels, predicted, kind, thresholds), log_loss=metrics.log_loss)


def fit_other(estimator: Any, prepared: ClassifierData) -> None:
    """Trains an estimator on texts and the names of their classes.

    For several labels a row, ``y`` has zeros and ones, of shape ``(N, C)``, with the classes in sorted order.
    """
    labels = prepared.assets.labels
    (X, y), validation = (
        (list(part.texts(part.rows)), _targets(part, labels)) for part in (prepared.train, prepared.valid)
    )
    fit_estimator(estimator, X, y, validation)


def _targets(part: Part, labels: Labels) -> NDArray[Any]:
    if labels.label_kind == "multilabel":
        return part.labels.astype(np.int64)
    return np.array(labels.names)[part.labels.astype(np.int64)]


def score_other(estimator: Any, prepared: ClassifierData, part: Part) -> Scores:
    """Whether an estimator predicts each row right; with its log loss if it has ``predict_proba``."""
    labels, texts, truth = prepared.assets.labels, list(part.texts(part.rows)), part.labels
    predicted = checked_answers(estimator.predict(texts), truth.shape, "predict")
    if labels.label_kind == "multilabel":
        return Scores((predicted == truth).all(axis=1))
    right = predicted.astype(str) == _targets(part, labels)
    classes = [str(name) for name in getattr(estimator, "classes_", ())]
    if not hasattr(estimator, "predict_proba") or not set(labels.names) >= set(classes) or not classes:
        return Scores(right)
    found = checked_answers(estimator.predict_proba(texts), (len(texts), len(classes)), "predict_proba")
    shares = np.zeros((len(texts), len(labels.names)))
    shares[:, [labels.names.index(name) for name in classes]] = found
    metrics = classification_metrics(truth, shares, labels.names, labels.label_kind)
    return Scores(right, log_loss=metrics.log_loss)


STUDY: StudyFunctions[ClassifierData, ClassifierBundle] = StudyFunctions(
    criterion=Criterion(),
    baseline="n-grams",
    baseline_name="n-gram baseline",
    write=write,
    draw=draw_parquet,
    score=score,
    score_baseline=score_baseline,
    others=OtherEstimators(fit_other, score_other),
)
