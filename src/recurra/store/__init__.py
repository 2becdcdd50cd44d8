"""A model on disk: a directory of settings, weights, figures and a task's own files, without pickle."""

from recurra.store.store import (
    TRAINING,
    AnyBundle,
    Assets,
    Bundle,
    Saved,
    check_writable,
    fingerprint,
    is_bundle,
    read,
    save,
    weights_digest,
)

__all__ = [
    "TRAINING",
    "AnyBundle",
    "Assets",
    "Bundle",
    "Saved",
    "check_writable",
    "fingerprint",
    "is_bundle",
    "read",
    "save",
    "weights_digest",
]
