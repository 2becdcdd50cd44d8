"""A model on disk: a directory of settings, weights, figures and a task's own files, without pickle."""

from recurra.store.base import Bundle
from recurra.store.store import (
    TRAINING,
    check_writable,
    fingerprint,
    is_bundle,
    load,
    load_as,
    save,
    weights_digest,
)
from recurra.tasks.classification.bundle import ClassifierBundle

__all__ = [
    "TRAINING",
    "Bundle",
    "ClassifierBundle",
    "check_writable",
    "fingerprint",
    "is_bundle",
    "load",
    "load_as",
    "save",
    "weights_digest",
]
