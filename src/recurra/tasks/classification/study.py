"""Classification in `recurra compare`: a labelled text scores 1 if it is predicted right, else 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
    StudyData,
    StudyFunctions,
    draw_parquet,
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


STUDY: StudyFunctions[ClassifierData, ClassifierBundle] = StudyFunctions(
    criterion=Criterion(),
    baseline="n-grams",
    baseline_name="n-gram baseline",
    write=write,
    draw=draw_parquet,
    score=score,
    score_baseline=score_baseline,
)
