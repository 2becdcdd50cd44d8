"""Texts from wherever they come, and a saved model's answers to them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from recurra import bundle as bundles
from recurra.bundle import ClassifierBundle
from recurra.runtime import use_threads
from recurra.serve.predict import Answer, predict_rows
from recurra.text.readers import Rows, detect, read
from recurra.text.stream import read_stream

__all__ = ["answers_for"]


def answers_for(
    model: Path, file: Path | None, texts: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Iterator[Answer]]:
    """The class names, and the answers to ``texts``, to ``file``, or else to stdin, as they are read.

    Raises:
        RecurraError: no model there, or no usable file.
    """
    use_threads()
    bundle = bundles.load_as(ClassifierBundle, model)
    chunks: Iterable[Rows]
    if texts:
        chunks = [Rows(list(range(1, len(texts) + 1)), list(texts), None, None)]
    elif file is None or str(file) == "-":
        chunks = read_stream(sys.stdin.buffer, bundle.source, bundle.config.data)
    else:
        chunks = read(detect(file, bundle.config.data, labelled=False, like=bundle.source))
    return bundle.labels.names, predict_rows(bundle, chunks)
