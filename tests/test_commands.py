"""Every command of the README and the guides runs, page by page, on small files with the page's names."""

from __future__ import annotations

import datetime
import gzip
import io
import re
import shlex
from pathlib import Path

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

from recurra.cli.main import main
from recurra.comparison.arms import parse_arms
from tests.conftest import ROOT

GUIDES = sorted((ROOT / "docs" / "guide").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *(path for path in GUIDES if ".zh-" not in path.name)]

SENTENCES = [
    "the film was great and the cast was good",
    "the film was dull and the cast was bad",
    "I liked the music , it was great",
    "I did not like the end , it was bad",
]
REVIEWS = [f"{SENTENCES[i % 4]} {word}" for i, word in enumerate(["one", "two", "three", "four"] * 12)]
LABELS = ["pos", "neg"] * (len(REVIEWS) // 2)


def commands(page: str) -> list[str]:
    """The commands of a page: indented lines outside of fences that begin with, or pipe into, ``recurra``."""
    page = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
    return re.findall(r"^ {4}((?:cat \S+ \| )?recurra .*)$", page, re.MULTILINE)


def table(separator: str = ",") -> str:
    lines = [f'"{text}"{separator}{label}' for text, label in zip(REVIEWS, LABELS, strict=True)]
    return "\n".join([f"text{separator}label", *lines]) + "\n"


def inquiries() -> str:
    """Inquiries of 12 customers, whose columns have other names than those of reviews."""
    header = ["customer,title,body,team,mood"]
    rows = [
        f'c{i // 4},"a title of inquiry {i}","{text}",{("billing", "access")[i % 2]},{label}'
        for i, (text, label) in enumerate(zip(REVIEWS, LABELS, strict=True))
    ]
    return "\n".join([*header, *rows]) + "\n"


def tagged() -> str:
    tags = {"the": "DET", "and": "CCONJ", ",": "PUNCT", "was": "AUX", "I": "PRON", "it": "PRON"}
    sentences = []
    for text in REVIEWS:
        words = text.split()
        lines = [f"{i}\t{w}\t_\t{tags.get(w, 'NOUN')}" + "\t_" * 6 for i, w in enumerate(words, 1)]
        sentences.append("\n".join(lines) + "\n\n")
    return "".join(sentences)


def series() -> str:
    start = datetime.datetime(2024, 1, 1)
    lines = ["time,TEMP,PRES"]
    for hour in range(900):
        time = start + datetime.timedelta(hours=hour)
        lines.append(f"{time},{hour % 24 + hour * 0.01:.2f},{1000 + hour % 7}")
    return "\n".join(lines) + "\n"


def tickets() -> str:
    lines = [f'T-{i},"{t[:20]} {i}","{t}",{c}' for i, (t, c) in enumerate(zip(REVIEWS, LABELS, strict=True))]
    return "\n".join(["ticket,title,body,category", *lines]) + "\n"


def write_workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    for name in ("First", "Second"):
        sheet = book.create_sheet(name)
        for row in [("text", "label"), *zip(REVIEWS, LABELS, strict=True)]:
            sheet.append(row)
    book.save(path)


def vectors() -> str:
    words = sorted({word for text in REVIEWS for word in text.lower().split()})
    return "".join(f"{word} {' '.join([f'0.{i % 10}'] * 100)}\n" for i, word in enumerate(words))


def write_files(folder: Path) -> None:
    """Writes the files that the pages name."""
    lines = "".join(f"{text}\n" for text in REVIEWS * 4)
    unlabelled = "text\n" + "".join(f'"{text}"\n' for text in REVIEWS[:5])
    contents = {
        **dict.fromkeys(
            ["reviews.csv", "train.csv", "test.csv", "more.csv", "large.csv", "small.csv"], table()
        ),
        **dict.fromkeys(["labelled.csv", "data.csv"], table()),
        **dict.fromkeys(["train.tsv", "dev.tsv"], table("\t")),
        "test.tsv": table("\t").replace("film", "play").replace("like", "love"),
        **dict.fromkeys(["train.conllu", "dev.conllu", "test.conllu"], tagged()),
        **dict.fromkeys(
            ["book.txt", "books.txt", "valid.txt", "test.txt", "ptb.train.txt", "texts.txt"], lines
        ),
        **dict.fromkeys(["play.txt", "sentences.txt", "new.txt"], lines),
        **dict.fromkeys(["beijing.csv", "weather.csv", "now.csv"], series()),
        "more-reviews.txt": "".join(f"again, {text}\n" for text in REVIEWS),
        "new.csv": unlabelled,
        "tickets.csv": tickets(),
        "topics.csv": table().replace(",pos", ',"rude,loud"').replace(",neg", ",rude"),
        "broken.csv": f"{table()}a row without a label\n",
        "inquiries.csv": inquiries(),
        "themes.csv": "text,label\n"
        + "".join(f'"{text}",{("cast", "music", "cast|music")[i % 3]}\n' for i, text in enumerate(REVIEWS)),
        "zh.csv": "text,label\n"
        + "".join(f"{'剧情很好' if i % 2 else '非常无聊'}第{i}次,{i % 2}\n" for i in range(40)),
        "glove.6B.100d.txt": vectors(),
    }
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
        with gzip.open(folder / f"{name}.gz", "wt", encoding="utf-8") as file:
            file.write(text)
    for name in ("reviews.xlsx", "new.xlsx"):
        write_workbook(folder / name)
    movies = [f"m{i // 4}" for i in range(len(REVIEWS))]
    rows = pyarrow.table({"movie": movies, "text": REVIEWS, "label": LABELS})
    (folder / "imdb").mkdir()
    for path in ("imdb/train.parquet", "imdb/test.parquet", "reviews.parquet"):
        pyarrow.parquet.write_table(rows, folder / path)


SHORTER = {
    "fit": ["--set", "train.epochs=1", "--overwrite"],
    "pretrain": ["--set", "train.epochs=1", "--overwrite"],
    "compare": ["--set", "train.epochs=1", "--seeds", "2"],
    "tune": ["--set", "train.epochs=1", "--trials", "1", "--seeds", "0", "--engine", "inline"],
    "serve": ["--port", "0"],
}
"""Options that make a command of a page short, and let a page use a name twice."""


async def ended(server: object) -> None:
    """Takes the place of a server's work."""


def test_the_chinese_course_has_the_commands_of_the_english_one() -> None:
    english, chinese = (ROOT / "docs" / "guide" / f"course{suffix}.md" for suffix in ("", ".zh-CN"))
    found = [commands(page.read_text(encoding="utf-8")) for page in (english, chinese)]
    assert [shlex.split(c, comments=True)[:2] for c in found[0]] == [
        shlex.split(c, comments=True)[:2] for c in found[1]
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_commands_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = commands(page.read_text(encoding="utf-8"))
    if not found:
        pytest.skip("a page without commands")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recurra.serve.server._Server.main_loop", ended)  # a server ends when it has begun
    write_files(tmp_path)
    if not any("--out my-model" in command for command in found):
        found = ["recurra fit reviews.csv --out my-model", *found]
    for command in found:
        words = shlex.split(command, comments=True)
        for sign in (">", "2>"):
            words = words[: words.index(sign)] if sign in words else words
        if words[0] == "cat":
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(words[1]).read_bytes())))
            words = words[3:]
        if "--recipes" in words:  # two runs of two are enough here; all must be readable
            at = words.index("--recipes") + 1
            arms = parse_arms(words[at])
            words[at] = ",".join(arm.key for arm in arms[:2])
        shorter = [] if words[1] == "compare" and "--recipes" not in words else SHORTER.get(words[1], [])
        monkeypatch.setattr("sys.argv", [*words, *shorter])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        assert code == 0, f"{command}: {capsys.readouterr().err}"
        capsys.readouterr()
