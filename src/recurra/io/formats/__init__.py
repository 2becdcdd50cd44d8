"""File to rows: `detect` says what a file is, `read` gives its rows; one short file a format."""

from __future__ import annotations

from recurra.io.formats.detect import detect
from recurra.io.formats.reading import read
from recurra.io.source import Rows, Skipped, Source

__all__ = ["Rows", "Skipped", "Source", "detect", "read"]
