"""Every kind of bad input is refused with one line that says what, where and how to fix it."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.detect import detect
from recurra.io.formats import Rows, Skipped, read
from recurra.io.labels import Labels

AUTO = DataConfig()
SKIP = DataConfig(skip_bad_rows=True)
HEAD = b"text,label\ngood film,1\nbad film,0\n"


def load(path: Path, config: DataConfig = AUTO, skipped: Skipped | None = None) -> list[Rows]:
    return list(read(detect(path, config), skipped))


def refused(path: Path, config: DataConfig = AUTO) -> str:
    with pytest.raises(DataError) as caught:
        load(path, config)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line[len(str(path)) :]


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_missing_file(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", HEAD)
    line = refused(tmp_path / "trian.csv")
    assert line == ": there is no such file or folder; did you mean train.csv?"


@pytest.mark.parametrize("content", [b"", b"\n\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_empty_file(tmp_path: Path, content: bytes, name: str) -> None:
    assert refused(put(tmp_path / name, content)) == ": the file is empty; give a file with rows"


@pytest.mark.parametrize("content", [b"text,label\n", b"text\tlabel\n"])
def test_header_alone(tmp_path: Path, content: bytes) -> None:
    assert "there are no rows" in refused(put(tmp_path / "a.csv", content))


def test_tagged_sentences_are_not_labelled_texts(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conllu", b"1\ta\t_\tX\t_\t_\t0\troot\t_\t_\n")
    assert refused(path) == ": holds tagged sentences, not texts with labels; learn from it with --task tag"


def test_folder_without_classes(tmp_path: Path) -> None:
    assert "no folders of .txt files" in refused(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "lay the texts out as FOLDER/CLASS/*.txt" in refused(tmp_path)
    put(tmp_path / "train.csv", HEAD)
    assert f"give a file, for example {tmp_path / 'train.csv'}" in refused(tmp_path)
    (tmp_path / "pos").mkdir()
    put(tmp_path / "pos" / "1.txt", b"good")
    assert "one class only (pos)" in refused(tmp_path)


def test_folder_with_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "1.txt", "déjà vu".encode("latin-1"))
    line = refused(tmp_path)
    assert line == "/a/1.txt: is not UTF-8 (byte 0xe9); it looks like cp1252: pass --set data.encoding=cp1252"


def test_without_a_text_column_the_columns_are_listed(tmp_path: Path) -> None:
    line = refused(put(tmp_path / "a.jsonl", b'{"x": 1, "label": 0}\n{"x": 2, "label": 1}\n'))
    assert line == ": no text column is found; there are x, label: choose with --set data.text=NAME"


def test_no_label_column(tmp_path: Path) -> None:
    rows = "".join(f"{i},text of number {i}\n" for i in range(60)).encode()
    line = refused(put(tmp_path / "a.csv", b"id,text\n" + rows))
    assert line == (
        ": no label column is found; there are id, text: choose with --set data.label=NAME, or --target NAME "
        "to forecast a column of numbers"
    )
    line = refused(put(tmp_path / "a.txt", b"only a text\nand another\n"))
    assert line == (": no label column is found; each text needs a label; --task lm learns the texts alone")


def test_a_file_without_the_columns_of_the_training_file(tmp_path: Path) -> None:
    train = detect(put(tmp_path / "a.csv", HEAD), AUTO)
    test = put(tmp_path / "b.csv", b"text,kind\nso so,1\nno no,0\n")
    with pytest.raises(DataError, match="no column 'label', which the training data has as its label"):
        detect(test, AUTO, like=train)


def test_one_class_only(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", b"text,label\ngood,1\nbad,1\n")
    source = detect(path, AUTO)
    with pytest.raises(DataError, match=r"one class only \('1'\)"):
        Labels.learn(read(source), source=source)


def test_a_column_of_numbers_is_not_a_label(tmp_path: Path) -> None:
    rows = "".join(f"text {i},{i}\n" for i in range(3_000))
    source = detect(put(tmp_path / "a.csv", b"text,label\n" + rows.encode()), AUTO)
    with pytest.raises(DataError, match=r"different values in .* rows: label is not a label"):
        Labels.learn(read(source), source=source)


def test_a_label_that_is_not_among_those_of_training(tmp_path: Path) -> None:
    labels = Labels(("0", "1"), "binary")
    path = put(tmp_path / "a.csv", HEAD + b"so so,2\n")
    (rows,) = load(path)
    with pytest.raises(DataError) as caught:
        labels.encode(rows, path)
    assert str(caught.value) == f"{path}, row 3: label '2' is not among the 2 of training; they are 0, 1"


BROKEN = [
    ("a.csv", HEAD + b"a,b,c\nfine,1\n", 3, "the row has 3 fields, the header has 2"),
    ("a.csv", HEAD + b"alone\nfine,1\n", 3, "the row has 1 fields, the header has 2"),
    ("a.csv", HEAD + b'"wild" quote,1\nfine,1\n', 3, "the row is broken: ',' expected after '\"'"),
    ("a.csv", HEAD + b"no label,\nfine,1\n", 3, "there is no label in 'label'"),
    ("a.csv", HEAD + b"caf\xe9 noir,1\nfine,1\n", 3, "is not UTF-8 (byte 0xe9)"),
    (
        "a.tsv",
        b"bad film\t0\ngood film\t1\na\tb\tc\nfine\t1\n",
        3,
        "the row has 3 fields, the first row has 2",
    ),
    ("a.jsonl", b'{"text": "a b", "label": 1}\n{"text": "c", "label"\n', 2, "is not JSON: Expecting ':'"),
    ("a.jsonl", b'{"text": "a b", "label": 1}\n\n["c"]\n', 2, "is a JSON list, not an object"),
    ("a.jsonl", b'{"text": "a b", "label": 1}\n{"label": 0}\n', 2, "'text' is missing"),
    (
        "a.jsonl",
        b'{"text": "a b", "label": 1}\n{"text": "b", "label": 0}\n{"text": {}, "label": 0}\n',
        3,
        "'text' is a dict, not a text",
    ),
    ("a.jsonl", b'{"text": "a b", "label": 1}\n{"text": "c"}\n', 2, "there is no label in 'label'"),
    ("a.jsonl", b'{"text": "a b", "label": 1}\n' + b"[" * 99_999, 2, "is not JSON that can be read"),
    ("a.txt", b"__label__a good\nlost\n", 2, "the line does not begin with __label__"),
]


@pytest.mark.parametrize(("name", "content", "row", "what"), BROKEN)
def test_broken_rows(tmp_path: Path, name: str, content: bytes, row: int, what: str) -> None:
    path = put(tmp_path / name, content)
    line = refused(path)
    assert line.startswith(f", row {row}: {what}")
    assert "; " in line  # and how to fix it

    skipped = Skipped()
    rows = load(path, SKIP, skipped)
    assert skipped.count == 1
    assert f"row {row}: {what}" in skipped.examples[0]
    assert row not in rows[0].numbers
    if b"fine" in content:
        assert (rows[0].numbers, rows[0].texts[-1]) == ([1, 2, 4], "fine")


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", HEAD + b'"and so on,1\n' + b"x,1\n" * 5_000)
    assert refused(path).startswith(", row 3: a quote is opened and never closed; fix the row")


def test_if_every_row_is_broken_the_first_error_is_raised(tmp_path: Path) -> None:
    line = refused(put(tmp_path / "a.json", b'[{"text": "a", "label": 1}]'))
    assert (
        line
        == ", row 1: is a JSON list, not an object; write one object a line, for example with jq -c '.[]'"
    )


def test_skipped_examples_are_few(tmp_path: Path) -> None:
    skipped = Skipped()
    load(put(tmp_path / "a.csv", HEAD + b"x\n" * 50), SKIP, skipped)
    assert (skipped.count, len(skipped.examples)) == (50, 5)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("gb18030", "gb18030"), ("utf-32", "utf-32")],
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, said: str) -> None:
    text = "text,label\n" + "服务态度很好，下次还会来,1\n房间太小了,0\n" * 3
    if encoding == "utf-16-le":
        text = "text,label\nthis is quite good,1\nbad,0\n"
    path = put(tmp_path / "a.csv", text.encode(encoding))
    assert f"it looks like {said}: pass --set data.encoding={said}" in refused(path)
    rows = load(path, DataConfig(encoding=said))
    assert rows[0].texts[0] in ("服务态度很好，下次还会来", "this is quite good")


def test_undecodable_bytes_are_reported_with_their_row(tmp_path: Path) -> None:
    rows = b"".join(b"text number %d,%d\n" % (i, i % 2) for i in range(1, 5_001))
    path = put(tmp_path / "a.csv", b"text,label\n" + rows + b"na\xefve,1\n")
    assert refused(path).startswith(", row 5,001: is not UTF-8 (byte 0xef); it looks like cp1252")


def test_nul_and_control_characters_pass(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", HEAD + b'"a\x00b\x07c\x96d",1\n'.replace(b"\x96", b"\xc2\x96"))
    assert load(path)[0].texts[2] == "a\x00b\x07c\x96d"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.tsv"])
def test_a_text_of_ten_megabytes(tmp_path: Path, name: str) -> None:
    long = "word " * 2_000_000
    if name == "a.jsonl":
        content = "".join(
            json.dumps({"text": t, "label": i}) + "\n" for i, t in enumerate([long, "short one"])
        )
    else:
        mark = "," if name == "a.csv" else "\t"
        content = f"text{mark}label\n{long}{mark}0\nshort one{mark}1\n"
    rows = load(put(tmp_path / name, content.encode()))
    assert [len(text) for part in rows for text in part.texts] == [10_000_000, 9]


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.io.files.ROW_LIMIT", 10_000)
    path = put(tmp_path / "a.jsonl", b'{"text": "a b", "label": 1}\n{"text": "' + b"x" * 20_000)
    assert refused(path) == ", row 2: is longer than 10,000 bytes; split the text"


@pytest.mark.parametrize("keep", [12, 40, -1])
def test_truncated_gzip(tmp_path: Path, keep: int) -> None:
    packed = gzip.compress(HEAD * 50)
    line = refused(put(tmp_path / "a.csv.gz", packed[:keep]))
    assert line == ": the gzip data is cut off or damaged; copy or download it again"


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", HEAD)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_zip(), "is a zip archive"),
        (gzip.compress(b"a" * 257 + b"ustar\x0000" + b"\x00" * 200, mtime=0), "is a tar archive"),
        (gzip.compress(gzip.compress(HEAD, mtime=0), mtime=0), "is packed with gzip twice"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "is a picture"),
        (b"%PDF-1.7 and so on", "is a PDF"),
        (b"BZh91AY&SY", "is packed with bzip2"),
        (bytes(range(1, 32)) * 20, "is binary, not text"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    for name in ("a.csv", "a.txt"):
        assert refused(put(tmp_path / name, content)).startswith(f": {said}")


def test_files_that_are_not_parquet_are_refused(tmp_path: Path) -> None:
    assert refused(put(tmp_path / "a.parquet", HEAD)).startswith(": is not a Parquet file")
    assert refused(put(tmp_path / "b", b"PAR1" + b"x" * 99)).startswith(": is not a whole Parquet file")
    with_format = DataConfig(format="csv")
    assert refused(put(tmp_path / "c.csv", b"PAR1" + b"x" * 99), with_format).startswith(
        ": is Parquet, not csv"
    )


def test_a_path_that_is_not_a_regular_file_is_refused() -> None:
    with pytest.raises(DataError, match="/dev/null: is not a regular file; give a file, or -"):
        detect(Path("/dev/null"), AUTO)
