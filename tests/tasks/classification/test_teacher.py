"""The teacher of texts without labels: what it knows beside the n-grams, and of which texts."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.io.examples import Examples
from recurra.tasks.classification import teacher
from recurra.tasks.classification.teacher import logits_of_texts
from recurra.tasks.reporter import Reporter

LABELLED, VALID, MORE, CLASS_WORDS = 40, 60, 400, 30


class Notes(Reporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def note(self, text: str) -> None:
        self.kept.append(text)


def made(count: int, classes: int, random: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Texts of 16 words, of which six are of their class and ten of all classes; ids from 3 on."""
    truth = np.arange(count) % classes
    own = random.integers(0, CLASS_WORDS, (count, 6)) + 3 + CLASS_WORDS * truth[:, None]
    other = random.integers(0, 100, (count, 10)) + 3 + CLASS_WORDS * classes
    ids = random.permuted(np.concatenate([own, other], 1), axis=1).astype(np.int32)
    return list(ids), truth


def taught(
    classes: int, reporter: Reporter | None = None, valid: int = VALID
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the teacher's logits and the truth of the unlabelled texts; the n-grams know nothing."""
    random = np.random.default_rng(0)
    labelled, labels = made(LABELLED, classes, random)
    more, truth = made(MORE, classes, random)
    held_out, valid_labels = made(valid, classes, random)
    width = 1 if classes == 2 else classes
    logits, combination = logits_of_texts(
        Examples.from_arrays([*labelled, *more]),
        labels,
        Examples.from_arrays(held_out),
        np.arange(valid),
        valid_labels,
        random.normal(size=(MORE, width)),
        random.normal(size=(valid, width)),
        classes=classes,
        vocab_size=3 + CLASS_WORDS * classes + 100,
        size=16,
        epochs=40,
        reporter=reporter or Reporter(),
    )
    assert combination.recurrent > 0
    assert logits.shape == (MORE, width)
    return logits, truth


@pytest.mark.parametrize("classes", [2, 3])
def test_document_vectors_label_texts_that_the_n_grams_do_not_know(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "_VISITS", 0)
    notes = Notes()
    logits, truth = taught(classes, notes)
    found = logits[:, 0] > 0 if classes == 2 else logits.argmax(axis=1)
    assert (found == truth).mean() > 0.8
    (note,) = notes.kept
    assert "document vectors (40 passes" in note
    assert "weights of 60 validation rows (log loss" in note


def test_without_validation_rows_both_have_the_same_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "_VISITS", 0)
    notes = Notes()
    taught(2, notes, valid=0)
    assert "weight 0.50) and n-grams (weight 0.50); weights of 0 validation rows" in notes.kept[0]


def test_labels_of_one_class_alone_leave_the_n_grams_as_they_are() -> None:
    ngrams = np.array([[0.5], [-1.0]])
    examples = Examples.from_arrays([np.array([4, 5])] * 4)
    logits, combination = logits_of_texts(
        examples, np.ones(2, np.int64), examples, np.arange(0), np.zeros(0, np.int64), ngrams, ngrams[:0],
        classes=2, vocab_size=9, size=4, epochs=1, reporter=Reporter(),
    )  # fmt: skip
    np.testing.assert_array_equal(logits, ngrams)
    assert (combination.recurrent, combination.ngrams) == (0, 1)
