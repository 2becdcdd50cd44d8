"""Any text is read unchanged from every format; any bytes give rows or a `RecurraError`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recurra.config import DataConfig
from recurra.errors import RecurraError
from recurra.io.detect import detect
from recurra.io.formats import Rows, Skipped, read
from recurra.io.labels import Labels
from recurra.io.stream import read_stream

FAST = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
# Characters that formats trip over stand beside arbitrary ones.
NASTY = st.sampled_from(list("\"'\\,;|\t\r\n\x00\x0b\x1c\x85\u2028\ufeff ={}[]#&好é😀"))
TEXT = st.text(st.one_of(NASTY, st.characters(exclude_categories=["Cs"])), max_size=40)
LABEL = st.sampled_from(["pos", "neg", "a b", "名", "1"])
PAIRS = st.lists(st.tuples(TEXT, LABEL), min_size=1, max_size=8)
SETTINGS = DataConfig(text=["text"], label="label", header=True)


def every(rows: list[Rows]) -> list[tuple[str, str]]:
    texts = [text for part in rows for text in part.texts]
    labels = [label for part in rows for label in part.labels or ()]
    numbers = [number for part in rows for number in part.numbers]
    assert numbers == list(range(1, len(texts) + 1))
    assert all(len(label) == 1 for label in labels)
    return [(text, label[0]) for text, label in zip(texts, labels, strict=True)]


def through(content: bytes, name: str, config: DataConfig) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return every(list(read(detect(path, config))))


def table(pairs: list[tuple[str, str]], delimiter: str, quoting: int) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([("text", "label"), *pairs])
    return file.getvalue().encode()


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize(("delimiter", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv")])
@given(pairs=PAIRS)
@example(pairs=[('"', "pos"), ('say "no"', "neg")])
@FAST
def test_csv_and_tsv(pairs: list[tuple[str, str]], delimiter: str, name: str, quoting: int) -> None:
    assert through(table(pairs, delimiter, quoting), name, SETTINGS) == pairs


@given(pairs=PAIRS)
@FAST
def test_tsv_that_never_quotes(pairs: list[tuple[str, str]]) -> None:
    plain = [("".join(c for c in text if c not in '\t\r\n"'), label) for text, label in pairs]
    content = "".join(f'{text} 5" screen\t{label}\n' for text, label in plain).encode()
    config = DataConfig(text=["0"], label="1", header=False)
    assert through(content, "a.tsv", config) == [(f'{text} 5" screen', label) for text, label in plain]


@pytest.mark.parametrize("escape", [True, False])
@given(pairs=PAIRS)
@FAST
def test_json_lines(pairs: list[tuple[str, str]], escape: bool) -> None:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=escape) for text, label in pairs]
    packed = gzip.compress("\n".join(lines).encode(), 1)
    assert through(packed, "a.jsonl", SETTINGS) == pairs


@given(pairs=PAIRS)
@FAST
def test_parquet(pairs: list[tuple[str, str]]) -> None:
    texts, labels = zip(*pairs, strict=True)
    file = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts), "label": list(labels)}), file)
    assert through(file.getvalue(), "a.parquet", SETTINGS) == pairs
    assert through(gzip.compress(file.getvalue(), 1), "a.parquet.gz", SETTINGS) == pairs


@given(pairs=PAIRS)
@FAST
def test_fasttext(pairs: list[tuple[str, str]]) -> None:
    # A line can't hold a newline, and fastText has no way to write white space at the start.
    plain = [
        (t, label.replace(" ", "_"))
        for text, label in pairs
        if (t := text.replace("\n", " ").replace("\r", " ").lstrip()) and not t.startswith("__label__")
    ]
    if plain:
        content = "".join(f"__label__{label} {text}\n" for text, label in plain).encode()
        assert through(content, "a.txt", DataConfig()) == plain


@given(texts=st.lists(TEXT.filter(lambda text: not text.startswith("\ufeff")), min_size=2, max_size=5))
@FAST
def test_folder(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for i, text in enumerate(texts):
            file = Path(folder, "pos" if i else "neg", f"{i}.txt")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(text.encode())
        result = every(list(read(detect(Path(folder), DataConfig()))))
    assert result == [(text, "pos" if i else "neg") for i, text in enumerate(texts)]


@given(
    texts=st.lists(TEXT, min_size=1, max_size=8), encoding=st.sampled_from(["utf-16", "utf-16-le", "utf-32"])
)
@FAST
def test_wide_encodings(texts: list[str], encoding: str) -> None:
    pairs = [(text, "a") for text in texts]
    content = table(pairs, ",", csv.QUOTE_ALL).decode().encode(encoding)
    config = SETTINGS.model_copy(update={"encoding": encoding})
    assert through(content, "a.csv", config) == pairs


CORNERS = [
    b"text,label\ngood,1\nbad,0\n",
    b'text,label\n"go\nod",1\n"ba""d",0\n',
    b'{"text": "good", "label": 1}\n{"text": "bad", "label": [0, 1]}\n',
    b"__label__a good\n__label__b __label__c bad\n",
    b"good\t1\nbad\t0\n",
    gzip.compress(b"text;label\ngood;1\nbad;0\n", mtime=0),
    "文本,标签\n很好,1\n不好,0\n".encode("gb18030"),
    "text,label\ngood,1\n".encode("utf-16"),
]
BYTES = st.one_of(
    st.binary(max_size=200),
    st.builds(  # something nearly right: cut, with something put in
        lambda base, at, put, cut: (base[: at % len(base)] + put + base[at % len(base) :])[: cut or None],
        st.sampled_from(CORNERS),
        st.integers(0, 200),
        st.one_of(st.binary(max_size=6), st.sampled_from([b'"', b"\r", b"\x00", b"[" * 3000, b"\xff\xfe"])),
        st.integers(0, 100),
    ),
)
CONFIGS = st.builds(
    DataConfig,
    format=st.sampled_from(["auto", "csv", "tsv", "jsonl", "parquet", "fasttext", "folder"]),
    header=st.sampled_from([None, True, False]),
    encoding=st.sampled_from(["utf-8", "utf-16", "gb18030", "latin-1"]),
    skip_bad_rows=st.booleans(),
    label_kind=st.sampled_from(["auto", "binary", "multiclass", "multilabel"]),
    text=st.sampled_from([None, ["text"], ["0"]]),
    delimiter=st.sampled_from([None, ",", "\t", ";"]),
)


@given(
    content=BYTES,
    config=CONFIGS,
    name=st.sampled_from(["a.csv", "a.tsv.gz", "a.jsonl", "a.parquet", "a.txt", "a"]),
    labelled=st.booleans(),
)
@settings(FAST, max_examples=300)
def test_any_bytes_as_a_file(content: bytes, config: DataConfig, name: str, labelled: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(RecurraError):
        path = Path(folder) / name
        path.write_bytes(content)
        source = detect(path, config, labelled=labelled)
        assert source.describe()
        skipped = Skipped()
        rows = list(read(source, skipped))
        for part in rows:
            assert len(part.numbers) == len(part.texts)
            assert (part.labels is not None) == labelled
            "".join(part.texts).encode()  # no half surrogates come through
        if labelled:
            labels = Labels.learn(rows, config.label_kind, source)
            for part in rows:
                assert len(labels.encode(part, path)) == len(part)


@given(content=BYTES, config=CONFIGS)
@example(content=b'{\n{"a": [0, 1]}', config=DataConfig(skip_bad_rows=True))
@settings(FAST, max_examples=150)
def test_any_bytes_on_a_pipe(content: bytes, config: DataConfig) -> None:
    with suppress(RecurraError):
        for part in read_stream(io.BytesIO(content), None, config):
            assert len(part.numbers) == len(part.texts)
            "".join(part.texts).encode()


@given(content=st.binary(max_size=60))
@FAST
def test_any_bytes_in_a_folder(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(RecurraError):
        for name in ("a", "b"):
            Path(folder, name).mkdir()
            Path(folder, name, "1.txt").write_bytes(content)
        rows = list(read(detect(Path(folder), DataConfig())))
        assert rows[0].labels == [("a",), ("b",)]


def _whole_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["good film", "bad film"] * 50, "label": [1, 0] * 50}), file)
    return file.getvalue()


PARQUET = _whole_parquet()


@given(cut=st.integers(4, len(PARQUET) - 1))
@FAST
def test_a_truncated_parquet_is_refused(cut: int) -> None:
    with pytest.raises(RecurraError):
        through(PARQUET[:cut], "a.parquet", SETTINGS)


@given(cut=st.integers(3, 60))
@FAST
def test_a_truncated_gzip_is_refused(cut: int) -> None:
    content = gzip.compress(b"text,label\ngood film,1\nbad film,0\nso so,1\n", mtime=0)
    with pytest.raises(RecurraError):
        through(content[: min(cut, len(content) - 1)], "a.csv.gz", SETTINGS)
