"""With many classes, baseline, figures, calibration and report are bounded, and say what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import f1_score
from sklearn.preprocessing import normalize

from recurra.measure.calibration import fit_temperature, probabilities, reliability
from recurra.measure.metrics import classification_metrics
from recurra.measure.report import ReportData, render
from recurra.tasks.classification.assess import Assessment
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.classification.ngrams.centroids import Centroids
from recurra.tasks.classification.prepare import prepare
from recurra.tasks.classification.report import result_fields
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter
from tests.page import Page


def sparse_rows(rows: int, classes: int, seed: int = 0) -> tuple[csr_matrix, np.ndarray]:
    """Unit rows that share a few features with their class."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, classes, rows)
    counts = np.zeros((rows, 3 * classes))
    for row, code in enumerate(codes):
        counts[row, 3 * code + rng.integers(0, 3, 2)] += 1
        counts[row, rng.integers(0, 3 * classes, 2)] += 1
    return csr_matrix(normalize(counts)), codes


def words(codes: np.ndarray) -> list[str]:
    return [f"about topic{code} and thing{code % 7}" for code in codes]


def test_centroids_choose_the_class_whose_mean_has_the_largest_cosine() -> None:
    features, codes = sparse_rows(200, 12)
    new, _ = sparse_rows(50, 12, seed=1)
    model = Centroids.fit(features, csr_matrix(np.eye(12)[codes]), multilabel=False)
    means = normalize(np.stack([features[codes == c].toarray().mean(axis=0) for c in range(12)]))
    log_p = np.log(probabilities(model.scores(new), "multiclass"))
    shares = np.log(np.bincount(codes, minlength=12) + 0.5)
    cosines = new.toarray() @ means.T
    # Up to a constant a row, the score is the cosine times one number, and the share times another.
    rows = log_p - log_p.mean(axis=1, keepdims=True)
    columns = [values - values.mean(axis=1, keepdims=True) for values in (cosines, np.tile(shares, (50, 1)))]
    design = np.stack([column.ravel() for column in columns], axis=1)
    solution, *_ = np.linalg.lstsq(design, rows.ravel(), rcond=None)
    assert solution[0] > 1
    assert design @ solution == pytest.approx(rows.ravel(), abs=1e-6)


def test_scale_is_fitted_on_rows_left_out_of_their_class() -> None:
    features, codes = sparse_rows(400, 20)
    new, truth = sparse_rows(2_000, 20, seed=1)
    model = Centroids.fit(features, csr_matrix(np.eye(20)[codes]), multilabel=False)
    p = probabilities(model.scores(new), "multiclass")
    assert reliability(p, truth, "multiclass").ece < 0.1
    assert (p.argmax(axis=1) == truth).mean() > 0.6


def test_several_labels_a_row_have_probabilities_of_their_own() -> None:
    features, codes = sparse_rows(600, 8)
    truth = np.eye(8)[codes]
    truth[:, 0] = (codes % 2) == 0
    model = Centroids.fit(features, csr_matrix(truth), multilabel=True)
    p = probabilities(model.scores(features), "multilabel")
    assert p[np.arange(600), codes].mean() > 0.5
    assert p[:, 1:][truth[:, 1:] == 0].mean() < 0.15


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_baseline_of_many_classes_is_the_class_means(kind: str) -> None:
    codes = np.arange(480) % 120
    labels = codes if kind == "multiclass" else np.eye(120, dtype=np.float32)[codes]
    model = NgramModel().fit(words(codes), labels, kind, 120)
    assert model.centroids is not None
    assert "nearest class mean" in model.method
    p = model.predict_proba(words(np.array([7, 99, 7])))
    assert p.shape == (3, 120)
    assert p.argmax(axis=1).tolist() == [7, 99, 7]
    strongest = model.strongest([f"c{c}" for c in range(120)], 3, [99])
    assert any("topic99" in ngram for ngram, _ in strongest["c99"])
    again = NgramModel().fit(iter(words(codes)), labels, kind, 120)
    assert (again.predict_proba(words(codes)) == model.predict_proba(words(codes))).all()


def test_baseline_of_few_classes_stays_the_regression() -> None:
    codes = np.arange(80) % 20
    model = NgramModel().fit(words(codes), codes, "multiclass", 20)
    assert model.centroids is None
    assert "NB-weighted" in model.method


def test_texts_without_a_known_ngram_get_the_shares_of_the_classes() -> None:
    codes = np.concatenate([np.full(9, 3), np.arange(120)])
    model = NgramModel().fit([""] * len(codes), codes, "multiclass", 120)
    p = model.predict_proba(["anything"])
    assert p.argmax() == 3
    assert p.sum() == pytest.approx(1)


def many(rows: int = 600, classes: int = 1_200) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    codes = np.minimum(rng.zipf(1.4, rows) - 1, classes - 1)
    logits = rng.normal(size=(rows, classes)) + 2 * np.eye(classes)[codes]
    logits[:, :4] += 2
    return codes, logits, [f"class-{c}" for c in range(classes)]


def test_figures_of_many_classes_have_no_matrix() -> None:
    codes, logits, names = many()
    found = classification_metrics(codes, probabilities(logits, "multiclass"), names, "multiclass")
    assert (found.confusion, found.auc) == (None, None)
    chosen = logits.argmax(axis=1)
    assert found.macro_f1 == pytest.approx(f1_score(codes, chosen, average="macro"))
    wrong = {(t, p): 0 for t, p in zip(codes, chosen, strict=True) if t != p}
    for t, p in zip(codes, chosen, strict=True):
        if t != p:
            wrong[t, p] += 1
    assert len(found.confused) == 10
    assert [pair.count for pair in found.confused] == sorted(wrong.values(), reverse=True)[:10]
    first = found.confused[0]
    assert first.share == pytest.approx(first.count / (codes == int(first.true.split("-")[1])).sum())


def test_temperature_of_many_classes_is_fitted_on_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, logits, _ = many(300, 50)
    whole = fit_temperature(logits * 2, codes, "multiclass")
    monkeypatch.setattr("recurra.measure.calibration._CELLS", 100 * 50)
    assert fit_temperature(logits * 2, codes, "multiclass") == pytest.approx(whole, rel=0.3)


def test_report_lists_the_most_frequent_and_the_worst_classes() -> None:
    codes, logits, names = many()
    p = probabilities(logits, "multiclass")
    curve = reliability(p, codes, "multiclass")
    metrics = classification_metrics(codes, p, names, "multiclass")
    found = Assessment("test", "the GRU", metrics, 0.1, None, None, curve, curve, [])
    fields = result_fields(found, names, 1.0)
    classes = next(section for section in fields["sections"] if section.anchor == "classes")
    frequent, worst = classes.tables
    assert frequent.caption == "The 60 most frequent of 1,200"
    assert [len(table.rows) for table in classes.tables] == [60, 20]
    supports = sorted((c.support for c in metrics.classes), reverse=True)
    assert sorted((int(row[1]) for row in frequent.rows), reverse=True) == supports[:60]
    assert worst.rows[0][5] == min(frequent.rows, key=lambda row: float(row[5].rstrip("%") or 0))[5]
    html = render(ReportData(title="t", **fields))
    assert len(html) < 200_000
    assert "Most frequent confusions" in Page(html).text


def test_figures_of_many_rows_and_classes_are_of_a_sample_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label\n" + "".join(f"text {n},class{n % 8}\n" for n in range(400)))
    monkeypatch.setattr("recurra.tasks.classification.prepare._CELLS", 80)
    told: list[str] = []
    reporter = Reporter()
    reporter.warn = told.append  # type: ignore[method-assign]
    found, again = (prepare(path, ClassifierConfig(), reporter, test=path) for _ in range(2))
    assert (len(found.train), len(found.valid), len(found.test or ())) == (360, 10, 10)
    assert (found.valid.rows == again.valid.rows).all()
    assert (np.diff(found.valid.rows) > 0).all()
    assert told[:2] == [
        f"{name}: the figures are of 10 of {rows} rows, drawn at random, since there are 8 classes"
        for name, rows in (("validation", 40), ("test", 400))
    ]
