"""A model on disk: a directory of settings, weights, figures and a task's own files, without pickle."""

from recurra.bundle.base import Bundle
from recurra.bundle.classifier import ClassifierBundle
from recurra.bundle.store import (
    TRAINING,
    check_writable,
    fingerprint,
    is_bundle,
    load,
    load_as,
    save,
    weights_digest,
)

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
