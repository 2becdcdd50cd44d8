"""Texts from a stream are read as they arrive, in every format."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.formats import Rows, Skipped, Source
from recurra.io.stream import read_stream

AUTO = DataConfig()
TRAIN = Source(
    Path("a.csv"),
    "csv",
    delimiter=",",
    header=True,
    columns=("id", "text", "label"),
    text=("text",),
    label="label",
)


def texts(content: bytes, like: Source | None = None, config: DataConfig = AUTO) -> list[str]:
    rows = list(read_stream(io.BytesIO(content), like, config))
    numbers = [number for part in rows for number in part.numbers]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(part.labels is None for part in rows)
    return [text for part in rows for text in part.texts]


def test_every_line_is_a_text_blank_lines_too() -> None:
    assert texts("good\r\n\n  very, bad  \n好".encode()) == ["good", "", "  very, bad  ", "好"]


def test_an_empty_stream_has_no_rows() -> None:
    assert texts(b"") == []


def test_each_line_is_answered_before_the_next_is_written() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as tap:
        tap.write(b"first\n")
        rows = read_stream(pipe, None, AUTO)
        assert next(rows) == Rows([1], ["first"])
        tap.write(b"sec")
        tap.write(b"ond\nthird\nfou")
        assert next(rows) == Rows([2, 3], ["second", "third"])
        tap.close()
        assert next(rows) == Rows([4], ["fou"])
        assert next(rows, None) is None


def test_csv_records_are_answered_when_their_last_line_is_there() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as tap:
        tap.write(b'id,text\n1,"two\nlines"\n2,"open')
        rows = read_stream(pipe, TRAIN, AUTO)
        assert next(rows) == Rows([1], ["two\nlines"])
        tap.write(b'\nclosed"\n')
        assert next(rows) == Rows([2], ["open\nclosed"])


def test_json_lines() -> None:
    content = b'{"id": 1, "text": "a"}\n\n{"text": "b", "id": 2}\n'
    assert texts(content) == texts(content, TRAIN) == ["a", "b"]
    assert texts(b' {"n": "x1", "body": "some words here"}') == ["some words here"]
    assert texts(b'{"title": "t", "b": "x"}', None, DataConfig(text=["title", "b"])) == ["t x"]


def test_csv_when_its_header_is_the_training_files() -> None:
    assert texts(b'text,id\n"a, b",1\nc,2\n', TRAIN) == ["a, b", "c"]
    assert texts(b"\xef\xbb\xbfid,text\n1,c\n", TRAIN) == ["c"]
    assert texts(b"id\ttext\n1\tc\n", None, DataConfig(text=["text"])) == ["c"]
    assert texts(b"so,what\na,b\n", TRAIN) == ["so,what", "a,b"]


def test_broken_rows_are_refused_or_counted() -> None:
    content = b'{"text": "a"}\n{"text": \n{"text": "c"}\n'
    with pytest.raises(DataError, match="standard input, row 2: is not JSON"):
        texts(content)
    skipped = Skipped()
    rows = list(read_stream(io.BytesIO(content), None, DataConfig(skip_bad_rows=True), skipped))
    assert [(part.numbers, part.texts) for part in rows] == [([1, 3], ["a", "c"])]
    assert skipped.count == 1


def test_other_encodings() -> None:
    content = "很好\nsecond\n".encode("utf-16")
    assert texts(content, None, DataConfig(encoding="utf-16")) == ["很好", "second"]
    assert texts("很好\n".encode("gb18030"), None, DataConfig(encoding="gb18030")) == ["很好"]
    with pytest.raises(DataError, match=r"pass --set data.encoding=utf-16"):
        texts(content)
    with pytest.raises(DataError, match=r"row 2: is not UTF-8 .* pass --set data.encoding=gb18030"):
        texts(b"fine\n" + "房间很好".encode("gb18030"))


def test_an_archive_is_refused() -> None:
    with pytest.raises(DataError, match="standard input: is a zip archive"):
        texts(b"PK\x03\x04 and so on\n")


def test_an_object_without_text_names_its_keys() -> None:
    with pytest.raises(DataError, match=r"row 1: no text is found; there are n, m"):
        texts(b'{"n": 1, "m": null}\n')


def test_memory_stays_within_a_few_chunks() -> None:
    class Endless(io.RawIOBase):
        """A million lines that are made as they are read."""

        left = 100_000_000
        most = 0

        def readable(self) -> bool:
            return True

        def read1(self, size: int) -> bytes:
            self.left -= size
            return b"a line of some words\n" * (size // 21) if self.left > 0 else b""

    stream = Endless()
    held = 0
    for rows in read_stream(stream, None, AUTO):  # type: ignore[arg-type]
        assert len(rows) <= 1024
        held += len(rows)
        if held > 50_000:
            break
    assert stream.left > 95_000_000  # no more was read than was asked for
