"""File to rows: `detect` says what a file is, `read` gives its rows; one short file a format."""

from __future__ import annotations

from recurra.text.readers.detect import detect
from recurra.text.readers.reading import read
from recurra.text.source import Rows, Skipped, Source

__all__ = ["Rows", "Skipped", "Source", "detect", "read"]
