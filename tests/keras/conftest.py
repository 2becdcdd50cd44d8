"""Keras computes with torch in these tests, and only they import it; without the extra they do not run."""

from __future__ import annotations

import importlib.util
import os

os.environ["KERAS_BACKEND"] = "torch"
if importlib.util.find_spec("keras") is None:
    collect_ignore_glob = ["*.py"]
