"""Sheets of Excel and LibreOffice are read as tables, with cells as they are shown."""

from __future__ import annotations

import datetime
import io
import random
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from recurra.config import DataConfig
from recurra.errors import DataError, RecurraError
from recurra.io.detect import detect
from recurra.io.formats import Source, read
from recurra.io.formats.spreadsheet import read_sheet
from recurra.tasks.corpus import contents_of

AUTO = DataConfig()
GOOD = "a film that one likes to see again, with actors who mean it"
BAD = "nothing happens; then, at last, nothing happens again"
HEAD = ["id", "review", "stars"]
ROWS = [[f"T-{i}", f"{GOOD if i % 2 else BAD}, {i}", 4 + i % 2] for i in range(40)]


def book(path: Path, **sheets: list[list[Any]]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)  # type: ignore[arg-type]
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return path


def rows_of(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    return [
        pair
        for part in read(source)
        for pair in zip(part.texts, part.labels or [()] * len(part), strict=True)
    ]


def said(path: Path) -> str:
    """The error of a file, or ""."""
    try:
        rows_of(detect(path, AUTO))
    except RecurraError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["a.xlsx", "a.XLSX", "a", "a.csv"])
def test_a_sheet_is_a_table(tmp_path: Path, name: str) -> None:
    source = detect(book(tmp_path / name, Reviews=[HEAD, *ROWS]), AUTO)
    assert (source.format, source.sheet, source.header) == ("spreadsheet", "Reviews", True)
    assert (source.text, source.label) == (("review",), "stars")
    assert rows_of(source) == [(text, (str(stars),)) for _, text, stars in ROWS]
    assert source.describe()["format"] == "spreadsheet, sheet 'Reviews', the first row names the columns"
    assert Source.from_json(source.to_json()) == source


def test_cells_are_texts_as_they_are_shown(tmp_path: Path) -> None:
    cells = [
        1.0,
        0,
        2.5,
        "007",
        True,
        datetime.date(2024, 1, 31),
        datetime.datetime(2024, 1, 31, 9, 30),
        None,
    ]
    texts = ["1", "0", "2.5", "007", "TRUE", "2024-01-31", "2024-01-31 09:30:00", ""]
    path = book(tmp_path / "a.xlsx", S=[["label", "text"], *([i % 2, cell] for i, cell in enumerate(cells))])
    source = detect(path, DataConfig(text=["text"]))
    assert rows_of(source) == [(text, (str(i % 2),)) for i, text in enumerate(texts)]


def test_dates_of_a_column_all_have_a_time_if_one_has(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 1, 1)
    times = [day, day + datetime.timedelta(hours=1), None, datetime.date(2024, 1, 2)]
    days = [day, None, day, datetime.date(2024, 1, 2)]
    mixed = [day, day + datetime.timedelta(hours=1), "soon", 3]
    table = [[text, *cells] for (_, text, _), *cells in zip(ROWS, times, days, mixed, strict=False)]
    path = book(tmp_path / "a.xlsx", S=[["text", "time", "day", "mixed"], *table])
    source = detect(path, DataConfig(text=["text"]), labelled=False)
    cells = [cells for part in read(source, keep=True) for cells in part.cells or []]
    midnight = "2024-01-01 00:00:00"
    assert [row["time"] for row in cells] == [midnight, "2024-01-01 01:00:00", "", "2024-01-02 00:00:00"]
    assert [row["day"] for row in cells] == ["2024-01-01", "", "2024-01-01", "2024-01-02"]
    assert [row["mixed"] for row in cells] == ["2024-01-01", "2024-01-01 01:00:00", "soon", "3"]


def test_a_sheet_of_libreoffice(tmp_path: Path) -> None:
    def cell(value: Any) -> str:
        kind = f'"float" office:value="{value}"' if isinstance(value, int) else '"string"'
        return f"<table:table-cell office:value-type={kind}><text:p>{value}</text:p></table:table-cell>"

    blank = '<table:table-cell table:number-columns-repeated="16380"/></table:table-row>'
    rows = [f"<table:table-row>{''.join(map(cell, row))}{blank}" for row in (HEAD, *ROWS)]
    rows.append(f'<table:table-row table:number-rows-repeated="1048000">{blank}')
    spaces = "urn:oasis:names:tc:opendocument:xmlns"
    named = " ".join(f'xmlns:{name}="{spaces}:{name}:1.0"' for name in ("office", "table", "text"))
    content = (
        f"<office:document-content {named}><office:body><office:spreadsheet>"
        f'<table:table table:name="Sheet">{"".join(rows)}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    manifest = f'<manifest:manifest xmlns:manifest="{spaces}:manifest:1.0"/>'
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", manifest)
    source = detect(tmp_path / "a.ods", AUTO)
    assert (source.format, source.sheet, source.columns) == ("spreadsheet", "Sheet", tuple(HEAD))
    assert rows_of(source) == [(text, (str(stars),)) for _, text, stars in ROWS]


def test_blank_rows_and_columns_do_not_count(tmp_path: Path) -> None:
    blank: list[Any] = [None, None, None]
    path = book(tmp_path / "a.xlsx", S=[blank, HEAD, *ROWS[:20], blank, *ROWS[20:], [None, " ", None], blank])
    workbook = openpyxl.load_workbook(path)
    workbook.active.cell(500, 12).font = openpyxl.styles.Font(bold=True)  # type: ignore[union-attr]
    workbook.save(path)
    source = detect(path, DataConfig(skip_bad_rows=True))
    assert source.columns == ("id", "review", "stars")
    assert len(rows_of(source)) == 40


def test_a_missing_label_is_refused_by_its_row(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", S=[HEAD, *ROWS, ["T-40", GOOD, None]])
    with pytest.raises(DataError, match="row 41: there is no label in 'stars'"):
        rows_of(detect(path, AUTO))


def test_of_several_sheets_one_is_chosen(tmp_path: Path) -> None:
    other = [["text", "label"], *([f"other text number {i}", i % 2] for i in range(6))]
    path = book(tmp_path / "a.xlsx", Empty=[], Data=[HEAD, *ROWS], Old=other)
    source = detect(path, AUTO)
    assert source.sheet == "Data"
    assert source.notes == ("the sheet 'Data' is read, not 'Old': choose with --set data.sheet=NAME",)
    chosen = detect(path, DataConfig(sheet="Old"))
    assert (chosen.sheet, chosen.notes, len(rows_of(chosen))) == ("Old", (), 6)
    with pytest.raises(DataError, match="there is no sheet 'Odl'; there are Empty, Data, Old"):
        detect(path, DataConfig(sheet="Odl"))
    with pytest.raises(DataError, match="the sheet 'Empty' has no rows"):
        detect(path, DataConfig(sheet="Empty"))
    # A file to predict may have another sheet than the one that was chosen for training.
    new = book(tmp_path / "b.xlsx", New=other)
    again = detect(new, DataConfig(sheet="Old"), labelled=False, like=chosen)
    assert (again.sheet, again.text) == ("New", ("text",))


def test_a_table_without_header_and_files_of_other_formats(tmp_path: Path) -> None:
    source = detect(book(tmp_path / "a.xlsx", S=[row[1:] for row in ROWS]), AUTO)
    assert (source.header, source.columns, source.text, source.label) == (False, ("0", "1"), ("0",), "1")
    train = detect(book(tmp_path / "b.xlsx", S=[HEAD, *ROWS]), AUTO)
    (tmp_path / "c.csv").write_text(f'review\n"{GOOD}"\n', encoding="utf-8")
    assert rows_of(detect(tmp_path / "c.csv", AUTO, labelled=False, like=train)) == [(GOOD, ())]


def test_what_is_no_spreadsheet_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "text,label\n")
    with pytest.raises(DataError, match=r"is a zip archive .*; unpack it"):
        detect(tmp_path / "a.zip", AUTO)
    (tmp_path / "a.xlsx").write_text("text,label\na,1\n")
    with pytest.raises(DataError, match="is not a spreadsheet file; copy or download it again"):
        detect(tmp_path / "a.xlsx", AUTO)
    (tmp_path / "a.doc").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(2_000))
    with pytest.raises(DataError, match="is an old Office file"):
        detect(tmp_path / "a.doc", AUTO)
    with pytest.raises(DataError, match=r"is spreadsheet, not csv; leave data\.format out"):
        detect(book(tmp_path / "b.xlsx", S=[HEAD, *ROWS]), DataConfig(format="csv"))
    with pytest.raises(DataError, match="has no rows"):
        detect(book(tmp_path / "c.xlsx", S=[], T=[]), AUTO)


def test_a_cell_far_away_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", S=[HEAD, *ROWS])
    workbook = openpyxl.load_workbook(path)
    workbook.active.cell(1_048_576, 16_384).value = "x"  # type: ignore[union-attr]
    workbook.save(path)
    with pytest.raises(DataError, match="reaches to row 1,048,576 and column 16,384"):
        detect(path, AUTO)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    data = book(tmp_path / "a.xlsx", S=[HEAD, *ROWS]).read_bytes()
    damage = random.Random(1)
    path = tmp_path / "b.xlsx"
    for _ in range(60):
        part = bytearray(data[: damage.choice([len(data), damage.randrange(4, len(data))])])
        for _ in range(3):
            part[damage.randrange(4, len(part))] = damage.randrange(256)
        path.write_bytes(part)
        assert "\n" not in said(path)


@pytest.mark.parametrize("member", ["xl/workbook.xml", "xl/worksheets/sheet1.xml", "[Content_Types].xml"])
def test_damaged_contents_are_one_line(tmp_path: Path, member: str) -> None:
    whole = zipfile.ZipFile(book(tmp_path / "a.xlsx", S=[HEAD, *ROWS]))
    contents = {name: whole.read(name) for name in whole.namelist()}
    for content in (b"", b"<", contents[member][: len(contents[member]) // 2]):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in {**contents, member: content}.items():
                archive.writestr(name, data)
        (tmp_path / "b.xlsx").write_bytes(packed.getvalue())
        assert "\n" not in said(tmp_path / "b.xlsx")


def test_the_width_is_that_of_the_longest_row(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", S=[["text", "label"], ["a", 1], ["b", 0, "note"]])
    assert [len(row) for row in read_sheet(path, False, None).rows] == [3, 3, 3]
    assert detect(path, AUTO).columns == ("text", "label", "2")


def test_the_tokens_of_one_sheet_are_not_those_of_another(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", A=[HEAD, *ROWS], B=[HEAD, *ROWS[::-1]])
    first, second = (contents_of(detect(path, DataConfig(sheet=name))) for name in "AB")
    assert first != second
    assert first == contents_of(detect(path, AUTO))


def test_an_old_workbook_is_told_from_other_old_office_files(tmp_path: Path) -> None:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    path = tmp_path / "a.xls"
    path.write_bytes(head + bytes(600) + "Workbook".encode("utf-16-le") + bytes(600))
    with pytest.raises(DataError, match=r"is not a whole spreadsheet .*; save the sheet as CSV"):
        detect(path, AUTO)
    path.write_bytes(head + bytes(600) + "WordDocument, of a Bookshop".encode("utf-16-le") + bytes(600))
    with pytest.raises(DataError, match="is an old Office file"):
        detect(path, AUTO)
