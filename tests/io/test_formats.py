"""The table of formats: a format that a program registers is detected, read, streamed, chosen and listed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recurra.cli.options import data_help
from recurra.config import DataConfig
from recurra.errors import ConfigError, DataError
from recurra.io.detect import detect
from recurra.io.files import FileLines, Lines
from recurra.io.formats import (
    Format,
    Rows,
    Skipped,
    Source,
    format_named,
    format_names,
    formats,
    read,
    register_format,
    spec,
)
from recurra.io.formats.spec import Record, Refuse, Start
from recurra.io.stream import read_stream
from recurra.tasks.classification.check import check
from recurra.tasks.settings import build_config, describe_settings
from tests.conftest import ROOT

AUTO = DataConfig()
ROWS = ["%% pos: good film", "%% neg: bad film", "%% pos: fine: so good"]
EXPECTED = Rows([1, 2, 3], ["good film", "bad film", "fine: so good"], [("pos",), ("neg",), ("pos",)])


def marked_layout(start: Start) -> Source:
    label = "label" if start.request.labelled else None
    return replace(start.source, text=("text",), label=label, columns=("label", "text"))


def marked_records(source: Source, refuse: Refuse, lines: Lines | None) -> Iterator[Record]:
    """Rows such as ``%% label: text``."""
    lines = lines or FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    for line in lines:
        match = re.fullmatch(r"%% (\w+): (.*)\n?", line)
        if match is None:
            refuse(lines.row, "the line does not begin with %%")
        else:
            yield Record(lines.row, match[2], (match[1],) if source.label else None, None)
        lines.row += 1


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Format:
    """A format in the table for the time of a test."""
    monkeypatch.setattr(spec, "_FORMATS", dict(spec._FORMATS))
    format = Format(
        "marked",
        "marked lines",
        marked_layout,
        lambda start: start.begins_with("%% ") or start.suffix == ".mark",
        records=marked_records,
        suffixes=(".mark",),
    )
    register_format(format)
    return format


def put(path: Path, rows: Sequence[str]) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.usefixtures("marked")
def test_a_registered_format_is_detected_and_read(tmp_path: Path) -> None:
    for name in ("a.mark", "a.txt", "a.csv"):
        source = detect(put(tmp_path / name, ROWS), AUTO)
        assert source.format == "marked"
        assert source.describe()["format"] == "marked lines"
        assert source.settings() == {}
        assert list(read(source)) == [EXPECTED]
        assert Source.from_json(source.to_json()) == source
    unlabelled = detect(tmp_path / "a.txt", AUTO, labelled=False, like=source)
    assert list(read(unlabelled)) == [replace(EXPECTED, labels=None)]


@pytest.mark.usefixtures("marked")
def test_a_registered_format_refuses_and_counts_broken_rows(tmp_path: Path) -> None:
    path = put(tmp_path / "a.mark", [ROWS[0], "no mark", ROWS[1]])
    with pytest.raises(DataError, match="row 2: the line does not begin with %%; fix the row"):
        list(read(detect(path, AUTO)))
    skipped = Skipped()
    (rows,) = read(detect(path, DataConfig(skip_bad_rows=True)), skipped)
    assert (rows.numbers, skipped.count) == ([1, 3], 1)


@pytest.mark.usefixtures("marked")
def test_a_registered_format_is_read_from_a_stream() -> None:
    stream = io.BytesIO("".join(f"{row}\n" for row in ROWS).encode())
    assert list(read_stream(stream, None, AUTO)) == [replace(EXPECTED, labels=None)]


@pytest.mark.usefixtures("marked")
def test_a_registered_format_is_checked(tmp_path: Path) -> None:
    path = put(tmp_path / "a.mark", [*ROWS, *ROWS[:1]] * 10)
    report = check(path, None, None, build_config())
    assert report.parts["train"].classes == {"neg": 10, "pos": 30}
    assert report.groups == []


@pytest.mark.usefixtures("marked")
def test_a_registered_format_is_a_choice_and_in_the_help(tmp_path: Path) -> None:
    config = build_config({"data": {"format": "marked"}}).data
    assert detect(put(tmp_path / "a", ROWS), config).format == "marked"
    assert "`marked`" in describe_settings()
    assert "marked lines" in data_help()


def test_the_format_is_gone_after_its_test() -> None:
    assert "marked" not in format_names()
    with pytest.raises(ConfigError, match=r"setting data.format = 'marked': it should be one of auto, csv, "):
        build_config({"data": {"format": "marked"}})
    with pytest.raises(ConfigError, match="there is no file format 'marked'; use one of csv, "):
        Source(Path("a"), "marked").describe()


def test_a_format_needs_cells_or_records() -> None:
    with pytest.raises(ValueError, match="needs either cells or records"):
        Format("x", "x", marked_layout)


def test_every_format_is_in_the_help_and_names_itself() -> None:
    assert [format_named(name).name for name in format_names()] == format_names()
    assert {each.name for each in formats()} == set(format_names())
    assert all(each.title in data_help() for each in formats())
    assert formats()[-1].name == "lines"  # it matches every text without labels


@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl", "fasttext", "lines"])
def test_a_format_of_text_can_be_set_against_the_files_name(tmp_path: Path, name: str) -> None:
    content: dict[str, Any] = {
        "csv": ["text,label", "a b,1", "c d,0"],
        "tsv": ["text\tlabel", "a b\t1", "c d\t0"],
        "jsonl": ['{"text": "a b", "label": 1}', '{"text": "c d", "label": 0}'],
        "fasttext": ["__label__1 a b", "__label__0 c d"],
        "lines": ["a b", "c d"],
    }
    path = put(tmp_path / ("a.jsonl" if name != "jsonl" else "a.csv"), content[name])
    source = detect(path, DataConfig(format=name), labelled=name != "lines")
    assert source.format == name
    (rows,) = read(source)
    assert rows.texts == ["a b", "c d"]
    assert rows.labels == (None if name == "lines" else [("1",), ("0",)])


def test_texts_alone_have_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no labels: it is read as one text a line"):
        detect(put(tmp_path / "a.txt", ["a", "b"]), DataConfig(format="lines"))


def test_a_stream_of_fasttext_lines_is_read_without_its_labels() -> None:
    (rows,) = read_stream(io.BytesIO(b"__label__x good\n__label__y __label__z bad\n"), None, AUTO)
    assert (rows.texts, rows.labels) == (["good", "bad"], None)


def test_a_file_without_suffix_is_a_table_if_its_header_has_the_text_columns(tmp_path: Path) -> None:
    train = detect(
        put(tmp_path / "a.jsonl", ['{"text": "a b", "label": 1}', '{"text": "c", "label": 0}']), AUTO
    )
    source = detect(put(tmp_path / "b", ["id,text", '1,"x, y"']), AUTO, labelled=False, like=train)
    assert (source.format, source.text) == ("csv", ("text",))


def test_the_guide_adds_a_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's Python blocks run as one program, which prints the page's text block."""
    page = (ROOT / "docs" / "guide" / "new-format.md").read_text(encoding="utf-8")
    monkeypatch.setattr(spec, "_FORMATS", dict(spec._FORMATS))
    monkeypatch.chdir(tmp_path)
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    exec(compile(code, "new-format.md", "exec"), {})
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert capsys.readouterr().out == printed
    assert "SQLite" in data_help()


def test_no_code_compares_a_format_by_name() -> None:
    comparison = re.compile(r"(?<!for )\bformat\s*(?:==|!=|in|not in)\s*(?!\"auto\")[\"'(\[{]")
    for path in (ROOT / "src").rglob("*.py"):
        assert not comparison.findall(path.read_text(encoding="utf-8")), path
