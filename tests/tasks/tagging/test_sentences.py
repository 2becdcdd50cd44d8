"""Files of tagged sentences: what is read, what is left out, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.config import DataConfig
from recurra.errors import BundleError, DataError
from recurra.io.files import Lines
from recurra.io.formats import Skipped
from recurra.tasks.tagging.sentences import (
    Sentence,
    SentenceSource,
    TagCounts,
    detect_sentences,
    read_sentence_stream,
    read_sentences,
    split_words,
)
from recurra.tasks.tagging.sentences.formats import SENTENCE_FORMATS, SentenceFormat
from recurra.tasks.tagging.sentences.reading import is_sentences, read_sentences_from
from recurra.tasks.tagging.settings import TaggingConfig
from tests.conftest import Run

AUTO = DataConfig()


def word(number: object, form: str, upos: str = "NOUN", xpos: str = "NN", feats: str = "_") -> str:
    return f"{number}\t{form}\t_\t{upos}\t{xpos}\t{feats}\t0\troot\t_\t_"


TREEBANK = "\n".join(
    [
        "# sent_id = 1",
        "# text = vámonos al mar",
        word("1-2", "vámonos", "_", "_"),
        word(1, "vamos", "VERB", "VM"),
        word(2, "nos", "PRON", "P", "Number=Plur"),
        word("3-4", "al", "_", "_"),
        word(3, "a", "ADP", "SP"),
        word(4, "el", "DET", "DA"),
        word(5, "mar"),
        "",
        "# a comment",
        word(1, "New York", "PROPN", "NNP"),
        word("1.1", "is", "VERB", "VBZ"),
        word(2, "#", "SYM", "#"),
        "",
        "",
    ]
)
FIRST = Sentence(("vamos", "nos", "a", "el", "mar"), ("VERB", "PRON", "ADP", "DET", "NOUN"), 4)
SECOND = Sentence(("New York", "#"), ("PROPN", "SYM"), 12)


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(
    path: Path,
    data: DataConfig = AUTO,
    tagging: TaggingConfig | None = None,
    *,
    labelled: bool = True,
    skipped: Skipped | None = None,
) -> list[Sentence]:
    source = detect_sentences(path, data, tagging or TaggingConfig(), labelled=labelled)
    return list(read_sentences(source, skipped))


def refused(path: Path, data: DataConfig = AUTO, tagging: TaggingConfig | None = None) -> str:
    with pytest.raises(DataError) as caught:
        load(path, data, tagging)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line[len(str(path)) :]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tail", ["", "\n\n", "\n \n"])
def test_ranges_and_empty_nodes_are_left_out(tmp_path: Path, ending: str, packed: bool, tail: str) -> None:
    content = (TREEBANK.rstrip("\n") + tail).replace("\n", ending).encode()
    path = put(tmp_path / ("a.conllu" + ".gz" * packed), gzip.compress(content) if packed else content)
    assert load(path) == [FIRST, SECOND]
    assert load(put(tmp_path / "treebank", content)) == [FIRST, SECOND]  # by what stands in it


def test_the_column_is_chosen(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conllu", TREEBANK)
    assert load(path, tagging=TaggingConfig(column="xpos"))[0].tags == ("VM", "P", "SP", "DA", "NN")
    assert load(path, tagging=TaggingConfig(column="feats"))[0].tags == ("_", "Number=Plur", "_", "_", "_")


def test_the_column_of_other_files_is_chosen_by_number(tmp_path: Path, run: Run) -> None:
    path = put(tmp_path / "a.conll", "EU NNP B-NP B-ORG\ncalls VBZ B-VP O\n\n. . O O\n")
    for column, expected in ((2, ("NNP", "VBZ")), (3, ("B-NP", "B-VP")), ("upos", ("B-ORG", "O"))):
        tagging = TaggingConfig(column=column)
        assert load(path, tagging=tagging)[0].tags == expected
        said = detect_sentences(path, AUTO, tagging).describe()["columns"]
        assert said == f"4: the first is the word, column {4 if column == 'upos' else column} its tag"
    assert refused(path, tagging=TaggingConfig(column=5)).startswith(
        ": most lines have 4 columns, and tagging.column is 5; remove the setting"
    )
    treebank = put(tmp_path / "a.conllu", TREEBANK)
    assert refused(treebank, tagging=TaggingConfig(column=2)).endswith("use one of upos, xpos, feats")
    narrow = detect_sentences(
        put(tmp_path / "new.tsv", "a\tX\n"), AUTO, TaggingConfig(column=3), labelled=False
    )
    assert list(read_sentences(narrow)) == [Sentence(("a",), None, 1)]
    for column in ("[2]", "2.5", "1", "pos"):
        ran = run("fit", path, "--set", f"tagging.column={column}", "--out", tmp_path / "m")
        assert ran.code == 2
        assert "tagging.column" in ran.err
    assert "give upos, xpos, feats or the number of a column, 2 or more" in ran.err


def test_words_alone_need_no_tags(tmp_path: Path) -> None:
    path = put(tmp_path / "a.conllu", word(1, "mar", "_") + "\n" + word(2, "el", "DET") + "\n")
    assert load(path, labelled=False) == [Sentence(("mar", "el"), None, 1)]
    lines = put(tmp_path / "a.txt", "el mar\n\n  la   tierra .\n")
    assert load(lines, labelled=False) == [
        Sentence(("el", "mar"), None, 1),
        Sentence(("la", "tierra", "."), None, 3),
    ]


def test_columns_with_the_tag_last(tmp_path: Path) -> None:
    conll = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n# # O O\n\n\nPeter NNP B-NP B-PER\n"
    expected = [Sentence(("EU", "#"), ("B-ORG", "O"), 3), Sentence(("Peter",), ("B-PER",), 7)]
    assert load(put(tmp_path / "eng.train", conll)) == expected
    tabs = "# id 1 of 3\nNew York\tPROPN\n#\tSYM\n"
    assert load(put(tmp_path / "a.tsv", tabs)) == [Sentence(("New York", "#"), ("PROPN", "SYM"), 2)]
    bom = "\ufeffdas\tDET\n".encode()
    assert load(put(tmp_path / "bom.tsv", bom))[0].words == ("das",)
    utf16 = "das\tDET\nMeer\tNOUN\n".encode("utf-16")
    assert load(put(tmp_path / "wide", utf16), DataConfig(encoding="utf-16"))[0].tags == ("DET", "NOUN")


def test_other_white_space_may_be_in_a_word(tmp_path: Path) -> None:
    content = "10\u00a0000 NUM\n\u2009\u20ac  SYM \n"
    assert load(put(tmp_path / "a", content)) == [
        Sentence(("10\u00a0000", "\u2009\u20ac"), ("NUM", "SYM"), 1)
    ]
    assert refused(put(tmp_path / "a", "a NUM\n\u3000 O\n")) == ", row 2: the word is empty"


def test_words_alone_are_read_in_the_layout_of_the_training_file(tmp_path: Path) -> None:
    like = detect_sentences(put(tmp_path / "train", "el DET\nmar NOUN\n"), AUTO, TaggingConfig())
    two = put(tmp_path / "two", "la X\ntierra Y\n")
    result = detect_sentences(two, AUTO, TaggingConfig(), labelled=False, like=like)
    assert [one.words for one in read_sentences(result)] == [("la", "tierra")]
    assert load(two, labelled=False)[0].words == ("la", "X")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (word(1, "mar", "_"), ", row 1: the word 'mar' has no UPOS tag; its XPOS is there: pass --set "
         "tagging.column=xpos"),
        (word(1, "mar", "_", "_"), ", row 1: the word 'mar' has no UPOS tag"),
        (word(1, "mar") + "\n" + word(2, " "), ", row 2: the word is empty"),
        (word(1, "a") + "\n" + word(3, "b"), ", row 2: the word's number is '3', not 2"),
        (word(1, "a") + "\n" + word(1, "b"), ", row 2: the word's number is '1', not 2; a blank line must "
         "part sentences"),
        (word(1, "a") + "\n2\tb\tNOUN", ", row 2: the line has 3 columns, CoNLL-U has 10 parted by tabs"),
        ("# only comments", ": there are no sentences; give a file with tagged words"),
        (word("1-2", "del"), ": there are no sentences; give a file with tagged words"),
    ],
)  # fmt: skip
def test_broken_conllu_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    assert refused(put(tmp_path / "a.conllu", content + "\n")) == complaint


@pytest.mark.parametrize("ends", [["\t"], ["", "\t"], ["", "", "\t\t"], ["\t\t", "\t"]])
@pytest.mark.parametrize("layout", ["{word}\t{tag}", "{word}\tx\t{tag}", "conllu"])
def test_empty_last_cells_are_no_columns(tmp_path: Path, ends: list[str], layout: str) -> None:
    pairs = [(n, f"w{n}", f"T{n % 3}") for n in range(1, 10)]
    lines = [
        (word(*pair) if layout == "conllu" else layout.format(word=pair[1], tag=pair[2]))
        + ends[n % len(ends)]
        for n, pair in enumerate(pairs)
    ]
    (result,) = load(put(tmp_path / "a.tsv", "\n".join(lines) + "\n"))
    assert result.words == tuple(form for _, form, _ in pairs)
    assert result.tags == tuple(tag for _, _, tag in pairs)


def test_words_whose_tag_is_left_empty_are_read_in_the_layout_of_the_training_file(tmp_path: Path) -> None:
    like = detect_sentences(put(tmp_path / "train", "el\tx\tDET\nmar\tx\tNOUN\n"), AUTO, TaggingConfig())
    for name in ("new", "new.tsv"):
        new = put(tmp_path / name, "la\tx\t\ntierra\tx\t\n")
        source = detect_sentences(new, AUTO, TaggingConfig(), labelled=False, like=like)
        assert [(one.words, one.tags) for one in read_sentences(source)] == [(("la", "tierra"), None)]
    untagged = put(tmp_path / "train.tsv", "el\tx\tDET\nmar\tx\t\nla\tx\tDET\n")
    assert refused(untagged) == ", row 2: the word 'mar' has no tag"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a\tX\nb\n\nc\tX\n", ", row 2: the word 'b' has no tag"),
        ("a X\nb X Y\nc X\n", ", row 2: the line has 3 columns, the others 2; each needs the word first and "
         "its tag"),
        ("a\tX\n\tY\n", ", row 2: the word is empty"),
        ("a\t_\nb\tX\n", ", row 1: the word 'a' has no tag"),
        ("el\nmar\n", ": most lines have one column, without a tag; write a word, a tab and its tag on each "
         "line, and a blank line between sentences"),
        ("-DOCSTART- O\n\n", ": most lines have one column"),
        ("", ": the file is empty; give a file with rows"),
        (b"a\tX\nb\xe9\tY\n", ", row 2: is not UTF-8 (byte 0xe9); it looks like cp1252: pass --set "
         "data.encoding=cp1252"),
        (gzip.compress(b"a\tX\n" * 9, mtime=0)[:-12], ": the gzip data is cut off or damaged"),
        (b"PK\x03\x04....", ": is a zip archive"),
    ],
)  # fmt: skip
def test_broken_columns_are_refused(tmp_path: Path, content: str | bytes, complaint: str) -> None:
    assert refused(put(tmp_path / "a.txt", content)).startswith(complaint)


def test_a_missing_file_and_sentences_without_tags(tmp_path: Path) -> None:
    put(tmp_path / "train.conllu", TREEBANK)
    assert "did you mean train.conllu?" in refused(tmp_path / "trian.conllu")
    lines = put(tmp_path / "a.txt", "el mar .\n")
    assert "has sentences without tags" in refused(lines, tagging=TaggingConfig(format="lines"))


def test_a_file_without_blank_lines_is_refused(tmp_path: Path) -> None:
    line = refused(put(tmp_path / "a.txt", "el DET\n" * 5_001))
    assert line == ", row 5,001: the sentence has more than 5,000 words; a blank line must part sentences"
    with pytest.raises(DataError, match="more than 5,000 words"):
        load(put(tmp_path / "b", "a " * 5_001), labelled=False)
    content = "el DET\n" * 5_001 + "\nmar NOUN\n"
    result = load(put(tmp_path / "c", content), DataConfig(skip_bad_rows=True))
    assert [one.words for one in result] == [("mar",)]


def test_broken_sentences_can_be_left_out(tmp_path: Path) -> None:
    content = (
        f"{word(1, 'a')}\n{word(3, 'b')}\n{word(4, 'c')}\n\n{word(1, 'd')}\n\n{word(1, 'e', '_')}\n".encode()
        + b"\n1\t\xff\xff\n\n"
        + word(1, "f").encode()
    )
    skipped = Skipped()
    result = load(put(tmp_path / "a.conllu", content), DataConfig(skip_bad_rows=True), skipped=skipped)
    assert [(one.words, one.row, one.number) for one in result] == [(("d",), 5, 2), (("f",), 11, 5)]
    assert skipped.count == 3
    assert skipped.examples[0] == "row 2: the word's number is '3', not 2"


tags = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4)
words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
sentences = st.lists(st.lists(st.tuples(words, tags), min_size=1, max_size=6), min_size=1, max_size=6)


@given(sentences, st.sampled_from(["conllu", "tab", "space", "brown"]), st.integers(1, 3))
def test_sentences_are_read_as_written(result: list[list[tuple[str, str]]], layout: str, blank: int) -> None:
    lines: list[str] = []
    for sentence in result:
        for number, (form, tag) in enumerate(sentence, 1):
            plain = f"{form}\t{tag}" if layout == "tab" else f"{form} {tag}"
            lines.append(word(number, form, tag) if layout == "conllu" else plain)
        if layout == "brown":
            lines[-len(sentence) :] = [" ".join(f"{form}/{tag}" for form, tag in sentence)]
        lines += [""] * blank
    raw = io.BytesIO("\n".join(lines).encode())
    source = SentenceSource(
        Path("a"), layout if layout in SENTENCE_FORMATS else "columns", tabs=layout == "tab", columns=2
    )
    read = list(read_sentences_from(Lines(iter(raw), "a", "utf-8", False), source))
    assert [list(zip(one.words, one.tags or (), strict=True)) for one in read] == result
    counts = TagCounts.learn(read)
    assert sum(counts.frequencies().values()) == sum(map(len, result))
    assert TagCounts.from_json(counts.to_json()) == counts


@given(st.text(max_size=60))
def test_any_bytes_are_read_or_refused_with_their_row(content: str) -> None:
    for form in ("conllu", "columns", "brown"):
        source = SentenceSource(Path("a"), form)
        lines = Lines(iter(io.BytesIO(content.encode("utf-8", "replace"))), "a", "utf-8", False)
        result: list[Sentence] = []
        complaint = "a, row 1"
        try:
            result += read_sentences_from(lines, source)
        except DataError as error:
            complaint = str(error)
        assert complaint.startswith(("a, row ", "a: there are no sentences"))
        assert all(word.strip() for sentence in result for word in sentence.words)
        assert all(len(sentence.tags or ()) == len(sentence.words) for sentence in result)


def test_a_layout_is_saved_and_loaded() -> None:
    source = SentenceSource(Path("a/b.conllu.gz"), "conllu", True, column="xpos")
    assert SentenceSource.from_json(source.to_json()) == source
    changes = (
        {"path": 3}, {"format": "x"}, {"column": [1]}, {"column": "x"}, {"columns": "2"}, {"columns": 0},
        {"encoding": 3}, {"gzip": "yes"},
    )  # fmt: skip
    changed = (json.dumps({**json.loads(source.to_json()), **change}) for change in changes)
    for broken in ("[]", "{", '{"path": "a"}', "[" * 100_000, *changed):
        with pytest.raises(BundleError):
            SentenceSource.from_json(broken)
    for broken in ("[]", "{", '{"a": {"b": 0}}', '{"a": 3}', '{"a": {"b": "1"}}'):
        with pytest.raises(BundleError):
            TagCounts.from_json(broken)


def test_file_names_of_tagged_sentences() -> None:
    names = ["train.conllu", "train.CONLLU.gz", "eng.conll", "x.bio", "a.csv", "a.tsv", "conllu"]
    assert [is_sentences(Path(name)) for name in names] == [True, True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("I don't think we're in Kansas.", "I do n't think we 're in Kansas ."),
        ("She said: “it’s $3.50!!”", "She said : “ it ’s $ 3.50 !! ”"),
        ("Mail a.b@c-d.org or www.x.org/y?z", "Mail a.b@c-d.org or www.x.org/y?z"),
        ("the U.S. at 10:30, O'Neil's", "the U.S. at 10:30 , O'Neil 's"),
        ("déjà vu—encore", "déjà vu — encore"),
    ],
)
def test_plain_text_becomes_words_and_marks(text: str, expected: str) -> None:
    assert " ".join(split_words(text)) == expected


@given(st.text(max_size=80))
def test_splitting_loses_only_white_space(text: str) -> None:
    assert "".join(split_words(text)) == "".join(text.split())


def test_the_setting_names_every_format() -> None:
    assert get_args(TaggingConfig.model_fields["format"].annotation) == ("auto", *SENTENCE_FORMATS)


def test_a_format_in_the_table_is_detected_read_and_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format whose lines have the tag first."""

    def parse(line: str, words: int, source: SentenceSource) -> tuple[str, str | None] | None:
        tag, _, word = line.partition(":")
        return None if line.startswith("%") else (word, tag)

    tag_first = SentenceFormat(
        "tag-first", "the tag first", lambda start: start.lines[0].startswith("%"), parse=parse
    )
    formats = {tag_first.name: tag_first, **SENTENCE_FORMATS}
    for module in ("formats", "reading"):
        monkeypatch.setattr(f"recurra.tasks.tagging.sentences.{module}.SENTENCE_FORMATS", formats)
    content = b"% tags first\nDET:the\nNOUN:end\n\nVERB:go\n"
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    source = detect_sentences(path, AUTO, TaggingConfig())
    assert source.describe() == {"file": str(path), "format": "the tag first"}
    expected = [Sentence(("the", "end"), ("DET", "NOUN"), 2), Sentence(("go",), ("VERB",), 5)]
    assert list(read_sentences(source)) == expected
    streamed, _ = read_sentence_stream(io.BytesIO(content), None, AUTO, TaggingConfig())
    assert list(streamed) == expected
