"""Files of word vectors: every format has the same numbers, and a broken row is refused by its number."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.io.vectors import open_vectors, read_vectors

Vectors = dict[str, NDArray[np.float32]]
FORMS = ["glove.txt", "fasttext.vec", "glove.txt.gz", "fasttext.vec.gz", "word2vec.bin", "word2vec.bin.gz"]

word = st.text(
    st.characters(exclude_characters=" \t\r\n\ufeff", exclude_categories=["Cs"]), min_size=1, max_size=8
)
number = st.floats(-(2.0**80), 2.0**80, width=32, allow_subnormal=False)


@st.composite
def vectors(draw: st.DrawFn) -> Vectors:
    width = draw(st.integers(2, 5))
    row = st.lists(number, min_size=width, max_size=width)
    sample = draw(st.dictionaries(word, row, min_size=1, max_size=8))
    return {name: np.array(row, np.float32) for name, row in sample.items()}


def as_bytes(sample: Vectors, form: str) -> bytes:
    width = len(next(iter(sample.values())))
    header = f"{len(sample)} {width}\n".encode()
    if ".bin" in form:
        return header + b"".join(
            k.encode() + b" " + v.astype("<f4").tobytes() + b"\n" for k, v in sample.items()
        )
    end = " \n" if ".vec" in form else "\n"  # fastText ends each line with a space
    rows = (f"{k} {' '.join(repr(float(n)) for n in v)}{end}".encode() for k, v in sample.items())
    return (header if ".vec" in form else b"") + b"".join(rows)


def write(folder: Path, form: str, content: bytes) -> Path:
    path = folder / form
    path.write_bytes(gzip.compress(content) if form.endswith(".gz") else content)
    return path


def read(path: Path, wanted: list[str]) -> Vectors:
    return read_vectors(open_vectors(path), wanted)


SOME: Vectors = {
    "good": np.array([1, 2, 3], np.float32),
    "bad": np.array([-1, 0.5, 4], np.float32),
    "电影": np.array([0, 0.25, 1e-3], np.float32),
}


@pytest.mark.parametrize("form", FORMS)
@given(vectors(), st.data())
def test_vectors_of_the_wanted_words_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, form: str, sample: Vectors, data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("vectors"), form, as_bytes(sample, form))
    wanted = data.draw(st.lists(st.sampled_from([*sample, "no such word"]), unique=True))
    result = read(path, wanted)
    assert set(result) == set(wanted) & set(sample)
    for name, vector in result.items():
        np.testing.assert_array_equal(vector, sample[name])
        assert vector.dtype == np.float32


@pytest.mark.parametrize("form", ["fasttext.vec", "word2vec.bin", "fasttext.vec.gz", "word2vec.bin.gz"])
@given(st.data())
def test_a_file_with_a_row_less_than_its_header_says_is_refused(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    whole = as_bytes(SOME, form)
    last = len(whole) - len(as_bytes({"电影": SOME["电影"]}, form).split(b"\n", 1)[1])
    cut = data.draw(st.integers(whole.index(b"\n") + 1, last + len("电影".encode())))
    path = write(tmp_path_factory.mktemp("vectors"), form, whole[:cut])
    with pytest.raises(DataError) as refusal:
        read(path, list(SOME))
    assert path.name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=300), st.sampled_from(FORMS))
def test_any_bytes_are_vectors_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, form: str
) -> None:
    path = tmp_path_factory.mktemp("vectors") / form
    path.write_bytes(content)
    result, refusal = {}, ""
    try:
        result = read(path, ["good"])
    except DataError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert all(np.isfinite(vector).all() for vector in result.values())


def test_a_gzip_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(as_bytes(SOME, "glove.txt") * 10_000)[:-20])
    with pytest.raises(DataError, match="gzip data is cut off"):
        read(path, ["good"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"good 1 2 3\nbad 4 5\n", "row 2: has 2 numbers where the others have 3"),
        (b"good 1 2 3\nbad 4 5 6 7\n", "row 2: has 4 numbers where the others have 3"),
        (b"2 3\ngood 1 2 3\nbad 4 5 6 7\n", "row 2: has 4 numbers where the others have 3"),
        (b"good 1 2 3\nbad 4 5 6\nfine 1 nan 2\n", "row 3: the vector of 'fine' is not finite"),
        (b"good 1 2 3\nfine 1e50 0 0\n", "row 2: the vector of 'fine' is not finite"),
        (b"good 1 2 3\nfine 1 two 3\n", "row 2: has something other than numbers"),
        (b"3 3\ngood 1 2 3\nbad 4 5 6\n", "row 2: is cut short: its header says 3 words"),
        (b"1 3\ngood 1 2 3\nbad 4 5 6\n", "row 2: its header says 1 words, and there are more"),
        (b"text,label\na film,1\n", "row 1: is not a file of word vectors"),
        (b"a fine film\n", "row 1: is not a file of word vectors"),
        (b"0 3\n", "has no vectors"),
        (b"5 0\n", "has no vectors"),
        (b"", "the file is empty"),
        ((793_712_314).to_bytes(4, "little") + b"\x0c\x00", "is a fastText model, not vectors"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_by_its_row(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read(path, ["good", "fine"])
    assert complaint in str(refusal.value)
    assert "v.txt" in str(refusal.value)


def test_a_binary_file_of_another_width_or_with_nan_is_refused(tmp_path: Path) -> None:
    content = as_bytes(SOME, "v.bin")
    path = write(tmp_path, "v.bin", content.replace(b"3 3\n", b"3 2\n", 1))
    with pytest.raises(DataError, match="more bytes than its header says"):
        read(path, ["good"])
    path = write(tmp_path, "v.bin", content.replace(b"3 3\n", b"3 9\n", 1))
    with pytest.raises(DataError, match="is cut short"):
        read(path, ["good"])
    path = write(tmp_path, "v.bin", as_bytes({**SOME, "bad": np.array([1, np.nan, 2], np.float32)}, "v.bin"))
    with pytest.raises(DataError, match="row 2: the vector of 'bad' is not finite"):
        read(path, ["bad"])
    with pytest.raises(DataError, match="is not a file of word vectors"):
        open_vectors(write(tmp_path, "w.bin", as_bytes(SOME, "glove.txt")))


def test_unusual_words_of_published_files_are_read(tmp_path: Path) -> None:
    rows = [
        b"the 1 2",
        b". . . 3 4",
        b" 5 6",
        b"\xff\xfe 7 8",
        b"at name@x.com 9 1",
        b"the 0 0",
        b"last 2 3",
        b"",
    ]
    path = write(tmp_path, "v.txt", b"\n".join(rows))
    result = read(path, ["the", "last", ". . .", ""])
    assert {name: vector.tolist() for name, vector in result.items()} == {
        "the": [1, 2], ". . .": [3, 4], "": [5, 6], "last": [2, 3],
    }  # fmt: skip


def test_tabs_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "v.txt", b"\xef\xbb\xbf1 2\r\ngood\t1\t2\r\n")
    assert read(path, ["good"])["good"].tolist() == [1, 2]
    path = write(tmp_path, "v.txt", b"\xef\xbb\xbfgood\t1\t2\r\n\r\n")
    assert read(path, ["good"])["good"].tolist() == [1, 2]


def test_binary_rows_may_be_without_newlines(tmp_path: Path) -> None:
    content = b"2 1\n" + b"".join(w + b" " + np.float32([n]).tobytes() for w, n in ((b"a", 1), (b"b", 2)))
    assert read(write(tmp_path, "v.bin", content), ["a", "b"]) == {"a": [1], "b": [2]}


def test_a_large_binary_file_is_read_in_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    many = {
        f"word{n}": rng.normal(size=300).astype(np.float32) for n in range(3_000)
    }  # 3.6 MB: several blocks
    result = read(write(tmp_path, "v.bin", as_bytes(many, "v.bin")), ["word0", "word1499", "word2999"])
    for name, vector in result.items():
        np.testing.assert_array_equal(vector, many[name])
    assert len(result) == 3
