"""The counts of the check of labelled texts on files with known defects."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.detect import detect
from recurra.io.figures import Figures, conflicts, leaks, repeats
from recurra.io.formats import read
from recurra.tasks.classification.check import DataCheck, check, check_files, table
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.settings import build_config

SMALL = build_config({"tokenizer": {"max_tokens": 6, "vocab_size": 100}})


def put(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DataCheck:
    folder = tmp_path_factory.mktemp("check")
    train = [
        ("the film is good", "1"),  # row 1
        ("the film is bad", "0"),
        ("the film is good", "1"),  # repeats row 1
        ("The  film IS good", "1"),  # repeats it but for case and space
        ("", "0"),  # empty
        ("\ufeff ", "1"),  # nothing to be seen
        ("so it goes", "1"),
        ("so it goes", "0"),  # row 8, another label than row 7
        ("a b c d e f g h", "1"),  # too long
        ("the end", "0"),
    ]
    test = [("the film is good", "1"), ("SO it goes", "0"), ("unheard of words", "2"), ("the film", "0")]
    return check(put(folder / "train.tsv", train), None, put(folder / "test.tsv", test), SMALL)


def test_rows_and_classes(report: DataCheck) -> None:
    assert report.parts["train"].rows == 10
    assert report.parts["train"].classes == {"0": 4, "1": 6}
    assert report.parts["test"].classes == {"0": 2, "1": 1, "2": 1}


def test_empty_texts(report: DataCheck) -> None:
    assert (report.parts["train"].empty, report.parts["train"].empty_rows) == (2, [5, 6])


def test_duplicates(report: DataCheck) -> None:
    train = report.parts["train"]
    assert (train.duplicates, train.duplicate_rows) == (2, [(3, 1), (8, 7)])
    assert train.duplicates_loose == 3


def test_conflicts(report: DataCheck) -> None:
    assert (report.parts["train"].conflicts, report.parts["train"].conflict_rows) == (1, [(8, 7)])


def test_leaks(report: DataCheck) -> None:
    (leak,) = report.leaks
    assert (leak.part, leak.seen_in, leak.rows, leak.rows_loose) == ("test", "train", 1, 2)
    assert leak.first == [(1, 1)]


def test_lengths_and_cut(report: DataCheck) -> None:
    train = report.parts["train"]
    # <start> and the words: 5 5 5 5 1 1 4 4 9 3, in order 1 1 3 4 4 5 5 5 5 9
    assert train.tokens == {"5": 1, "25": 3, "50": 4, "75": 5, "95": 9, "99": 9, "100": 9}
    assert train.truncated == pytest.approx(0.1)


def test_unknown_tokens_are_measured_on_the_held_out_file(report: DataCheck) -> None:
    # <start> counts as a token: 5 + 4 + 4 + 3; unheard, of, words are unknown.
    assert report.held_out == "test"
    assert report.unknown == pytest.approx(3 / 16)
    assert report.parts["train"].unknown == 0


def test_warnings_say_what_to_do(report: DataCheck) -> None:
    text = "\n".join(report.warnings)
    assert "train: 2 texts are empty (first: row 5); remove them" in text
    assert "train: 2 rows repeat the text of an earlier one (first: row 3 repeats row 1); remove them" in text
    assert "train: 1 text has different labels (first: rows 7 and 8)" in text
    assert "test: 1 text is also in train (first: row 1 is row 1 there)" in text
    assert "test: labels that are not in train: 2" in text
    assert "raise tokenizer.vocab_size" in text


def test_the_check_can_be_printed_and_saved(report: DataCheck) -> None:
    header, rows = table(report)
    printed = {row[0]: row[1:] for row in rows}
    assert header == ["", "train", "test"]
    assert all(len(row) == len(header) for row in rows)
    assert printed["class 1"][0] == "6 (60.0%)"
    assert printed["duplicates"][0] == "2 (3 but for case, space)"
    assert printed["also in train"] == ["", "1 (2 but for case, space)"]
    assert printed["unknown tokens"] == ["", "18.8%"]
    assert DataCheck.model_validate_json(report.model_dump_json()) == report


def test_a_file_alone_holds_out_every_tenth_row(tmp_path: Path) -> None:
    rows = [(f"word{i} is here" if i % 10 == 0 else "it is here", str(i % 2)) for i in range(1, 101)]
    report = check(put(tmp_path / "a.tsv", rows), None, None, SMALL)
    assert report.held_out == "every 10th row of train"
    assert report.unknown == pytest.approx(1 / 4)  # <start> wordN is here


def test_each_pass_counts_its_rows(tmp_path: Path) -> None:
    counted: dict[str, int] = {}

    @contextmanager
    def counting(what: str, total: int | None = None) -> Iterator[Tick]:
        ticks: list[int] = []
        yield ticks.append
        counted[what] = sum(ticks)

    train, test = [("it is here", str(i % 2)) for i in range(30)], [("it is", "0")] * 7
    check(put(tmp_path / "a.tsv", train), None, put(tmp_path / "b.tsv", test), SMALL, counting)
    passes = {"learning the vocabulary": 30, "checking a.tsv": 30, "checking b.tsv": 7}
    assert counted == {**passes, "looking for repeated texts": 3 * 37}


def test_sorted_rows_and_rare_classes_are_reported(tmp_path: Path) -> None:
    rows = [(f"text {i} of a", "a") for i in range(90)] + [(f"text {i} of b", "b") for i in range(8)]
    report = check(put(tmp_path / "a.tsv", rows), None, None, SMALL)
    text = "\n".join(report.warnings)
    assert "sorted by class" in text
    assert "a has 11 times the rows of b" in text
    assert "fewer than 10 rows: b" in text


def test_shuffled_rows_are_not_called_sorted(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(200)
    rows = [(f"text {i}", str(i % 2)) for i in order]
    assert not check(put(tmp_path / "a.tsv", rows), None, None, SMALL).parts["train"].sorted_by_class


def test_a_column_with_repeated_values_is_suggested_as_a_group(tmp_path: Path) -> None:
    rows = "".join(f"{i},film{i % 60},{i % 9},text number {i},{i % 2}\n" for i in range(300))
    path = tmp_path / "a.csv"
    path.write_text(f"id,movie,rating,text,label\n{rows}")
    report = check(path, None, None, SMALL)
    assert report.groups == ["movie"]
    assert any("--group movie" in warning for warning in report.warnings)
    chosen = SMALL.model_copy(update={"data": DataConfig(group="movie")})
    assert not any("--group movie" in warning for warning in check(path, None, None, chosen).warnings)


def test_broken_rows_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\ngood one,1\nbroken\nbad one,0\n")
    report = check(path, None, None, SMALL)
    assert (report.parts["train"].rows, report.parts["train"].skipped) == (2, 1)
    assert report.parts["train"].skipped_rows == ["row 2: the row has 1 fields, the header has 2"]
    assert "1 row is broken (row 2: the row has 1 fields" in report.warnings[0]
    assert "--skip-bad-rows" in report.warnings[0]


def test_the_encoding_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{word} price £{n},{n % 2}" for n in range(20) for word in ("good", "fair")]
    path.write_text("\n".join(["text,label", "no pound,1", "none here,0", *rows]), encoding="cp1252")
    report = check(path, None, None, SMALL)
    said = "train: not all rows are UTF-8; it looks like cp1252: pass --set data.encoding=cp1252"
    assert report.warnings[0] == said


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("a.csv", ["text,label", "good one,1", "bad one,", "so so, ", "bad,0"],
         "rows 2, 3, in a spreadsheet 3, 4)"),
        ("a.jsonl", ['{"text": "a b", "label": 1}', '{"text": "c d"}', '{"text": "e", "label": null}',
                     '{"text": "a", "label": 0}'], "rows 2, 3)"),
        ("a.txt", ["__label__a good one", "bad one", "fine", "__label__b bad"], "rows 2, 3)"),
    ],
)  # fmt: skip
def test_rows_without_a_label_are_counted_and_the_check_goes_on(
    tmp_path: Path, name: str, lines: list[str], said: str
) -> None:
    (tmp_path / name).write_text("\n".join([*lines, ""]))
    report = check(tmp_path / name, None, None, SMALL)
    train = report.parts["train"]
    assert (train.rows, train.unlabelled, train.unlabelled_rows, train.skipped) == (2, 2, [2, 3], 0)
    assert report.warnings[0].startswith(f"train: 2 rows have no label (first: {said}")
    assert ["rows without a label", "2"] in table(report)[1]


def test_a_file_without_labels_is_checked_as_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("number,text\n" + "".join(f"{n},a longer text of number {n}\n" for n in range(50)))
    found = check_files(path, ClassifierConfig(), Reporter())
    assert "no label column is found" in found["warnings"][0]
    assert found["parts"]["train"]["rows"] == 50
    with pytest.raises(DataError, match="there is no column 'mood'"):
        check_files(path, ClassifierConfig(data=DataConfig(label="mood")), Reporter())


def test_a_damaged_file_is_checked_up_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    rows = "".join(f"a text of number {n},{n % 2}\n" for n in range(40_000))
    data = gzip.compress(f"text,label\n{rows}".encode())
    path.write_bytes(data[: len(data) // 2])
    report = check(path, None, None, SMALL)
    assert 1_000 < report.parts["train"].rows < 40_000
    assert "cut off or damaged" in report.warnings[0]
    path.write_bytes(data[:30])
    with pytest.raises(DataError, match="cut off or damaged"):
        check(path, None, None, SMALL)


def test_a_held_out_file_that_cannot_be_used_does_not_end_the_check(tmp_path: Path) -> None:
    train = put(tmp_path / "a.tsv", [(f"text {n}", "ab"[n % 2]) for n in range(20)])
    (tmp_path / "b.csv").write_text("title,mood\na b,1\n")
    report = check(train, tmp_path / "b.csv", train, SMALL)
    assert set(report.parts) == {"train", "test"}
    assert report.warnings[0].startswith("valid: ")
    assert "is not checked" in report.warnings[0]
    with pytest.raises(DataError):
        check(train, tmp_path / "none.csv", None, SMALL)


def count(path: Path) -> Figures:
    """All figures but those of tokens, which take long on the large files."""
    figures, codes = Figures(), {}
    for rows in read(detect(path, DataConfig())):
        none = np.zeros(len(rows), np.int64)
        figures.add(rows, none, none, none.astype(bool), codes)
    return figures


@pytest.mark.data
def test_imdb_has_the_counted_duplicates_and_leaks(data_folder: Path) -> None:
    train, test = (count(data_folder / "imdb" / f"{name}.parquet") for name in ("train", "test"))
    assert (train.rows, test.rows) == (25_000, 25_000)
    assert repeats(train.exact, train.numbers).count == 96
    assert repeats(test.exact, test.numbers).count == 199
    exact = leaks(test.exact, test.numbers, train.exact, train.numbers)
    assert exact.count == 123


@pytest.mark.data
def test_zh_shopping_has_the_counted_defects(data_folder: Path) -> None:
    report = count(data_folder / "zh_shopping" / "online_shopping_10_cats.csv.gz")
    assert (report.rows, report.empty) == (62_774, 1)
    assert repeats(report.exact, report.numbers).count == 49
    assert conflicts(report.exact, report.codes, report.numbers).count == 18


@pytest.mark.data
def test_ag_news_has_one_training_row_in_test(data_folder: Path) -> None:
    train, test = (count(data_folder / "ag_news" / f) for f in ("train_20k.csv.gz", "test.csv.gz"))
    assert (train.rows, test.rows) == (20_000, 7_600)
    loose = leaks(test.loose, test.numbers, train.loose, train.numbers)
    assert loose.count == 1


@pytest.mark.data
def test_the_whole_check_of_chnsenticorp(data_folder: Path) -> None:
    folder = data_folder / "chnsenticorp"
    report = check(
        folder / "train.jsonl", folder / "validation.jsonl", folder / "test.jsonl", ClassifierConfig()
    )
    assert [part.rows for part in report.parts.values()] == [9_600, 1_200, 1_200]
    assert 9_600 - report.parts["train"].duplicates == 8_249
    assert {(leak.part, leak.seen_in): leak.rows for leak in report.leaks}["test", "train"] == 331
    assert report.parts["train"].languages["zh"] > 0.99


@pytest.mark.data
def test_the_whole_check_of_sst2(data_folder: Path) -> None:
    folder = data_folder / "sst2"
    report = check(folder / "train.tsv", folder / "dev.tsv", folder / "test.tsv", ClassifierConfig())
    assert [part.rows for part in report.parts.values()] == [6_920, 872, 1_821]
    assert report.parts["train"].duplicates == 9
    assert report.parts["train"].languages["en"] > 0.95
    assert 0.03 < report.unknown < 0.12
