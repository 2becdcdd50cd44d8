"""Format, dialect and columns are detected, or set by the user."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.config import DataConfig
from recurra.errors import ConfigError, DataError
from recurra.io.detect import detect
from recurra.io.formats import Rows, Source, read

GOOD = "a film that one likes to see again, with actors who mean it"
BAD = "nothing happens; then, at last, nothing happens again"
AUTO = DataConfig()


def put(path: Path, *rows: str, encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(f"{row}\n" for row in rows).encode(encoding))
    return path


def rows_of(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    parts = list(read(source))
    return [
        (text, label)
        for part in parts
        for text, label in zip(part.texts, part.labels or [()] * len(part), strict=True)
    ]


def test_csv_with_header(tmp_path: Path) -> None:
    source = detect(put(tmp_path / "a.csv", "id,review,label", f'1,"{GOOD}",pos', f'2,"{BAD}",neg'), AUTO)
    assert (source.format, source.delimiter, source.header) == ("csv", ",", True)
    assert (source.columns, source.text, source.label) == (("id", "review", "label"), ("review",), "label")
    assert rows_of(source) == [(GOOD, ("pos",)), (BAD, ("neg",))]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_csv_with_another_delimiter(tmp_path: Path, delimiter: str) -> None:
    lines = [delimiter.join(row) for row in [("text", "label"), ("so, so", "0"), ("well, good, fine", "1")]]
    source = detect(put(tmp_path / "a.csv", *lines), AUTO)
    assert source.delimiter == delimiter
    assert rows_of(source) == [("so, so", ("0",)), ("well, good, fine", ("1",))]


def test_the_delimiter_can_be_set(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text^label", "a,b^0", "c,d^1")
    source = detect(path, DataConfig(delimiter="^"))
    assert rows_of(source) == [("a,b", ("0",)), ("c,d", ("1",))]


def test_tsv_without_header_takes_quotes_as_characters(tmp_path: Path) -> None:
    source = detect(put(tmp_path / "a.tsv", 'the " mark\t1', '" so it begins\t0', "no marks\t0"), AUTO)
    assert (source.header, source.columns, source.text, source.label) == (False, ("0", "1"), ("0",), "1")
    assert rows_of(source) == [('the " mark', ("1",)), ('" so it begins', ("0",)), ("no marks", ("0",))]


def test_a_quoted_tsv_is_unquoted(tmp_path: Path) -> None:
    source = detect(put(tmp_path / "a.tsv", "text\tlabel", '"say ""no"""\t1', "plain\t0"), AUTO)
    assert rows_of(source) == [('say "no"', ("1",)), ("plain", ("0",))]


def test_a_text_with_line_breaks_is_one_row(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label", '"one', "", 'two",1', "three,0")
    rows = list(read(detect(path, AUTO)))
    assert rows == [Rows([1, 2], ["one\n\ntwo", "three"], [("1",), ("0",)], None)]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_every_kind(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(["text,label", "good film,1", '"bad', 'film",0', ""]).encode())
    assert rows_of(detect(path, AUTO)) == [("good film", ("1",)), (f"bad{end}film", ("0",))]


def test_json_lines_with_integer_labels(tmp_path: Path) -> None:
    lines = [json.dumps({"label": i % 2, "text": t, "meta": {"a": 1}}) for i, t in enumerate([GOOD, BAD])]
    source = detect(put(tmp_path / "a.jsonl", *lines), AUTO)
    assert (source.format, source.text, source.label) == ("jsonl", ("text",), "label")
    assert rows_of(source) == [(GOOD, ("0",)), (BAD, ("1",))]


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", r'{"text": "cut \ud83d here", "label": 1}', '{"text": "b", "label": 0}')
    assert rows_of(detect(path, AUTO))[0][0] == "cut \ufffd here"


def test_parquet_reads_floats_that_are_whole_as_integers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"stars": [1.0, 2.0, 1.0], "text": [GOOD, BAD, None]}), path)
    source = detect(path, AUTO)
    assert rows_of(source) == [(GOOD, ("1",)), (BAD, ("2",)), ("", ("1",))]


def test_decimals_of_parquet_are_labels_as_integers_are(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    label = [
        Decimal("1.00"),
        Decimal("0.00"),
        Decimal("2.50"),
        Decimal("12345678901234567890123456789012345.00"),
    ]
    pq.write_table(pa.table({"text": [GOOD, BAD, GOOD, BAD], "label": label}), path)
    assert [labels for _, labels in rows_of(detect(path, AUTO))] == [
        ("1",), ("0",), ("2.5",), ("12345678901234567890123456789012345",)
    ]  # fmt: skip


def test_a_name_that_parquet_has_twice_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = [[GOOD, BAD], ["x", "y"], ["u", "v"], [1, 0]]
    pq.write_table(pa.table(columns, names=["text", "note", "note", "label"]), path)
    source = detect(path, AUTO)
    assert (source.columns, source.text, source.label) == (("text", "1", "2", "label"), ("text",), "label")
    assert rows_of(source) == [(GOOD, ("1",)), (BAD, ("0",))]
    assert rows_of(detect(path, DataConfig(text=["2"])))[1][0] == "v"


def test_gzip_is_found_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    content = f"text,label\n{GOOD.replace(',', '')},1\nno,0\n".encode()
    (tmp_path / "packed.csv").write_bytes(gzip.compress(content))
    (tmp_path / "plain.csv.gz").write_bytes(content)
    assert detect(tmp_path / "packed.csv", AUTO).gzip
    assert not detect(tmp_path / "plain.csv.gz", AUTO).gzip
    assert rows_of(detect(tmp_path / "packed.csv", AUTO)) == rows_of(detect(tmp_path / "plain.csv.gz", AUTO))


def test_fasttext_lines_with_several_labels(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "__label__pos __label__long so good", "", "__label__neg , bad __label__x")
    source = detect(path, AUTO)
    assert source.format == "fasttext"
    assert rows_of(source) == [("so good", ("pos", "long")), (", bad __label__x", ("neg",))]
    unlabelled = list(read(detect(path, AUTO, labelled=False)))
    assert (unlabelled[0].texts, unlabelled[0].labels) == (["so good", ", bad __label__x"], None)


def test_a_folder_a_class(tmp_path: Path) -> None:
    for name, text in [("neg/2.txt", "b"), ("neg/10.txt", "a"), ("pos/1.txt", "c"), (".git/x.txt", "")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put(tmp_path / name, text)
    (tmp_path / "pos" / "notes.pdf").write_bytes(b"%PDF")
    rows = list(read(detect(tmp_path, AUTO)))
    assert rows == [Rows([1, 2, 3], ["a\n", "b\n", "c\n"], [("neg",), ("neg",), ("pos",)], None)]


def test_of_the_root_of_aclimdb_the_training_part_is_read(tmp_path: Path) -> None:
    for part in ("train/pos", "train/neg", "train/unsup", "test/pos", "test/neg"):
        (tmp_path / part).mkdir(parents=True)
        put(tmp_path / part / "0_1.txt", part)
    source = detect(tmp_path, AUTO)
    assert source.path == tmp_path / "train"
    assert rows_of(source) == [("train/neg\n", ("neg",)), ("train/pos\n", ("pos",))]
    note = source.describe()["note"]
    assert "test/ beside it" in note
    assert "unsup/ is left out (1 texts without labels)" in note
    assert detect(tmp_path / "test", AUTO, like=source).columns == ("neg", "pos")


def test_aclimdb_groups_by_film(tmp_path: Path) -> None:
    for name in ("pos", "neg"):
        (tmp_path / name).mkdir()
        for i in (0, 2, 11):
            put(tmp_path / name / f"{i}_7.txt", "a review")
        urls = [
            f"http://www.imdb.com/title/tt{name}{i}".replace(name, "00" + str(len(name))) for i in range(11)
        ]
        put(tmp_path / f"urls_{name}.txt", *urls)
    (rows,) = read(detect(tmp_path, DataConfig(group="movie")))
    assert rows.groups == ["tt0030", "", "tt0032"] * 2
    (tmp_path / "urls_neg.txt").unlink()
    with pytest.raises(DataError, match="has no groups; leave --group out"):
        detect(tmp_path, DataConfig(group="movie"))


def test_a_folder_of_tables_is_not_a_class(tmp_path: Path) -> None:
    for name in ("pos", "neg", "tables"):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "README.txt", "a text")
    put(tmp_path / "tables" / "train.csv", "text,label")
    assert detect(tmp_path, AUTO).columns == ("neg", "pos")
    assert detect(tmp_path, AUTO).describe()["classes"] == "neg, pos"


def test_a_column_that_the_user_names_shows_the_header(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "comentario", "muy bueno", "muy malo")
    (rows,) = read(detect(path, DataConfig(text=["comentario"]), labelled=False))
    assert rows.texts == ["muy bueno", "muy malo"]


def test_utf8_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label", "\ufeffgood,1", "bad,0", encoding="utf-8-sig")
    source = detect(path, AUTO)
    assert source.columns == ("text", "label")
    assert rows_of(source)[0][0] == "\ufeffgood"  # a mark inside a text is the text's


def test_another_encoding_by_setting(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "评论,标签", "房间很好,1", "太差,0", encoding="gb18030")
    source = detect(path, DataConfig(encoding="gb18030"))
    assert (source.text, source.label) == (("评论",), "标签")
    assert rows_of(source) == [("房间很好", ("1",)), ("太差", ("0",))]


def test_label_wins_over_rating_and_few_over_many(tmp_path: Path) -> None:
    rows = [
        f"{i},tt{i % 7},{i} {GOOD.replace(',', '')},{'pos' if i % 2 else 'neg'},{i % 10}" for i in range(40)
    ]
    named = detect(put(tmp_path / "a.csv", "id,movie,text,label,rating", *rows), AUTO)
    assert (named.text, named.label) == (("text",), "label")
    unnamed = detect(put(tmp_path / "b.csv", *rows), AUTO)
    assert (unnamed.header, unnamed.text, unnamed.label) == (False, ("2",), "3")


def test_a_file_sorted_by_class_shows_its_label_column(tmp_path: Path) -> None:
    rows = [f"{'b' if i > 1_500 else 'a'}\t{i % 5}x{i}\tthe text number {i}" for i in range(3_000)]
    assert detect(put(tmp_path / "a.tsv", *rows), AUTO).label == "0"


def test_a_title_is_put_before_its_text(tmp_path: Path) -> None:
    rows = [f"{i % 4 + 1},A headline of number {i},{i} and so the story went on for long" for i in range(9)]
    train = detect(put(tmp_path / "a.csv", "class_index,title,description", *rows), AUTO)
    assert (train.text, train.label) == (("title", "description"), "class_index")
    test = detect(put(tmp_path / "b.csv", *rows[:3]), AUTO, like=train)
    assert (test.header, test.text, test.label) == (False, ("1", "2"), "0")
    assert rows_of(test) == rows_of(train)[:3]
    # With the training columns written out as settings the answer is the same.
    again = detect(tmp_path / "b.csv", DataConfig(**train.settings()), like=train)
    assert again == test


def test_a_test_file_with_columns_in_another_order(tmp_path: Path) -> None:
    train = detect(put(tmp_path / "a.csv", "text,label", "good one,1", "bad one,0"), AUTO)
    test = detect(put(tmp_path / "b.csv", "note,label,text", "x,1,fine"), AUTO, like=train)
    assert rows_of(test) == [("fine", ("1",))]


def test_prediction_needs_no_labels(tmp_path: Path) -> None:
    train = detect(put(tmp_path / "a.csv", "text,label", "good one,1", "bad one,0"), AUTO)
    for path in (
        put(tmp_path / "b.csv", "text", '"fine, they say"', "so"),
        put(tmp_path / "c.csv", "text,label", '"fine, they say",1', "so,"),
        put(tmp_path / "d.txt", "fine, they say", "so"),
        put(tmp_path / "f.txt", '"fine, they say",', "so,1"),
        put(tmp_path / "e.jsonl", '{"text": "fine, they say"}', '{"text": "so"}'),
    ):
        source = detect(path, DataConfig(**train.settings()), labelled=False, like=train)
        (rows,) = read(source)
        assert (rows.texts, rows.labels) == (["fine, they say", "so"], None), path


@pytest.mark.parametrize("separator", ["|", ";", ","])
def test_several_labels_in_a_cell(tmp_path: Path, separator: str) -> None:
    cells = ["rude{0} loud", "rude", "loud", "rude{0}mild{0}loud", "", "mild"]
    rows = [f'"{cell.format(separator)}"\ttext number {i} of some length' for i, cell in enumerate(cells)]
    source = detect(put(tmp_path / "a.tsv", "labels\ttext", *rows), AUTO)
    assert source.label_separator == separator
    expected = [("rude", "loud"), ("rude",), ("loud",), ("rude", "mild", "loud"), (), ("mild",)]
    assert [labels for _, labels in rows_of(source)] == expected


def test_the_name_of_one_class_may_contain_a_comma(tmp_path: Path) -> None:
    rows = [f'"{c}",a text of number {i}' for i, c in enumerate(["Food, Drinks", "Books", "Food, Drinks"])]
    source = detect(put(tmp_path / "a.csv", "category,text", *rows), AUTO)
    assert source.label_separator is None
    assert rows_of(source)[0][1] == ("Food, Drinks",)
    split = detect(tmp_path / "a.csv", DataConfig(label_separator=","))
    assert rows_of(split)[0][1] == ("Food", "Drinks")


def test_lists_of_labels(tmp_path: Path) -> None:
    jsonl = put(
        tmp_path / "a.jsonl", '{"text": "a b c", "labels": ["x", "y"]}', '{"text": "d", "labels": []}'
    )
    assert [labels for _, labels in rows_of(detect(jsonl, AUTO))] == [("x", "y"), ()]
    cells = put(tmp_path / "a.csv", "text,tags", 'a b c,"[""x"", ""y""]"', "d e f,['x']", "g h,[]")
    source = detect(cells, AUTO)
    assert source.label_separator == "json"
    assert [labels for _, labels in rows_of(source)] == [("x", "y"), ("x",), ()]


def test_several_text_columns_without_brackets_are_answered_with_them(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "title,body,label", "a b c,d e f,1", "g h i,j k l,0")
    with pytest.raises(DataError, match=r"for several columns write --set data\.text='\[title, body\]'$"):
        detect(path, DataConfig(text=["title, body"]))
    with pytest.raises(DataError, match=r"there are title, body, label: choose with --set data\.text=NAME$"):
        detect(path, DataConfig(text=["title,bdy"]))


def test_what_the_user_sets_wins(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.csv", "text,label,other,kind,film", f"{'long ' * 9},1,short,a,f1", "b c,0,d,b,f2"
    )
    source = detect(path, DataConfig(text=["other", "text"], label="kind", group="film"))
    rows = list(read(source))
    assert rows[0].texts[1] == "d b c"
    assert rows[0].labels == [("a",), ("b",)]
    assert rows[0].groups == ["f1", "f2"]
    with pytest.raises(DataError, match=r"no column 'film2'; there are text, label, other, kind, film"):
        detect(path, DataConfig(group="film2"))


def test_the_first_row_can_be_declared_data(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label", "so it goes,1")
    source = detect(path, DataConfig(header=False, text=["0"], label="1"))
    assert rows_of(source) == [("text", ("label",)), ("so it goes", ("1",))]


def test_an_unknown_encoding_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.encoding = 'utf-9'"):
        detect(put(tmp_path / "a.csv", "a,b"), DataConfig(encoding="utf-9"))


def test_a_source_is_saved_and_loaded(tmp_path: Path) -> None:
    source = detect(put(tmp_path / "a.csv", "text,label", "good one,1", "bad one,0"), AUTO)
    assert Source.from_json(source.to_json()) == source
    with pytest.raises(DataError, match="not a saved description"):
        Source.from_json("[]")


def test_a_source_describes_itself(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label,film", "good one,1|2,x", "bad one,1,y", "so,2,z")
    result = detect(path, DataConfig(group="film")).describe()
    assert result == {
        "file": str(path),
        "format": "CSV, comma between fields, the first row names the columns",
        "columns": "text, label, film",
        "text": "text",
        "label": "label (several, split at '|')",
        "group": "film",
    }


def test_chunks_are_bounded_in_rows_and_characters(tmp_path: Path) -> None:
    many = put(tmp_path / "a.tsv", *(f"text {i}\t{i % 2}" for i in range(2_500)))
    assert [len(rows) for rows in read(detect(many, AUTO))] == [1024, 1024, 452]
    long = put(tmp_path / "b.jsonl", *(json.dumps({"text": "x" * 1_500_000, "label": i}) for i in range(7)))
    assert [len(rows) for rows in read(detect(long, AUTO))] == [3, 3, 1]


@pytest.mark.parametrize("config", [AUTO, DataConfig(text=["body"])])
def test_further_columns_that_look_like_text_are_named(tmp_path: Path, config: DataConfig) -> None:
    rows = [
        f"user of mine {n},a good plot {n} please,this is what happened to me on day {n},{n % 5},{n % 2}"
        for n in range(40)
    ]
    source = detect(put(tmp_path / "a.csv", "user,claim,body,stars,label", *rows), config)
    assert (source.text, source.label) == (("body",), "label")
    said = "claim looks like text too: --set data.text='[claim, body]' reads it"
    assert source.notes == ((said,) if config is AUTO else ())
    if config is AUTO:
        assert detect(source.path, config, like=source).notes == ()


@pytest.mark.parametrize(
    "long",
    [
        "2024-05-{:02} 10:30:00",
        "https://example.org/{:02}/a-long-address",
        "8a2f1c3e-99{:02}-4f00-8000-1234567890ab",
    ],
)
def test_dates_addresses_and_uuids_are_no_texts(tmp_path: Path, long: str) -> None:
    """The longest and most varied column is the text, but not if its cells are no words."""
    rows = [f"{long.format(i)},no {i % 7} heat,{'ab'[i % 2]}" for i in range(10, 28)]
    source = detect(put(tmp_path / "a.csv", "opened,problem,label", *rows), AUTO)
    assert (source.text, source.label) == (("problem",), "label")
